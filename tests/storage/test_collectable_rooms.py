"""Rooms to be collected: each in the order of its turn, and what came after a collection has a turn of its own."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.identifiers import RoomID
from homeserver.storage.collectable_rooms import find_collectable, note_collectable, note_collected
from homeserver.storage.rooms import SYNC_HORIZON_MS, insert_root, sweep_roots
from tests.conftest import examples
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

ROOM_IDS = st.sampled_from([RoomID(f"!{name}:example.org") for name in "abc"])
STEPS = st.lists(st.tuples(ROOM_IDS, st.booleans(), st.integers(0, 20)), max_size=30)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_a_room_has_its_turn_after_its_first_note_that_was_not_collected(
    db: SyncDatabase, steps: list[tuple[RoomID, bool, int]]
) -> None:
    db.write(empty, ("collectable_rooms",))
    turns: dict[RoomID, int] = {}
    newest: dict[RoomID, int] = {}

    for now_ms, (room_id, is_note, age) in enumerate(steps):
        before = now_ms - age
        if is_note:
            db.write(note_collectable, room_id, now_ms)
            turns.setdefault(room_id, now_ms)
            newest[room_id] = now_ms
        else:
            db.write(note_collected, room_id, before)
            if room_id in turns and newest[room_id] < before:
                del turns[room_id]
            elif room_id in turns:
                turns[room_id] = newest[room_id]

        due = {room for room, turn in turns.items() if turn < before}
        found = db.read(find_collectable, before)
        assert (found in due) if due else (found is None)
        assert not due or turns[found or room_id] == min(turns.values())


def test_a_room_has_no_turn_while_states_of_it_are_to_be_swept(db: SyncDatabase) -> None:
    room_id, other = RoomID("!a:example.org"), RoomID("!b:example.org")
    for position, written_ms in enumerate((1, 5, 9), 1):
        db.write(insert_root, room_id, log_position=position, root=bytes(32), written_ms=written_ms)
        db.write(insert_root, other, log_position=position, root=bytes(32), written_ms=100)
    db.write(note_collectable, room_id, 5)

    assert db.read(find_collectable, 6) is None

    db.write(sweep_roots, 6 + SYNC_HORIZON_MS, 10)
    assert db.read(find_collectable, 6) == room_id
    assert db.read(find_collectable, 10) is None
