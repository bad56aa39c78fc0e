"""What a user has sent into a room: the newest first, a stretch at a time."""

import pytest

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, store_memberships
from homeserver.storage.sent_events import Sent, next_room_of_user, sent_in_room
from tests.databases import SyncDatabase
from tests.storage.bare_rows import insert_bare_event

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
ROOM, OTHER = RoomID("!room:example.org"), RoomID("!other:example.org")
SET = """
    UPDATE events SET place = :place, sender = :sender, origin_server_ts = :place * 10, type = :type
     WHERE event_nid = :place"""
SPOIL = "UPDATE events SET verdict = :verdict, form = :form, redacted_by = :redacted_by WHERE event_nid = :nid"
EVER = Sent(BOB, 0, 2**53)


def fill(tx: Transaction) -> None:
    """Events at places 1 to 12 of the room, of which those at odd places are Bob's."""
    for place in range(1, 13):
        insert_bare_event(tx, place, f"${place}", ROOM)
        tx.run(SET, place=place, sender=BOB if place % 2 else ALICE, type="m.room.message")
    insert_bare_event(tx, 13, "$13", OTHER)
    tx.run(SET, place=13, sender=BOB, type="m.room.message")


def found(
    db: SyncDatabase, wanted: Sent = EVER, *, below: int = 100, scanned: int = 100, limit: int = 100
) -> tuple[list[int], int | None]:
    page = db.read(sent_in_room, ROOM, wanted, below=below, scanned=scanned, limit=limit)
    return [int(event_id[1:]) for event_id in page.event_ids], page.below


def test_events_of_one_user_are_found_the_newest_first(db: SyncDatabase) -> None:
    db.write(fill)

    assert found(db) == ([11, 9, 7, 5, 3, 1], None)
    assert found(db, Sent(BOB, 30, 90)) == ([7, 5, 3], None)
    assert found(db, below=7) == ([5, 3, 1], None)


@pytest.mark.parametrize(("scanned", "limit"), [(1, 100), (5, 2), (12, 1), (3, 1)])
def test_stretches_come_to_the_beginning_and_leave_nothing_out(db: SyncDatabase, scanned: int, limit: int) -> None:
    db.write(fill)

    places: list[int] = []
    below: int | None = 100
    while below is not None:
        more, below = found(db, below=below, scanned=scanned, limit=limit)
        places += more

    assert places == [11, 9, 7, 5, 3, 1]


def test_what_cannot_or_should_not_be_redacted_is_not_found(db: SyncDatabase) -> None:
    db.write(fill)

    def spoil(tx: Transaction) -> None:
        tx.run(SPOIL, nid=11, verdict=2, form=0, redacted_by=None)
        tx.run(SPOIL, nid=9, verdict=0, form=1, redacted_by=None)
        tx.run(SPOIL, nid=7, verdict=0, form=0, redacted_by="$x")
        tx.run(SET, place=5, sender=BOB, type="m.room.redaction")
        for nid, event_type, state_key in (
            (21, "m.room.power_levels", ""),
            (22, "m.room.member", ALICE),
            (23, "m.room.member", BOB),
            (24, "m.room.topic", ""),
        ):
            insert_bare_event(tx, nid, f"${nid}", ROOM, state_key=state_key)
            tx.run(SET, place=nid, sender=BOB, type=event_type)

    db.write(spoil)

    assert found(db) == ([24, 23, 3, 1], None)


def test_the_rooms_of_a_user_follow_each_other(db: SyncDatabase) -> None:
    def go(tx: Transaction) -> None:
        for room_id, membership in ((ROOM, "ban"), (OTHER, "join")):
            row = Membership(
                room_id,
                BOB,
                membership,
                EventID("$x"),
                ALICE,
                place=1,
                log_position=1,
                display_name=None,
                avatar_url=None,
                is_local=True,
                is_forgotten=False,
                stripped_state=None,
                joined_place=None,
            )
            store_memberships(tx, [row])

    db.write(go)

    assert db.read(next_room_of_user, BOB, "") == OTHER
    assert db.read(next_room_of_user, BOB, OTHER) == ROOM
    assert db.read(next_room_of_user, BOB, ROOM) is None
    assert db.read(next_room_of_user, ALICE, "") is None
