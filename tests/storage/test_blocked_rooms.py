"""Rooms that are blocked, known here or not."""

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import room_version
from homeserver.storage.blocked_rooms import Block, block_room, find_block, unblock_room
from homeserver.storage.rooms import RoomHead, find_head, insert_room
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_room

ROOM, LATER = RoomID("!room:example.org"), RoomID("!later:example.org")
BLOCK = Block(UserID("@root:example.org"), 10)


def test_a_room_that_is_known_is_blocked_and_opened_again(db: SyncDatabase) -> None:
    db.write(insert_bare_room, ROOM, root=b"root")
    seen = []

    for _ in range(2):
        db.write(block_room, ROOM, BLOCK)
        head = db.read(find_head, ROOM)
        seen.append((db.read(find_block, ROOM), head is not None and head.is_blocked))
        db.write(unblock_room, ROOM)
        head = db.read(find_head, ROOM)
        seen.append((db.read(find_block, ROOM), head is not None and head.is_blocked))

    assert seen == [(BLOCK, True), (None, False)] * 2


def test_who_blocked_a_room_first_stays_named(db: SyncDatabase) -> None:
    db.write(block_room, ROOM, BLOCK)
    db.write(block_room, ROOM, Block(None, 20))

    assert db.read(find_block, ROOM) == BLOCK


def test_a_room_that_was_blocked_before_it_came_is_blocked_when_it_comes(db: SyncDatabase) -> None:
    db.write(block_room, LATER, BLOCK)
    for room_id in (ROOM, LATER):
        head = RoomHead(room_id, room_version("11"), 0, b"root", (EventID("$head"),), 1, 1, is_blocked=False)
        db.write(insert_room, head, created_ms=0)

    found = [db.read(find_head, room_id) for room_id in (ROOM, LATER)]

    assert [head is not None and head.is_blocked for head in found] == [False, True]
