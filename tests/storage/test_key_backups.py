"""Versions of key backups, and the keys in them."""

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.key_backups import (
    BackedUpKey,
    KeyBackup,
    backed_up_keys,
    count_backups,
    count_change,
    delete_backup,
    delete_keys,
    find_backup,
    find_newest_backup,
    insert_backup,
    newest_number,
    ranks_of_sessions,
    set_auth_data,
    store_keys,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ONE, TWO = RoomID("!one:example.org"), RoomID("!two:example.org")


def key(room_id: RoomID = ONE, session_id: str = "s", index: int = 0) -> BackedUpKey:
    return BackedUpKey(
        room_id,
        session_id,
        is_verified=True,
        first_message_index=index,
        forwarded_count=2,
        session_data=b'{"x":1}',
    )


def test_versions_are_counted_for_each_user_and_never_given_twice(db: SyncDatabase) -> None:
    versions = [db.write(insert_backup, user, "algorithm", b"{}") for user in (ALICE, ALICE, BOB)]
    db.write(delete_backup, ALICE, 2)

    assert versions == [1, 2, 1]
    assert db.write(insert_backup, ALICE, "algorithm", b"{}") == 3
    assert db.read(newest_number, ALICE) == 3
    assert db.read(count_backups, ALICE) == 2


def test_the_newest_version_is_the_newest_that_is_left(db: SyncDatabase) -> None:
    assert db.read(find_newest_backup, ALICE) is None
    for algorithm in ("first", "second"):
        db.write(insert_backup, ALICE, algorithm, b"{}")

    newest = db.read(find_newest_backup, ALICE)
    db.write(delete_backup, ALICE, 2)

    assert newest == KeyBackup(2, "second", b"{}", 0, 0)
    assert db.read(find_newest_backup, ALICE) == KeyBackup(1, "first", b"{}", 0, 0)
    assert db.read(find_backup, ALICE, 2) is None
    assert not db.write(delete_backup, ALICE, 2)


def test_auth_data_is_replaced(db: SyncDatabase) -> None:
    db.write(insert_backup, ALICE, "algorithm", b"{}")

    db.write(set_auth_data, ALICE, 1, b'{"public_key":"x"}')

    assert db.read(find_backup, ALICE, 1) == KeyBackup(1, "algorithm", b'{"public_key":"x"}', 0, 0)


def test_keys_are_read_by_room_and_session(db: SyncDatabase) -> None:
    keys = [key(ONE, "a"), key(ONE, "b"), key(TWO, "a")]
    db.write(store_keys, ALICE, 1, keys)
    db.write(store_keys, ALICE, 2, [key(ONE, "c")])
    db.write(store_keys, BOB, 1, [key(ONE, "d")])

    assert db.read(backed_up_keys, ALICE, 1) == keys
    assert db.read(backed_up_keys, ALICE, 1, ONE) == keys[:2]
    assert db.read(backed_up_keys, ALICE, 1, ONE, "b") == [keys[1]]
    assert db.read(backed_up_keys, ALICE, 1, TWO, "b") == []


def test_a_stored_key_takes_the_place_of_the_old_one(db: SyncDatabase) -> None:
    db.write(store_keys, ALICE, 1, [key(index=5)])
    db.write(store_keys, ALICE, 1, [key(index=3)])

    assert db.read(backed_up_keys, ALICE, 1) == [key(index=3)]
    ranks = db.read(ranks_of_sessions, ALICE, 1, [(ONE, "s"), (TWO, "s"), (ONE, "t")])
    assert ranks == {(ONE, "s"): (True, 3, 2)}


def test_deleting_says_how_many_keys_went(db: SyncDatabase) -> None:
    db.write(store_keys, ALICE, 1, [key(ONE, "a"), key(ONE, "b"), key(TWO, "a"), key(TWO, "b")])
    db.write(store_keys, ALICE, 2, [key(ONE, "a")])

    deleted = [
        db.write(delete_keys, ALICE, 1, ONE, "a"),
        db.write(delete_keys, ALICE, 1, ONE, "a"),
        db.write(delete_keys, ALICE, 1, TWO),
        db.write(delete_keys, ALICE, 1),
    ]

    assert deleted == [1, 0, 2, 1]
    assert db.read(backed_up_keys, ALICE, 2) == [key(ONE, "a")]


def test_a_change_moves_count_and_etag(db: SyncDatabase) -> None:
    db.write(insert_backup, ALICE, "algorithm", b"{}")

    assert db.write(count_change, ALICE, 1, added=5) == (5, 1)
    assert db.write(count_change, ALICE, 1, added=-2) == (3, 2)
    assert db.read(find_backup, ALICE, 1) == KeyBackup(1, "algorithm", b"{}", 3, 2)


def test_the_keys_of_a_version_go_with_it(db: SyncDatabase) -> None:
    db.write(insert_backup, ALICE, "algorithm", b"{}")
    db.write(store_keys, ALICE, 1, [key()])

    assert db.write(delete_backup, ALICE, 1)
    assert db.read(backed_up_keys, ALICE, 1) == []
