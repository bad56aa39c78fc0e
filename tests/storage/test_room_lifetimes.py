"""For how long rooms keep what is said in them."""

from pathlib import Path

from homeserver.core.identifiers import RoomID
from homeserver.storage.migrations.runner import REVISIONS
from homeserver.storage.room_lifetimes import (
    Expired,
    all_lifetimes,
    find_expired,
    has_older_rooms,
    lifetime_totals,
    next_older_rooms,
    note_expired,
    rooms_after,
    store_lifetime,
)
from homeserver.storage.sqlite import open_sqlite
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_room

ROOM, OTHER = RoomID("!a:example.org"), RoomID("!b:example.org")
SINCE = 94  # the revision of the schema that looks back


def test_what_a_room_says_is_kept_until_it_says_something_else(db: SyncDatabase) -> None:
    db.write(store_lifetime, ROOM, 10)
    db.write(store_lifetime, OTHER, 20)
    db.write(store_lifetime, ROOM, 30)
    both = db.read(all_lifetimes)
    db.write(store_lifetime, OTHER, None)

    assert both == {ROOM: 30, OTHER: 20}
    assert db.read(all_lifetimes) == {ROOM: 30}


def test_how_far_a_room_was_gone_through_is_kept_whatever_it_says(db: SyncDatabase) -> None:
    nothing = db.read(find_expired, ROOM)
    db.write(note_expired, ROOM, Expired(1, 5, 3))
    db.write(store_lifetime, ROOM, 10)
    db.write(note_expired, OTHER, Expired(2, 2, 4))

    assert nothing == Expired(None, None, 0)
    assert db.read(find_expired, ROOM) == Expired(1, 5, 3)
    assert db.read(lifetime_totals) == (1, 7)


def test_rooms_are_gone_through_page_by_page(db: SyncDatabase) -> None:
    for room_id in (OTHER, ROOM):
        db.write(insert_bare_room, room_id, root=b"root")

    assert [db.read(rooms_after, after, limit=1) for after in ("", ROOM, OTHER)] == [[ROOM], [OTHER], []]


def test_rooms_of_before_are_looked_at_once(db: SyncDatabase) -> None:
    for room_id in (OTHER, ROOM):
        db.write(insert_bare_room, room_id, root=b"root")
    of_a_new_database = db.read(has_older_rooms), db.write(next_older_rooms, limit=1)
    db.write(lambda tx: tx.run("UPDATE lifetimes_progress SET rooms_after = ''"))

    some = [db.write(next_older_rooms, limit=1) for _ in range(2)]
    is_more = db.read(has_older_rooms)
    rest = db.write(next_older_rooms, limit=1)

    assert of_a_new_database == (False, [])
    assert (some, is_more, rest) == ([[ROOM], [OTHER]], True, [])
    assert not db.read(has_older_rooms)


def test_a_database_that_had_rooms_before_has_them_to_be_looked_at(tmp_path: Path) -> None:
    path, before = tmp_path / "homeserver.db", [one for one in REVISIONS if one.number < SINCE]
    older = SyncDatabase(open_sqlite(path, revisions=before))
    older.write(insert_bare_room, ROOM, root=b"root")
    older.close()

    newer = SyncDatabase(open_sqlite(path))

    assert newer.read(has_older_rooms)
    newer.close()
