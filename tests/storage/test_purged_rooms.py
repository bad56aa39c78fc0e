"""Purges as stored: what is counted and who is found. That every table is emptied is tried in tests/growth."""

from homeserver.core.identifiers import RoomID
from homeserver.storage.purged_rooms import LARGE, close_room, count_events, count_locals_in_room, purge_some
from homeserver.storage.schema import tables_of
from homeserver.storage.tables import Owner
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event

ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")


def test_events_go_some_at_a_time(db: SyncDatabase) -> None:
    for number in range(5):
        db.write(insert_bare_event, number + 1, f"${number}", ROOM)
    db.write(insert_bare_event, 9, "$other", OTHER)

    closed = db.write(close_room, ROOM)
    first, nids = db.write(purge_some, ROOM, limit=3)
    left = db.read(count_events, ROOM)
    while db.write(purge_some, ROOM, limit=3)[0]:
        pass

    assert closed
    assert (first, list(nids), left) == (True, [1, 2, 3], 2)
    assert db.read(count_events, ROOM) == 0
    assert db.read(count_events, OTHER) == 1
    assert db.read(count_locals_in_room, ROOM) == 0


def test_only_tables_of_rooms_are_deleted_from() -> None:
    assert set(LARGE) <= {table.name for table in tables_of(Owner.ROOM)}
