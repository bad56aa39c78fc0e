"""Receipts: what replaces what, and what readers are told."""

from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.receipts import (
    Receipt,
    find_receipt,
    read_places,
    receipts_of_rooms,
    receipts_since,
    store_receipts,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")


def receipt(place: int | None, **fields: Any) -> Receipt:
    """A receipt for the event at `place`, written at log position `place`."""
    given: dict[str, Any] = {
        "room_id": ROOM,
        "user_id": ALICE,
        "receipt_type": "m.read",
        "thread_id": None,
        "event_id": EventID(f"${place}"),
        "place": place,
        "ts": 1_000,
        "log_position": place or 99,
    }
    return Receipt(**(given | fields))


def test_a_receipt_is_found_as_it_was_stored(db: SyncDatabase) -> None:
    stored = receipt(3, thread_id="$root")

    db.write(store_receipts, [stored])

    assert db.read(find_receipt, ROOM, ALICE, "m.read", "$root") == stored
    assert db.read(find_receipt, ROOM, ALICE, "m.read", None) is None
    assert db.read(find_receipt, ROOM, BOB, "m.read", "$root") is None
    assert db.read(find_receipt, OTHER, ALICE, "m.read", "$root") is None


def test_a_receipt_replaces_an_older_one_and_never_a_newer_one(db: SyncDatabase) -> None:
    db.write(store_receipts, [receipt(5)])

    db.write(store_receipts, [receipt(4, log_position=6)])
    kept = db.read(find_receipt, ROOM, ALICE, "m.read", None)
    db.write(store_receipts, [receipt(7)])
    replaced = db.read(find_receipt, ROOM, ALICE, "m.read", None)

    assert (kept, replaced) == (receipt(5), receipt(7))


def test_a_receipt_for_an_event_that_is_not_known_here_gives_way_to_any_other(db: SyncDatabase) -> None:
    db.write(store_receipts, [receipt(None)])

    db.write(store_receipts, [receipt(1, log_position=100)])

    assert db.read(find_receipt, ROOM, ALICE, "m.read", None) == receipt(1, log_position=100)


def test_types_and_threads_have_receipts_of_their_own(db: SyncDatabase) -> None:
    own = [
        receipt(1),
        receipt(2, thread_id="main"),
        receipt(3, thread_id="$root"),
        receipt(4, receipt_type="m.read.private"),
    ]

    db.write(store_receipts, own)

    assert db.read(receipts_of_rooms, [ROOM], upto=4) == own


def test_receipts_since_are_those_of_these_rooms_that_moved_in_between(db: SyncDatabase) -> None:
    moved = [receipt(place, user_id=UserID(f"@{place}:example.org")) for place in range(1, 6)]
    db.write(store_receipts, [*moved, receipt(3, room_id=OTHER)])

    assert db.read(receipts_since, [ROOM], after=1, upto=4) == moved[1:4]
    assert db.read(receipts_since, [], after=0, upto=9) == []
    assert len(db.read(receipts_since, [ROOM, OTHER], after=0, upto=9)) == 6
    assert db.read(receipts_of_rooms, [], upto=9) == []


def test_the_newer_of_a_public_and_a_private_receipt_says_how_far_somebody_has_read(db: SyncDatabase) -> None:
    db.write(
        store_receipts,
        [
            receipt(5),
            receipt(8, receipt_type="m.read.private"),
            receipt(6, thread_id="main"),
            receipt(2, thread_id="$root"),
            receipt(9, user_id=BOB),
            receipt(None, thread_id="$unknown"),
            receipt(4, room_id=OTHER),
        ],
    )

    places = db.read(read_places, [ROOM, OTHER], ALICE)

    assert places == {ROOM: {None: 8, "main": 6, "$root": 2}, OTHER: {None: 4}}
    assert db.read(read_places, [], ALICE) == {}
