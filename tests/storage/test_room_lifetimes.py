"""For how long rooms keep what is said in them."""

from homeserver.core.identifiers import RoomID
from homeserver.storage.room_lifetimes import (
    Expired,
    all_lifetimes,
    find_expired,
    lifetime_totals,
    note_expired,
    rooms_after,
    store_lifetime,
)
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_room

ROOM, OTHER = RoomID("!a:example.org"), RoomID("!b:example.org")


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
