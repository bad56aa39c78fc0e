"""A slice of an audit reads so much and no more; what it found out, the next slices know."""

from itertools import combinations

import pytest

from homeserver.core import state_map
from homeserver.core.event_audit import Unsound
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.services.admin.audit_reading import (
    ENTRIES_PER_SLICE,
    MERGES_PER_SLICE,
    MOST_KEPT_EVENTS,
    NODES_PER_ROUND,
    NODES_PER_SLICE,
    Counts,
    Memory,
    Pause,
    Reading,
)
from homeserver.storage.database import Transaction
from homeserver.storage.state_nodes import store_nodes
from tests.services.admin.damageable_room import DamageableRoom
from tests.services.world import World
from tests.storage.bare_rows import insert_bare_event

ROOM = RoomID("!room:one.example")
VERSION = ROOM_VERSIONS["11"]


def store_state(tx: Transaction, entries: int, *, root: bytes = EMPTY_ROOT) -> bytes:
    """A state with so many entries, all of them events; its root."""
    state: dict[StateKey, EventID] = {}
    for number in range(entries):
        state["m.test", str(number)] = EventID(f"${number}")
        insert_bare_event(tx, number + 1, f"${number}", ROOM, state_key=str(number), root_before=EMPTY_ROOT)
    updated = state_map.update(lambda _: None, root, state)
    store_nodes(tx, ROOM, updated.new_nodes)
    return updated.root


def slices_of(world: World, memory: Memory, root: bytes, *, of_map: bool = False) -> int:
    """How many slices it takes to go through the entries of a state, or through its map."""

    def go_on(tx: Transaction) -> bool:
        reading = Reading(tx, ROOM, VERSION, memory, counts)
        try:
            (reading.check_map if of_map else reading.check_entries)(root, "the state")
        except Pause:
            return True
        return False

    counts, slices = Counts(), 1
    while world.sync_database.read(go_on):
        slices += 1
        assert counts.nodes <= slices * (NODES_PER_SLICE + NODES_PER_ROUND)
    return slices


def test_a_large_given_state_is_gone_through_in_slices_and_what_is_like_it_at_once(world: World) -> None:
    root = world.sync_database.write(store_state, ENTRIES_PER_SLICE + 1)
    memory = Memory()

    assert slices_of(world, memory, root, of_map=True) > 1
    assert slices_of(world, memory, root) == 2
    assert slices_of(world, memory, root, of_map=True) == slices_of(world, memory, root) == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DELETE FROM events WHERE event_id = '$7'", "the state has $7 as ('m.test', '7'), which is not here"),
        ("UPDATE events SET room_id = '!x:y' WHERE event_id = '$7'", "which is not here"),
        ("UPDATE events SET state_key = '8' WHERE event_id = '$7'", "which is not it"),
        ("UPDATE events SET verdict = 2, root_before = NULL WHERE event_id = '$7'", "has $7, which was rejected"),
    ],
)
def test_a_given_state_has_only_events_of_the_room_under_their_keys(world: World, damage: str, reason: str) -> None:
    root = world.sync_database.write(store_state, 10)
    assert slices_of(world, Memory(), root) == 1

    world.sync_database.write(lambda tx: tx.run(damage))

    with pytest.raises(Unsound) as unsound:
        slices_of(world, Memory(), root)
    assert reason in unsound.value.reason


def test_a_slice_merges_only_some_states_and_the_next_one_knows_them(world: World) -> None:
    room = DamageableRoom(world, VERSION)
    sql = "SELECT DISTINCT root_before FROM events WHERE root_before IS NOT NULL ORDER BY root_before"
    roots = [bytes(row[0]) for row in world.sync_database.read(lambda tx: tx.all(sql))]
    pairs = list(combinations(roots, 2))[: MERGES_PER_SLICE + 3]
    memory = Memory()

    def merge_all(tx: Transaction) -> int:
        reading = Reading(tx, room.room_id, VERSION, memory, Counts())
        merged = 0
        try:
            for pair in pairs:
                assert len(reading.merge(pair)) == 1
                merged += 1
        except Pause:
            pass
        return merged

    assert world.sync_database.read(merge_all) == MERGES_PER_SLICE
    assert world.sync_database.read(merge_all) == len(pairs)


def test_what_is_kept_between_slices_is_bounded(world: World) -> None:
    room_id = world.create_room()
    memory = Memory()
    for number in range(MOST_KEPT_EVENTS + 5):
        memory.events[EventID(f"${number}")] = None  # type: ignore[assignment]
    sql = "SELECT event_id FROM events WHERE room_id = :room_id ORDER BY event_nid"
    first = EventID(world.sync_database.read(lambda tx: tx.all(sql, room_id=room_id))[0][0])

    world.sync_database.read(lambda tx: Reading(tx, room_id, ROOM_VERSIONS["12"], memory, Counts()).find(first))
    memory.tidy()

    assert len(memory.events) == MOST_KEPT_EVENTS
    assert first in memory.events
