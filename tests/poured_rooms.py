"""Generated rooms poured into real servers, event by event, and what these servers make of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.state_map import StateMap
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.storage.events import Form, StoredEvent, events_by_id
from homeserver.storage.rooms import RoomHead, find_head
from tests.databases import fresh_sqlite
from tests.forked_rooms import ForkedRoom
from tests.services.world import World, now


def received(event: Event) -> Received:
    """An event as the checks before the room leave it."""
    return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)


class PouredRoom:
    """What one server has of a generated room."""

    def __init__(self, world: World, room: ForkedRoom) -> None:
        self.world = world
        self.room = room
        self.outcomes: dict[EventID, Outcome] = {}

    def pour(self, events: Sequence[Event]) -> None:
        """Take these events in, in this order, in one go."""
        taken = world_takes(self.world, self.room, events)
        self.outcomes.update(taken)

    def pour_in_parts(self, events: Sequence[Event], random: Random) -> None:
        """Take these events in, in this order, some at a time."""
        left = list(events)
        while left:
            size = random.randrange(1, 8)
            self.pour(left[:size])
            left = left[size:]

    @property
    def head(self) -> RoomHead:
        """Where the room stands on this server."""
        head = self.world.sync_database.read(find_head, self.room.room_id)
        assert head is not None
        return head

    def stored(self, event_ids: Iterable[EventID]) -> Mapping[EventID, StoredEvent]:
        """The rows of these events."""
        return self.world.sync_database.read(events_by_id, tuple(event_ids))

    def state(self, root: bytes) -> StateMap:
        """The whole state of a root."""
        return self.world.sync_database.read(
            lambda tx: self.world.states.with_nodes(
                tx, self.room.room_id, lambda nodes: dict(state_map.items(nodes, root))
            )
        )


def world_takes(world: World, room: ForkedRoom, events: Sequence[Event]) -> dict[EventID, Outcome]:
    """What a server's intake says of these events."""
    room_id: RoomID = room.room_id
    return now(world.intake.take(room_id, room.version, [received(event) for event in events], received_from=None))


def fresh_server(folder: Path, name: str) -> World:
    """A server with an empty database of its own."""
    return World(fresh_sqlite(folder / f"{name}.db"))


def check_against_history(poured: PouredRoom) -> None:
    """Fail unless a server that has the whole room has judged it, and knows its states, as the history has them."""
    history = poured.room.history
    stored = poured.stored(history.events)
    assert stored.keys() == history.events.keys()
    rejected = {event_id for event_id, outcome in poured.outcomes.items() if outcome is Outcome.REJECTED}
    assert rejected == history.rejected
    for event_id, one in stored.items():
        assert one.root_before is not None
        assert poured.state(one.root_before) == history.before[event_id], event_id
        assert one.root is not None
        assert poured.state(one.root) == history.after[event_id], event_id
    head = poured.head
    assert poured.state(head.current_root) == history.state_after(head.heads)
