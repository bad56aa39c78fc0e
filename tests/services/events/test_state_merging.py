"""States merged by their roots are the resolution of the whole states, wherever events and nodes lie."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core import state_map
from homeserver.core.event import Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import V11
from homeserver.core.state_map import EMPTY_ROOT, StateKey, StateMap
from homeserver.core.state_nodes import HashedEventID, Node
from homeserver.core.state_resolution import resolve_states
from homeserver.runtime.caches import CacheBudget
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.state_merging import NotMerged, Overlay, StateMerging
from homeserver.storage.database import Transaction
from homeserver.storage.event_edges import insert_edges
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, insert_event
from homeserver.storage.rooms import RoomHead, insert_room
from homeserver.storage.state_nodes import store_nodes
from tests.databases import SyncDatabase, fresh_sqlite
from tests.forked_rooms import ForkedRoom, forked_rooms, grow_room
from tests.services.world import now


class Stage:
    """A room of which the first `stored` events and every other state are in tables, and the rest is on its way."""

    def __init__(self, room: ForkedRoom, database: SyncDatabase, stored: int) -> None:
        self.room = room
        self.database = database
        budget = CacheBudget(1 << 24)
        self.merging = StateMerging(database.database, RoomStates(budget, EventCache(budget)), budget)
        self.nids = {event.event_id: EventNid(number) for number, event in enumerate(room.events, 1)}
        self.bodies: dict[bytes, bytes] = {}
        self.nodes: dict[bytes, Node] = {}
        self.roots: dict[frozenset[tuple[StateKey, EventID]], bytes] = {}
        for fork in room.forks:
            for state in fork.states:
                self._add(state, is_stored=len(self.roots) % 2 == 0)
        self.overlay = Overlay(self.nodes, {one.event_id: self._event(one) for one in room.events[stored:]})
        database.write(self._store, room.events[:stored])

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


@contextmanager
def staged(room: ForkedRoom, stored: int) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="columba-merging-") as folder:
        database = SyncDatabase(fresh_sqlite(Path(folder) / "homeserver.db"))
        try:
            yield Stage(room, database, stored)
        finally:
            database.close()


def quarrelled_room() -> ForkedRoom:
    """A room with a fork whose states differ."""
    rooms = (grow_room(Random(seed), V11) for seed in range(100))
    return next(room for room in rooms if any(fork.states[0] != fork.states[1] for fork in room.forks))


@settings(max_examples=30)
@given(forked_rooms(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_merging_roots_is_resolving_the_whole_states(room: ForkedRoom, share: float, random: Random) -> None:
    with staged(room, round(share * len(room.events))) as stage:
        for fork in room.forks:
            states = list(fork.states)
            random.shuffle(states)

            root = stage.merged(states)

            resolved = resolve_states(
                fork.states,
                room.history.events.get,
                room_id=room.room_id,
                version=room.version,
                rejected=room.history.rejected,
            )
            assert root == stage.expected(resolved).root


def test_one_state_is_merged_with_itself_without_a_look() -> None:
    room = quarrelled_room()
    with staged(room, 0) as stage:
        state = room.forks[0].states[0]

        assert stage.merged([state, state], limit=0) == stage.root(state)


def test_no_state_at_all_is_merged_to_the_empty_one() -> None:
    with staged(quarrelled_room(), 0) as stage:
        assert stage.merged([], limit=0) == EMPTY_ROOT


def test_what_is_too_much_inside_a_write_is_merged_elsewhere_and_remembered() -> None:
    room = quarrelled_room()
    fork = next(fork for fork in room.forks if fork.states[0] != fork.states[1])
    with staged(room, len(room.events)) as stage:
        states = list(fork.states)
        with pytest.raises(NotMerged) as raised:
            stage.merged(states, limit=0)

        now(stage.merging.merge_elsewhere(raised.value))

        assert stage.merged(states, limit=0) == stage.expected(fork.resolved).root
