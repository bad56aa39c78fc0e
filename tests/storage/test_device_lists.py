"""Where device lists last changed."""

from functools import partial

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.device_lists import (
    changed_device_lists,
    joined_members,
    local_audience,
    note_device_list_change,
    sharing_among,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")


def test_a_list_changed_where_it_changed_last(db: SyncDatabase) -> None:
    db.write(note_device_list_change, ALICE, 3)
    db.write(note_device_list_change, BOB, 4)
    db.write(note_device_list_change, ALICE, 7)

    assert db.read(changed_device_lists, after=0, upto=9) == {ALICE, BOB}
    assert db.read(changed_device_lists, after=4, upto=7) == {ALICE}
    assert db.read(changed_device_lists, after=2, upto=6) == {BOB}
    assert db.read(changed_device_lists, after=7, upto=9) == set()


def test_changes_in_one_batch_leave_one_row_per_user(db: SyncDatabase) -> None:
    db.write_batch([partial(note_device_list_change, user_id=ALICE, log_position=number) for number in (5, 6, 7)])

    assert db.read(changed_device_lists, after=6, upto=7) == {ALICE}


def test_who_is_in_no_room_shares_none(db: SyncDatabase) -> None:
    assert db.read(local_audience, ALICE) == {ALICE}
    assert db.read(sharing_among, ALICE, {BOB}) == set()
    assert db.read(sharing_among, ALICE, set()) == set()
    assert db.read(joined_members, [RoomID("!nowhere:example.org")]) == []
    assert db.read(joined_members, []) == []
