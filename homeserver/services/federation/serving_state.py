"""A room's state before an event, and the events that authorise it, for other servers in the room.

A state is as large as its room: it is read in slices, each in a transaction of its own, and put together from the bytes
that are stored. Nothing in it changes meanwhile, for a root names one state for ever; a redaction may show in one slice
and not in another.
Spec: server-server-api/#retrieving-events
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

import orjson

from homeserver.core import state_map
from homeserver.core.canonical_json import decode_checked
from homeserver.core.event import view_event
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion
from homeserver.core.slices import slices
from homeserver.core.state_map import UnknownState
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.errors import NotFound, UnableDueToPartialState
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.room_access import NO_EVENT, RoomAccess
from homeserver.services.federation.visibility import ServerVisibility, Standing, pdu_json
from homeserver.storage.database import Database, Transaction
from homeserver.storage.pdus import AuthEvents, Pdu, auth_events_by_id, joined_json, pdus_by_id
from homeserver.storage.rooms import RoomHead

EVENTS_PER_READ: Final = 500


class Authorised(Protocol):
    """What is read of an event that is authorised by others."""

    @property
    def auth_event_ids(self) -> tuple[EventID, ...]:
        """Which ones."""


A = TypeVar("A", bound=Authorised)


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """Which events a state has, and which of them are to be shown redacted."""

    room_id: RoomID
    version: RoomVersion
    event_ids: Sequence[EventID]
    standing: Standing
    current: frozenset[EventID] = frozenset()  # what is shown whole in any case

    def hides(self, event_id: EventID, sender: str, erased: ErasedUsers) -> bool:
        """Whether an event of it is shown redacted."""
        if self.standing.is_open and (self.standing.was_there or sender not in erased):
            return False
        return event_id not in self.current


@dataclass(slots=True)
class AuthorisedState:
    """A state with its auth chain: PDUs by ID, redacted where they are not to be shown whole."""

    state: dict[EventID, Pdu] = field(default_factory=dict)
    auth_chain: dict[EventID, Pdu] = field(default_factory=dict)

    def as_json(self, *, state_name: str = "pdus") -> dict[str, object]:
        """The PDUs of both."""
        return {
            state_name: orjson.Fragment(joined_json(pdu.pdu_json for pdu in self.state.values())),
            "auth_chain": orjson.Fragment(joined_json(pdu.pdu_json for pdu in self.auth_chain.values())),
        }


class StateReading:
    """Reads whole states and auth chains as bytes: one at a time, for each may fill much memory."""

    def __init__(self, database: Database, erased: ErasedUsers) -> None:
        self._database = database
        self._erased = erased
        self._turns: KeyedLocks[str] = KeyedLocks()

    async def read(
        self, snapshot: StateSnapshot, *, beside: Sequence[EventID] = (), repeats: bool = True
    ) -> AuthorisedState:
        """The events of a state and the auth chain of all of them, and of some `beside` them.

        Without `repeats` what is in the state is not in the chain.
        """
        async with self._turns("whole state"):
            load = partial(self._in_slices, partial(_shown_pdus, snapshot=snapshot, erased=self._erased))
            state = await load(snapshot.event_ids)
            found = AuthorisedState(state, await _chain_of(state, await load(beside), load))
            if not repeats:
                found.auth_chain = {one: pdu for one, pdu in found.auth_chain.items() if one not in found.state}
            return found

    async def ids(self, snapshot: StateSnapshot) -> tuple[list[EventID], list[EventID]]:
        """The IDs of the events of a state that are here, and of their auth chain. No more than IDs is put together."""
        async with self._turns("whole state"):
            load = partial(self._in_slices, partial(_auth_events, room_id=snapshot.room_id))
            state = await load(snapshot.event_ids)
            return list(state), list(await _chain_of(state, {}, load))

    async def chain(self, snapshot: StateSnapshot) -> dict[EventID, Pdu]:
        """The auth chain of some events, without themselves unless others of them build on them."""
        return (await self.read(snapshot)).auth_chain

    async def _in_slices(
        self, read: Callable[[Transaction, Sequence[EventID]], dict[EventID, A]], event_ids: Sequence[EventID]
    ) -> dict[EventID, A]:
        found: dict[EventID, A] = {}
        for some in slices(event_ids, EVENTS_PER_READ):
            found.update(await self._database.read(read, some))
        return found


class StateServing:
    """Gives servers the states of rooms that they are in."""

    def __init__(
        self,
        database: Database,
        access: RoomAccess,
        visibility: ServerVisibility,
        states: RoomStates,
        reading: StateReading,
    ) -> None:
        self._database = database
        self._access = access
        self._visibility = visibility
        self._states = states
        self._reading = reading

    async def state(self, server: ServerName, room_id: RoomID, event_id: EventID) -> dict[str, object]:
        """The state before an event and its auth chain, as PDUs.

        Raises Forbidden, NotFound, UnableDueToPartialState.
        """
        snapshot = await self._database.read(self._snapshot, server, room_id, event_id)
        return (await self._reading.read(snapshot)).as_json()

    async def state_ids(self, server: ServerName, room_id: RoomID, event_id: EventID) -> dict[str, object]:
        """The state before an event and its auth chain, as IDs. Raises as `state` does."""
        snapshot = await self._database.read(self._snapshot, server, room_id, event_id)
        state, chain = await self._reading.ids(snapshot)
        return {"pdu_ids": state, "auth_chain_ids": chain}

    async def auth_chain(self, server: ServerName, room_id: RoomID, event_id: EventID) -> dict[str, object]:
        """The auth chain of an event, as PDUs. Raises Forbidden, NotFound."""
        snapshot = await self._database.read(self._event_alone, server, room_id, event_id)
        chain = await self._reading.chain(snapshot)
        return {"auth_chain": orjson.Fragment(joined_json(pdu.pdu_json for pdu in chain.values()))}

    def _snapshot(self, tx: Transaction, server: ServerName, room_id: RoomID, event_id: EventID) -> StateSnapshot:
        head = self._access.enter(tx, room_id, server)
        stored, root = self._access.placed_event(tx, room_id, event_id)
        if head.is_partial:
            raise UnableDueToPartialState
        ids = self._event_ids(tx, room_id, root)
        standing = self._visibility.standing(tx, head, server, stored)
        return StateSnapshot(room_id, head.version, ids, standing, self._current(tx, head, standing))

    def _event_alone(self, tx: Transaction, server: ServerName, room_id: RoomID, event_id: EventID) -> StateSnapshot:
        head = self._access.enter(tx, room_id, server)
        stored = self._access.find_event(tx, room_id, event_id)
        if stored is None:
            raise NotFound(NO_EVENT)
        standing = self._visibility.standing(tx, head, server, stored)
        return StateSnapshot(room_id, head.version, [event_id], standing, self._current(tx, head, standing))

    def _current(self, tx: Transaction, head: RoomHead, standing: Standing) -> frozenset[EventID]:
        """The events of the current state, where it matters whether one is of it."""
        if head.is_partial or (standing.is_open and standing.was_there):
            return frozenset()
        return frozenset(self._event_ids(tx, head.room_id, head.current_root))

    def _event_ids(self, tx: Transaction, room_id: RoomID, root: bytes) -> list[EventID]:
        def entries(nodes: state_map.Nodes) -> list[EventID]:
            return [event_id for _, event_id in state_map.items(nodes, root)]

        try:
            return self._states.with_nodes(tx, room_id, entries)
        except UnknownState:
            raise NotFound(NO_EVENT) from None


async def _chain_of(
    state: Mapping[EventID, A],
    beside: Mapping[EventID, A],
    load: Callable[[Sequence[EventID]], Awaitable[dict[EventID, A]]],
) -> dict[EventID, A]:
    """Everything that authorises a state, and what is beside it, level by level.

    What is further away comes first, and last what the state has: there are servers that take the events in this order,
    and for which one takes the place of those before it.
    """
    chain: dict[EventID, A] = {}
    level: dict[EventID, A] = {**state, **beside}
    while level:
        named = dict.fromkeys(each for one in level.values() for each in one.auth_event_ids)
        fresh = [each for each in named if each not in chain]
        here = {each: state[each] for each in fresh if each in state}
        chain.update(here)
        level = await load([each for each in fresh if each not in here])
        chain.update(level)
    return dict(reversed(chain.items()))


def _auth_events(tx: Transaction, event_ids: Sequence[EventID], *, room_id: RoomID) -> dict[EventID, AuthEvents]:
    return auth_events_by_id(tx, room_id, event_ids)


def _shown_pdus(
    tx: Transaction, event_ids: Sequence[EventID], *, snapshot: StateSnapshot, erased: ErasedUsers
) -> dict[EventID, Pdu]:
    return {
        event_id: _redacted(snapshot.version, event_id, pdu) if snapshot.hides(event_id, pdu.sender, erased) else pdu
        for event_id, pdu in pdus_by_id(tx, snapshot.room_id, event_ids).items()
    }


def _redacted(version: RoomVersion, event_id: EventID, pdu: Pdu) -> Pdu:
    event = view_event(decode_checked(version, pdu.pdu_json), version, event_id=event_id)
    return Pdu(pdu_json(event, is_whole=False), pdu.sender, pdu.auth_event_ids)
