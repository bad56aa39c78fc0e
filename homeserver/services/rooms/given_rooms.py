"""What another server gives of a room, a state and its auth chain: put aside, checked, and kept for who names it.

It is as large as the room, and so never in memory as objects but for a slice of it: before it is checked and after, it
is there as bytes. Spec: server-server-api/#joining-rooms. What is asked for is in remote_joins.py and in
services/federation/room_completion.py.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.canonical_json import decode_checked
from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.event import EncodedEvent, Event, view_event
from homeserver.core.event_graph import topological_order
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import (
    EventID,
    RoomID,
    ServerName,
    UserID,
    server_name_of,
    server_name_of_user,
)
from homeserver.core.room_versions import RoomVersion, room_version_of_create
from homeserver.core.slices import slices
from homeserver.core.state_map import StateKey
from homeserver.core.state_nodes import HashedEventID
from homeserver.outbound.errors import RemoteNonsense
from homeserver.services.events.completion import Completion
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import EVENTS_PER_WRITE, Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.events.writing.states import MEMBER, state_entry_of
from homeserver.services.rooms.several_servers import candidates
from homeserver.storage.events import Form
from homeserver.storage.partial_rooms import PartialRoom

# JSON of other servers is `Any` in this file.

EVENTS_PER_CHECK: Final = 500  # whose signatures are verified in one go, in a thread
MOST_EVENTS: Final = 500_000  # of a state and its auth chain: more than any room is known to have
MOST_AT_ONCE: Final = 500  # events of a state that are put in place in one write
KEPT: Final = (Outcome.ACCEPTED, Outcome.SOFT_FAILED)
AUTH_CHAIN: Final = "auth_chain"

State = Mapping[StateKey, EventID | HashedEventID]


class TooManyEvents(RemoteNonsense):
    """A server gives a room more state than a room can have."""


@dataclass(slots=True)
class Given:
    """The state and the auth chain that a server gives, put aside while they arrive."""

    most_events: int
    state: list[Any] = field(default_factory=list)  # of bytes, but for what cannot be written as such
    auth_chain: list[Any] = field(default_factory=list)

    def take(self, name: str, event: Any) -> None:
        """Put aside an element of the list of that name. Raises TooManyEvents."""
        if len(self.state) + len(self.auth_chain) >= self.most_events:
            raise TooManyEvents(f"the room's state has more than {self.most_events} events")
        (self.auth_chain if name == AUTH_CHAIN else self.state).append(_packed(event))

    def state_events(self) -> Iterator[Any]:
        """The events of the state, as they were given."""
        return map(_unpacked, self.state)


@dataclass(frozen=True, slots=True)
class _Checked:
    """An event that was found to be what it should be."""

    pdu: bytes
    form: Form
    depth: int
    auth_event_ids: tuple[EventID, ...]

    def received(self, event_id: EventID, version: RoomVersion) -> Received:
        """The event as it was when it was checked."""
        event = view_event(decode_checked(version, self.pdu), version, event_id=event_id)
        return Received(EncodedEvent(event, self.pdu), self.form)


class _Room:
    """What a server gave of a room, as far as it is what it should be."""

    def __init__(self, room_id: RoomID, version: RoomVersion, join_id: EventID) -> None:
        self.events: dict[EventID, _Checked] = {}
        self.servers: set[str] = set()  # of those who are joined
        self.state: dict[StateKey, EventID | HashedEventID] = {}
        self._room_id = room_id
        self._version = version
        self._join_id = join_id
        self._create: Event | None = None
        self._names: dict[EventID, EventID] = {}  # the same few events authorise all others

    def add(self, received: Received, *, is_state: bool) -> None:
        """Take note of an event. Raises RemoteNonsense when it has the place of another one in the state."""
        event = received.encoded.event
        if event.room_id != self._room_id or event.event_id in self.events:
            return
        event_id = self._names.setdefault(event.event_id, event.event_id)
        auth_event_ids = tuple(self._names.setdefault(one, one) for one in event.auth_event_ids)
        checked = _Checked(_fitted(received.encoded.pdu_json), received.form, event.depth, auth_event_ids)
        self.events[event_id] = checked
        if not is_state or event_id == self._join_id or event.state_key is None:
            return
        key = (event.type, event.state_key)
        entry = state_entry_of(event)
        if self.state.setdefault(key, entry) != entry:
            raise RemoteNonsense(f"the state has two events of type {event.type!r:.60} and one state key")
        if key == CREATE:
            self._create = event
        if event.type == MEMBER and event.content.get("membership") == "join":
            self.servers.add(server_name_of(UserID(event.state_key)) or "")

    def has_all(self, event_ids: Collection[EventID]) -> bool:
        """Whether these are all in the state."""
        return set(event_ids) <= set(_ids_of(self.state))

    def check_create(self) -> None:
        """Raise RemoteNonsense unless the state has the m.room.create of the room."""
        create, version = self._create, self._version
        if create is None or (version.room_id_is_create_hash and create.event_id != create_event_id_of(self._room_id)):
            raise RemoteNonsense("the state has no m.room.create of the room")
        try:
            is_right = room_version_of_create(create.content) == version
        except UnsupportedRoomVersion:
            is_right = False
        if not is_right:
            raise RemoteNonsense("the room has another version than was said")

    def in_order(self) -> list[EventID]:
        """The events, each after those that authorise it."""
        named = {event_id: one.auth_event_ids for event_id, one in self.events.items()}
        order = topological_order(named, lambda event_id: self.events[event_id].depth)
        if self._version.room_id_is_create_hash:  # nobody names it, and it authorises everything
            order.sort(key=lambda event_id: event_id != create_event_id_of(self._room_id))
        return order


class GivenRooms:
    """Keeps what is given of rooms."""

    def __init__(
        self,
        receipt: Receipt,
        intake: Intake,
        completion: Completion,
        most_events: int = MOST_EVENTS,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self.most_at_once = most_at_once  # of a state: a larger one is put in place in several writes
        self._receipt = receipt
        self._intake = intake
        self._completion = completion
        self._most_events = most_events

    def begin(self) -> Given:
        """Where what a server gives is put."""
        return Given(self._most_events)

    async def keep(self, given: Given, room_id: RoomID, version: RoomVersion, join_id: EventID) -> State:
        """Keep what was given as outliers; the state before the event `join_id`.

        What is not as it should be is left out, and of the state what was rejected. Raises RemoteNonsense when what is
        left cannot be the room.
        """
        return (await self._kept(given, room_id, version, join_id)).state

    async def enter(
        self,
        given: Given,
        version: RoomVersion,
        join: Received,
        given_by: ServerName,
        servers: Collection[ServerName] | None,
    ) -> Outcome:
        """Keep what was given as outliers, and let a user of this server into the room by the event `join`.

        `servers` are those in the room if members were left out of the state. Raises as `keep` does.
        """
        event = join.encoded.event
        room_id = event.room_id
        room = await self._kept(given, room_id, version, event.event_id)
        if servers is not None or len(room.state) <= self.most_at_once or not room.has_all(event.auth_event_ids):
            state = GivenState(_ids_of(room.state), given_by, servers is not None, servers or ())
            return await self._take(version, join, state)
        # As if the members had been left out, and at once the rest: that is done in small writes.
        with self._completion.rest_at_hand(room_id):
            needed = auth_types_for(event.type, event.sender, event.state_key, event.content, version)
            part = {key: entry for key, entry in room.state.items() if key[0] != MEMBER or key in needed}
            others = frozenset(candidates(server_name_of_user(event.sender), [given_by], sorted(room.servers)))
            outcome = await self._take(
                version, join, GivenState(_ids_of(part), given_by, omits_members=True, servers=others)
            )
            if outcome is Outcome.ACCEPTED:
                await self._completion.complete(PartialRoom(room_id, event.event_id, given_by), room.state)
            return outcome

    async def _take(self, version: RoomVersion, join: Received, state: GivenState) -> Outcome:
        event = join.encoded.event
        taken = await self._intake.take_at_gap(event.room_id, version, join, state, begins_anew=True)
        return taken[event.event_id]

    async def _kept(self, given: Given, room_id: RoomID, version: RoomVersion, join_id: EventID) -> _Room:
        """What was given and kept. Raises as `keep` does."""
        room = _Room(room_id, version, join_id)
        for pdus, is_state in ((given.state, True), (given.auth_chain, False)):
            while pdus:
                some = [_unpacked(pdu) for pdu in pdus[-EVENTS_PER_CHECK:]]
                del pdus[-EVENTS_PER_CHECK:]
                for checked in await self._receipt.check(some, version):
                    if isinstance(checked, Received):
                        room.add(checked, is_state=is_state)
        room.check_create()
        kept: set[EventID] = set()
        for event_ids in slices(room.in_order(), EVENTS_PER_WRITE):
            received = [room.events.pop(event_id).received(event_id, version) for event_id in event_ids]
            outcomes = await self._intake.take_outliers(room_id, version, received)
            kept.update(event_id for event_id, outcome in outcomes.items() if outcome in KEPT)
        room.state = {key: entry for key, entry in room.state.items() if _id_of(entry) in kept}
        return room


def _id_of(entry: EventID | HashedEventID) -> EventID:
    return entry.event_id if isinstance(entry, HashedEventID) else entry


def _ids_of(state: State) -> list[EventID]:
    return [_id_of(entry) for entry in state.values()]


def _packed(event: Any) -> Any:
    """The bytes of an event, which as objects takes several times as much memory; itself if they would not be it."""
    try:
        return _fitted(orjson.dumps(event))
    except orjson.JSONEncodeError:  # a number, or a depth, that few have
        return event


def _fitted(written: bytes) -> bytes:
    """The same bytes without what was laid out for more: what orjson has written keeps several kilobytes."""
    return bytes(memoryview(written))


def _unpacked(packed: Any) -> Any:
    return orjson.loads(packed) if isinstance(packed, bytes) else packed
