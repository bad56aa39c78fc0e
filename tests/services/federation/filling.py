"""A server one of whose users comes into a room of others, and which brings what was said before."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.core.event import Event
from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.sync_tokens import parse_token
from homeserver.runtime.loops import Loops
from homeserver.services.federation.backfill import Backfill
from homeserver.services.rooms.room_history import RoomHistory
from homeserver.services.rooms.timeline import Context, Page
from homeserver.storage.events import StoredEvent, events_by_id
from homeserver.storage.rooms import RoomHead, find_head
from homeserver.storage.waiting_events import OpenGap, open_gaps
from tests.fakes.history_source import FakeHistorySource, Holder
from tests.forked_rooms import ALICE, BOB, ONE, TWO
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.admin.damageable_room import TakenScene
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import SERVER, World, now, shown

# Any: JSON, throughout.


class Filling:
    """A room of Alice on one server and Bob on another, and those two servers."""

    def __init__(self, world: World, version: str = "11") -> None:
        self.world = world
        self.scene = Scene(ROOM_VERSIONS[version])
        self.scene.last = self.scene.member(BOB, "join", after=[self.scene.last])
        self.room_id: RoomID = self.scene.create.room_id
        self.source = FakeHistorySource()
        for server in (ONE, TWO):
            self.source.holders[server] = Holder(self.scene.history)
        self.loops = Loops(world.clock)
        self.backfill = Backfill(world.database, self.source, world.receipt, world.intake, world.clock, SERVER)
        self.history = RoomHistory(world.timeline, self.backfill, world.partial_rooms, world.clock)

    def context(self, event: Event, limit: int) -> Context:
        """An event with what is around it."""
        asking = self.history.context(
            self.world.viewer(OUR_ALICE), self.room_id, event.event_id, limit, RoomEventFilter()
        )
        return now(asking)

    def leave(self) -> None:
        """Our Alice leaves."""
        now(self.world.membership.leave(OUR_ALICE, self.room_id, None))

    def start(self) -> None:
        """Begin the work in the background."""
        self.backfill.start(self.loops)

    def chain(self, length: int) -> list[Event]:
        """Messages of both, each after the one before."""
        chain: list[Event] = []
        for number in range(length):
            self.scene.last = self.scene.say((ALICE, BOB)[number % 2], f"{number}", after=[self.scene.last])
            chain.append(self.scene.last)
        return chain

    def join(self) -> Event:
        """Our Alice joins by way of the first server."""
        self.world.others.open(self.scene, ONE)
        now(self.world.anywhere.join(OUR_ALICE, self.room_id, None, via=[ONE]))
        self.scene.last = self.world.others.sent[-1]
        return self.scene.last

    def take(self, *events: Event) -> None:
        """Hear of events as they are sent."""
        taken = [received(event) for event in events]
        now(self.world.intake.take(self.room_id, self.scene.version, taken, received_from=ONE))

    def holder(self, server: ServerName = ONE) -> Holder:
        return self.source.holders[server]

    def ask(self, begin: str | None = None, limit: int = 20) -> "list[Page]":
        """Ask for a page of history, from the newest event back; it is there once it has come."""
        pages: list[Page] = []
        asking = self.history.messages(
            self.world.viewer(OUR_ALICE),
            self.room_id,
            begin=None if begin is None else parse_token(begin),
            end=None,
            backwards=True,
            limit=limit,
            event_filter=RoomEventFilter(),
        )
        Deferred.fromCoroutine(asking).addCallback(pages.append)
        return pages

    def page(self, begin: str | None = None, limit: int = 20) -> Page:
        """A page of history that comes at once."""
        [page] = self.ask(begin, limit)
        return page

    def read(self, limit: int = 20) -> list[EventID]:
        """What our Alice reads from the newest event back, page by page, as long as there is another."""
        found: list[EventID] = []
        begin: str | None = None
        for _ in range(1_000):
            page = self.page(begin, limit)
            found += self.ids(page)
            if page.end is None:
                return found
            assert page.end != begin
            begin = page.end
        raise AssertionError("there is no end of pages")

    @staticmethod
    def ids(page: Page) -> list[EventID]:
        """The events of a page."""
        return [EventID(shown(event)["event_id"]) for event in page.chunk]

    def everything(self) -> list[EventID]:
        """All events of the scene as they are read: the newest first."""
        return [event.event_id for event in reversed(self.scene.history.events.values())]

    @property
    def head(self) -> RoomHead:
        """Where the room stands here."""
        head = self.world.sync_database.read(find_head, self.room_id)
        assert head is not None
        return head

    @property
    def gaps(self) -> Sequence[OpenGap]:
        """Where history breaks off."""
        return self.world.sync_database.read(lambda tx: open_gaps(tx, self.room_id, upto=2**62, limit=100))

    def find(self, event: Event) -> StoredEvent | None:
        """An event as it is kept here."""
        return self.world.sync_database.read(events_by_id, [event.event_id]).get(event.event_id)

    def has_place(self, event: Event) -> bool:
        """Whether an event is a part of the room's history here."""
        stored = self.find(event)
        return stored is not None and stored.place is not None

    def state(self, root: bytes | None) -> dict[Any, EventID]:
        """A whole state."""
        assert root is not None
        events = self.world.sync_database.read(lambda tx: self.world.states.whole(tx, self.room_id, root))
        return {(one.event.type, one.event.state_key): one.event.event_id for one in events}

    def fault(self) -> object:
        """What an audit of the room finds."""
        return TakenScene(self.world, self.scene).fault()
