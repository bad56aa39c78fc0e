"""A room of other servers into which our Alice comes without being told who else is in it."""

from typing import Any

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.runtime.loops import Loops
from homeserver.services.events.intake import Outcome
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, events_by_id
from homeserver.storage.partial_rooms import find_partial_room
from homeserver.storage.rooms import RoomHead, find_head
from tests.forked_rooms import ALICE, BOB, CAROL, ONE, TWO
from tests.poured_rooms import received
from tests.scenes import Scene
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import World, now


class LargeRoom:
    """The room, as its servers have it (`scene`) and as ours does."""

    def __init__(self, world: World, version: RoomVersion = V11, scene: Scene | None = None) -> None:
        self.world = world
        self.scene = Scene(version, users={BOB: 50, OUR_ALICE: 50}) if scene is None else scene
        if scene is None:
            self.scene.join_in_turn(BOB, CAROL)
        self.room_id: RoomID = world.others.open(self.scene, ONE, TWO)
        world.others.large.add(self.room_id)
        self.loops = Loops(world.clock)

    def join(self, user_id: UserID = OUR_ALICE, via: str = ONE) -> Event:
        """Let one of our users in; the join."""
        now(self.world.anywhere.join(user_id, self.room_id, None, via=[via]))
        return self.world.others.sent[-1]

    def fetch(self) -> None:
        """Begin to fetch who is in the room, as far as that takes no time."""
        now(self.world.room_completion.start(self.loops))
        self.world.clock.advance(0)

    def hear(self, *events: Event) -> list[Outcome]:
        """Our server is sent these; what becomes of each."""
        taken = [received(event) for event in events]
        outcomes = now(self.world.intake.take(self.room_id, self.scene.version, taken, received_from=ONE))
        return [outcomes[event.event_id] for event in events]

    def add(self, event_id: EventID) -> Event:
        """Let the other servers have an event of ours, and build on it."""
        self.scene.last = event = self.find(event_id).event
        self.scene.history.add(event)
        return event

    @property
    def head(self) -> RoomHead:
        head = self.world.sync_database.read(find_head, self.room_id)
        assert head is not None
        return head

    @property
    def is_looked_for(self) -> bool:
        return self.world.sync_database.read(find_partial_room, self.room_id) is not None

    def find(self, event_id: EventID) -> StoredEvent:
        """An event as our server keeps it."""
        return self.world.sync_database.read(events_by_id, [event_id])[event_id]

    def state(self, root: bytes | None = None) -> dict[tuple[str, str], EventID]:
        """The state as our server has it, now or at a root: of one that is partial what is known."""
        at = self.head.current_root if root is None else root

        def read(tx: Transaction) -> list[StoredEvent]:
            return self.world.states.whole(tx, self.room_id, at, as_far_as_known=True)

        stored: list[StoredEvent] = self.world.sync_database.read(read)
        return {(one.event.type, one.event.state_key or ""): one.event.event_id for one in stored}

    def is_whole(self, root: bytes) -> bool:
        """Whether our server knows all of a state."""
        return bool(self.world.sync_database.read(self.world.states.is_whole, self.room_id, root))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database has of the room."""
        return list(self.world.sync_database.read(lambda tx: tx.all(query, room_id=self.room_id)))


__all__ = ["ALICE", "BOB", "CAROL", "ONE", "TWO", "LargeRoom"]
