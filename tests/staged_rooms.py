"""Generated rooms put into tables as they are, without being judged: for what merges their states."""

from collections.abc import Sequence
from random import Random

import orjson

from homeserver.core import state_map
from homeserver.core.event import Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.core.state_map import EMPTY_ROOT, StateKey, StateMap
from homeserver.core.state_nodes import HashedEventID, Node
from homeserver.core.state_resolution import resolve_states
from homeserver.runtime.caches import CacheBudget
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.state_merging import Elsewhere, MergeQuestion, Overlay, StateMerging
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import insert_edges
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, insert_event
from homeserver.storage.rooms import RoomHead, insert_room
from homeserver.storage.state_nodes import store_nodes
from tests.databases import SyncDatabase
from tests.forked_rooms import ForkedRoom, grow_room


class Stage:
    """A room of which the first `stored` events and every other state are in tables, and the rest is on its way."""

    def __init__(self, room: ForkedRoom, database: SyncDatabase, stored: int) -> None:
        self.room = room
        self.database = database
        self.merging = self.new_merging()
        first_nid = database.write(lambda tx: tx.next_ids("event_nid", len(room.events)))
        self.nids = {event.event_id: EventNid(number) for number, event in enumerate(room.events, first_nid)}
        self.bodies: dict[bytes, bytes] = {}
        self.nodes: dict[bytes, Node] = {}
        self.roots: dict[frozenset[tuple[StateKey, EventID]], bytes] = {}
        for fork in room.forks:
            for state in fork.states:
                self._add(state, is_stored=len(self.roots) % 2 == 0)
        self.overlay = Overlay(self.nodes, {one.event_id: self._event(one) for one in room.events[stored:]})
        database.write(self._store, room.events[:stored])

    def new_merging(self, elsewhere: Elsewhere | None = None, cache_bytes: int = 1 << 24) -> StateMerging:
        """What merges, with nothing remembered."""
        return StateMerging(self.database.database, self.new_states(cache_bytes), CacheBudget(cache_bytes), elsewhere)

    @staticmethod
    def new_states(cache_bytes: int = 1 << 24) -> RoomStates:
        """What reads states, with nothing remembered."""
        budget = CacheBudget(cache_bytes)
        return RoomStates(budget, EventCache(budget))

    def question(self, states: Sequence[StateMap]) -> MergeQuestion:
        """What is asked to have states merged."""
        roots = frozenset(self.root(state) for state in states)
        return MergeQuestion(self.room.room_id, self.room.version, roots, self.overlay)

    def root(self, state: StateMap) -> bytes:
        return self.roots[frozenset(state.items())]

    def merged(self, states: list[StateMap], *, limit: int | None = None) -> bytes:
        """The root of the merge."""
        roots = [self.root(state) for state in states]

        def merge(tx: Transaction) -> bytes:
            return self.merging.merge(tx, self.room.room_id, self.room.version, roots, self.overlay, limit=limit).root

        return self.database.read(merge)

    def expected(self, state: StateMap) -> state_map.Updated:
        """The map of a whole state, made from nothing."""
        values = {key: self._value(self.room.history.events[event_id]) for key, event_id in state.items()}
        nothing: dict[bytes, Node] = {}
        return state_map.update(nothing.get, EMPTY_ROOT, values)

    def resolved(self, states: Sequence[StateMap]) -> bytes:
        """The root of their resolution as whole states."""
        history = self.room.history
        return self.expected(
            resolve_states(
                states,
                history.events.get,
                room_id=self.room.room_id,
                version=self.room.version,
                rejected=history.rejected,
            )
        ).root

    def _add(self, state: StateMap, *, is_stored: bool) -> None:
        updated = self.expected(state)
        self.roots[frozenset(state.items())] = updated.root
        if is_stored:
            self.bodies.update(updated.new_nodes)
        else:
            self.nodes.update(updated.parsed)

    def _value(self, event: Event) -> EventID | HashedEventID:
        if self.room.version.event_ids_are_hashes:
            return event.event_id
        return HashedEventID(event.event_id, reference_hash(event.pdu, self.room.version))

    def _event(self, event: Event) -> StoredEvent:
        is_rejected = event.event_id in self.room.history.rejected
        return StoredEvent(
            nid=self.nids[event.event_id],
            event=event,
            log_position=None,
            place=None,
            verdict=Verdict.REJECTED if is_rejected else Verdict.ACCEPTED,
            form=Form.FULL,
            redacted_by=None,
            replaces_state=None,
            thread_id=None,
            transaction=None,
            root_before=None,
            root_after=None,
            size_bytes=0,
        )

    def _store(self, tx: Transaction, events: list[Event]) -> None:
        insert_room(
            tx, RoomHead(self.room.room_id, self.room.version, 0, EMPTY_ROOT, (), 0, 0, is_blocked=False), created_ms=0
        )
        store_nodes(tx, self.room.room_id, self.bodies)
        for event in events:
            insert_event(tx, self._event(event), orjson.dumps(event.pdu))
            if event.state_key is not None:
                auth = [self.nids[auth_id] for auth_id in event.auth_event_ids]
                insert_edges(tx, self.room.room_id, self.nids[event.event_id], prev=(), auth=auth)


def quarrelled_room(version: RoomVersion = V11, name: str = "room") -> ForkedRoom:
    """A room with a fork whose states differ."""
    rooms = (grow_room(Random(seed), version, name=name) for seed in range(100))
    return next(room for room in rooms if any(fork.states[0] != fork.states[1] for fork in room.forks))


def states_in_conflict(room: ForkedRoom) -> list[StateMap]:
    """States of a fork that are not all the same."""
    return list(next(fork.states for fork in room.forks if fork.states[0] != fork.states[1]))
