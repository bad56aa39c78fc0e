"""What another server gives of a room, a state and its auth chain: put aside, checked, and kept for who names it.

Spec: server-server-api/#joining-rooms. What is asked for is in remote_joins.py and in
services/federation/room_completion.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from homeserver.core.auth_selection import CREATE
from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.event import Event
from homeserver.core.event_graph import topological_order
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion, room_version_of_create
from homeserver.core.state_map import StateKey
from homeserver.outbound.errors import RemoteNonsense
from homeserver.services.events.intake import Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received

# JSON of other servers is `Any` in this file.

EVENTS_PER_CHECK: Final = 500  # whose signatures are verified in one go, in a thread
MOST_EVENTS: Final = 500_000  # of a state and its auth chain: more than any room is known to have
KEPT: Final = (Outcome.ACCEPTED, Outcome.SOFT_FAILED, Outcome.REJECTED)
AUTH_CHAIN: Final = "auth_chain"


class TooManyEvents(RemoteNonsense):
    """A server gives a room more state than a room can have."""


@dataclass(slots=True)
class Given:
    """The state and the auth chain that a server gives, put aside while they arrive."""

    most_events: int
    state: list[Any] = field(default_factory=list)
    auth_chain: list[Any] = field(default_factory=list)

    def take(self, name: str, event: Any) -> None:
        """Put aside an element of the list of that name. Raises TooManyEvents."""
        if len(self.state) + len(self.auth_chain) >= self.most_events:
            raise TooManyEvents(f"the room's state has more than {self.most_events} events")
        (self.auth_chain if name == AUTH_CHAIN else self.state).append(event)


@dataclass(frozen=True, slots=True)
class _Room:
    """What a server gave of a room, as far as it is what it should be."""

    events: Sequence[Received]  # each after those that authorise it
    state: Mapping[StateKey, EventID]


class GivenRooms:
    """Keeps what is given of rooms."""

    def __init__(self, receipt: Receipt, intake: Intake, most_events: int = MOST_EVENTS) -> None:
        self._receipt = receipt
        self._intake = intake
        self._most_events = most_events

    def begin(self) -> Given:
        """Where what a server gives is put."""
        return Given(self._most_events)

    async def keep(self, given: Given, room_id: RoomID, version: RoomVersion, join_id: EventID) -> list[EventID]:
        """Keep what was given as outliers; the events of the state before the event `join_id`.

        What is not as it should be is left out. Raises RemoteNonsense when what is left cannot be the room.
        """
        room = await self._checked(given, room_id, version, join_id)
        outcomes = await self._intake.take_outliers(room_id, version, room.events)
        return [event_id for event_id in room.state.values() if outcomes.get(event_id) in KEPT]

    async def _checked(self, given: Given, room_id: RoomID, version: RoomVersion, join_id: EventID) -> _Room:
        """What was given, checked one by one and put in order."""
        state_ids: dict[EventID, None] = {}
        received: dict[EventID, Received] = {}
        for pdus, is_state in ((given.state, True), (given.auth_chain, False)):
            for some in _slices(pdus):
                for checked in await self._receipt.check(some, version):
                    if not isinstance(checked, Received) or checked.encoded.event.room_id != room_id:
                        continue
                    event = checked.encoded.event
                    received.setdefault(event.event_id, checked)
                    if is_state and event.event_id != join_id:
                        state_ids.setdefault(event.event_id)
            pdus.clear()  # as JSON they are not needed any more
        events = {event_id: one.encoded.event for event_id, one in received.items()}
        state = _state_of([events[event_id] for event_id in state_ids])
        _check_create(state, events, room_id, version)
        named = {event_id: event.auth_event_ids for event_id, event in events.items()}
        order = topological_order(named, lambda event_id: events[event_id].depth)
        if version.room_id_is_create_hash:  # nobody names it, and it authorises everything
            order.sort(key=lambda event_id: event_id != create_event_id_of(room_id))
        return _Room([received[event_id] for event_id in order], state)


def _state_of(events: Iterable[Event]) -> dict[StateKey, EventID]:
    state: dict[StateKey, EventID] = {}
    for event in events:
        if event.state_key is None:
            continue
        if state.setdefault((event.type, event.state_key), event.event_id) != event.event_id:
            raise RemoteNonsense(f"the state has two events of type {event.type!r:.60} and one state key")
    return state


def _check_create(
    state: Mapping[StateKey, EventID], events: Mapping[EventID, Event], room_id: RoomID, version: RoomVersion
) -> None:
    create_id = state.get(CREATE)
    if create_id is None or (version.room_id_is_create_hash and create_id != create_event_id_of(room_id)):
        raise RemoteNonsense("the state has no m.room.create of the room")
    try:
        is_right = room_version_of_create(events[create_id].content) == version
    except UnsupportedRoomVersion:
        is_right = False
    if not is_right:
        raise RemoteNonsense("the room has another version than was said")


def _slices(pdus: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(pdus), EVENTS_PER_CHECK):
        yield pdus[begin : begin + EVENTS_PER_CHECK]
