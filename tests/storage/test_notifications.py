"""The events that notified a user, on both databases."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.notifications import (
    HIGHEST_PLACE,
    ClassNotification,
    NotifiedRoom,
    PersonalNotification,
    insert_notifications,
    note_sent,
    notified_events,
    read_places,
)
from tests.databases import SyncDatabase

ALICE, BOB, CAROL = (UserID(f"@{name}:example.org") for name in ("alice", "bob", "carol"))
ROOM = RoomID("!room:example.org")
CLASS, OTHER_CLASS = b"class", b"other"
EVENT = """
    INSERT INTO events (event_nid, event_id, room_id, log_position, place, type, sender, origin_server_ts, verdict,
                        form, pdu)
    VALUES (:place, :event_id, :room_id, :place, :place, 'm.room.message', :sender, 0, 0, 0, :pdu)"""


def notify(
    tx: Transaction,
    place: int,
    *,
    sender: UserID = BOB,
    by: bytes | None = CLASS,
    highlight: bool = False,
    own: tuple[bool, bool] | None = None,
) -> None:
    """An event that notifies a class, and `alice` in another way if that is said."""
    tx.run(EVENT, place=place, event_id=f"${place}", room_id=ROOM, sender=sender, pdu=b"{}")
    classes = [] if by is None else [ClassNotification(by, notify=True, highlight=highlight)]
    persons = [] if own is None else [PersonalNotification(ALICE, *own)]
    insert_notifications(
        tx, ROOM, place=place, thread_id="", sender=sender, classes=classes, persons=persons, now_ms=place
    )


@pytest.fixture(autouse=True)
def events(db: SyncDatabase) -> None:
    db.write(notify, 1)
    db.write(notify, 2, sender=CAROL, highlight=True)
    db.write(notify, 3, sender=ALICE)
    db.write(notify, 4, own=(False, False))
    db.write(notify, 5, by=OTHER_CLASS)
    db.write(notify, 6, by=None, own=(True, True))


def listed(db: SyncDatabase, **wishes: Any) -> list[str]:
    room = NotifiedRoom(ROOM, wishes.pop("after", 0), wishes.pop("upto", HIGHEST_PLACE), 6)
    asked = {"class_key": CLASS, "only_highlights": False, "ignored": (), "limit": 9, **wishes}
    return [one.event_id for one in db.read(notified_events, room, ALICE, **asked)]


def test_events_of_a_class_and_of_a_person_are_listed_newest_first(db: SyncDatabase) -> None:
    assert listed(db) == ["$6", "$2", "$1"]
    assert listed(db, limit=2) == ["$6", "$2"]
    assert listed(db, after=1, upto=5) == ["$2"]
    assert listed(db, only_highlights=True) == ["$6", "$2"]
    assert listed(db, ignored=[CAROL]) == ["$6", "$1"]


def test_places_are_read_by_receipts_and_by_sending(db: SyncDatabase) -> None:
    def read(tx: Transaction) -> None:
        for kind, thread_id, place in (("m.read", "", 3), ("m.read.private", "", 4), ("m.read", "$thread", 7)):
            tx.run(RECEIPT, room_id=ROOM, user_id=ALICE, kind=kind, thread_id=thread_id, place=place)
        note_sent(tx, ALICE, ROOM, "", 5)

    db.write(read)

    assert db.read(read_places, ALICE, [ROOM]) == {(ROOM, None): 4, (ROOM, "$thread"): 7, (ROOM, ""): 5}
    assert db.read(read_places, BOB, [ROOM]) == db.read(read_places, ALICE, []) == {}


RECEIPT = """
    INSERT INTO receipts (room_id, user_id, receipt_type, thread_id, event_id, place, ts, log_position)
    VALUES (:room_id, :user_id, :kind, :thread_id, '$event', :place, 0, 1)"""
