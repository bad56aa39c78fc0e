"""Rooms that are known in part: of which event the whole state is wanted, and which one it was found to be."""

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.partial_rooms import (
    PartialRoom,
    find_partial_room,
    find_whole_root,
    forget_partial_room,
    note_whole,
    note_whole_root,
    store_partial_room,
)
from tests.databases import SyncDatabase

ROOM_ID = RoomID("!room:one.example")
FIRST = PartialRoom(ROOM_ID, EventID("$first"), ServerName("one.example"))
SECOND = PartialRoom(ROOM_ID, EventID("$second"), ServerName("two.example"))
ROOT = bytes(range(32))


def test_the_state_that_is_kept_to_is_that_of_one_join(db: SyncDatabase) -> None:
    db.write(store_partial_room, FIRST)
    assert db.read(find_whole_root, FIRST) is None

    db.write(note_whole_root, FIRST, ROOT)
    db.write(note_whole_root, SECOND, bytes(32))

    assert db.read(find_whole_root, FIRST) == ROOT
    assert db.read(find_whole_root, SECOND) is None
    db.write(store_partial_room, SECOND)
    assert db.read(find_partial_room, ROOM_ID) == SECOND
    assert db.read(find_whole_root, FIRST) is None
    assert db.read(find_whole_root, SECOND) is None


def test_a_join_that_is_looked_for_anew_has_no_state_yet(db: SyncDatabase) -> None:
    db.write(store_partial_room, FIRST)
    db.write(note_whole_root, FIRST, ROOT)

    db.write(note_whole, ROOM_ID, FIRST.join_event_id, position=7, now_ms=1)
    assert db.read(find_partial_room, ROOM_ID) is None
    assert db.read(find_whole_root, FIRST) is None
    db.write(store_partial_room, FIRST)
    assert db.read(find_whole_root, FIRST) is None
    db.write(forget_partial_room, ROOM_ID)
    assert db.read(find_partial_room, ROOM_ID) is None
