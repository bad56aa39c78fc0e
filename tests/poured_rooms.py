"""Generated rooms poured into real servers, event by event, and what these servers make of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID, server_name_of_user
from homeserver.core.state_map import StateMap
from homeserver.runtime.caches import CacheBudget
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.storage.events import Form, StoredEvent, Verdict, events_by_id
from homeserver.storage.memberships import memberships_in_room
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import RoomHead, find_head
from tests.databases import fresh_sqlite
from tests.forked_rooms import USERS, ForkedRoom
from tests.services.world import World, now


def received(event: Event) -> Received:
    """An event as the checks before the room leave it."""
    return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), Form.FULL)


class PouredRoom:
    """What one server has of a generated room."""

    def __init__(self, world: World, room: ForkedRoom, name: str = "the server") -> None:
        self.world = world
        self.room = room
        self.name = name
        self.outcomes: dict[EventID, Outcome] = {}
        self.has_waited = False  # some event came before its ancestors
        # Nothing is known to them: what they say stands in the database.
        budget = CacheBudget(1 << 22)
        self._states = RoomStates(budget, EventCache(budget))
        self._by_root: dict[bytes, StateMap] = {}

    def pour(self, events: Sequence[Event]) -> None:
        """Take these events in, in this order, in one go."""
        received_events = [received(event) for event in events]
        taking = self.world.intake.take(self.room.room_id, self.room.version, received_events, received_from=None)
        outcomes = now(taking)
        self.has_waited |= Outcome.WAITING in outcomes.values()
        self.outcomes.update(outcomes)

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
        if root not in self._by_root:
            self._by_root[root] = self.world.sync_database.read(
                lambda tx: self._states.with_nodes(
                    tx, self.room.room_id, lambda nodes: dict(state_map.items(nodes, root))
                )
            )
        return self._by_root[root]


def fresh_server(folder: Path, name: str) -> World:
    """A server with an empty database of its own."""
    return World(fresh_sqlite(folder / f"{name}.db"))


def check_against_history(poured: PouredRoom) -> Mapping[EventID, StoredEvent]:
    """Fail unless a server that has the whole room judged it, and knows the states around each event, as the history.

    Returns the rows of all events.
    """
    history, name = poured.room.history, poured.name
    stored = poured.stored(history.events)
    assert stored.keys() == history.events.keys(), f"{name} lacks events"
    assert Outcome.WAITING not in poured.outcomes.values(), f"{name} told of an event that waits, and of nothing since"
    rejected = {event_id for event_id, one in stored.items() if one.verdict is Verdict.REJECTED}
    assert rejected == history.rejected, f"{name} differs from the history about {rejected ^ history.rejected}"
    told = {event_id for event_id, outcome in poured.outcomes.items() if outcome is Outcome.REJECTED}
    assert told == rejected, f"{name} did not tell what it did with {rejected ^ told}"
    for event_id, one in stored.items():
        assert one.root_before is not None, f"{name} has no state before {event_id}"
        assert poured.state(one.root_before) == history.before[event_id], f"{name}: the state before {event_id}"
        assert one.root is not None
        assert poured.state(one.root) == history.after[event_id], f"{name}: the state after {event_id}"
    _check_redactions(poured, stored)
    return stored


def check_current_state(poured: PouredRoom) -> RoomHead:
    """Fail unless the current state, and the list of members, are those of the heads. Returns what was checked."""
    head = poured.head
    current = poured.room.history.state_after(head.heads)
    assert poured.state(head.current_root) == current, f"{poured.name}: the current state"
    rows = poured.world.sync_database.read(memberships_in_room, poured.room.room_id, list(USERS))
    listed = {user: row.event_id for user, row in rows.items()}
    members = {user: current["m.room.member", user] for user in USERS if ("m.room.member", user) in current}
    assert listed == members, f"{poured.name}: the members"
    events = poured.room.history.events
    for user, row in rows.items():
        assert row.membership == events[members[user]].content["membership"], f"{poured.name}: membership of {user}"
    servers = {server_name_of_user(user) for user, row in rows.items() if row.membership == "join"}
    assert poured.world.sync_database.read(servers_in_room, poured.room.room_id) == servers, f"{poured.name}: servers"
    return head


def _check_redactions(poured: PouredRoom, stored: Mapping[EventID, StoredEvent]) -> None:
    """Fail unless exactly those events are redacted that a redaction was for which this server accepted."""
    history = poured.room.history
    to_redact = {
        event.redacts
        for event_id, event in history.events.items()
        if event.redacts in history.events
        and stored[event_id].verdict is Verdict.ACCEPTED
        and history.is_to_redact(event, history.events[event.redacts])
    }
    redacted = {event_id for event_id, one in stored.items() if one.form is Form.REDACTED}
    assert redacted == to_redact, f"{poured.name}: redacted or not: {redacted ^ to_redact}"
