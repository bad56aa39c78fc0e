"""What an audit reads of unread counts, as it stands there."""

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.push_rules import NO_CHANGES
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import store_memberships
from homeserver.storage.notifications import (
    ClassNotification,
    PersonalNotification,
    insert_notifications,
    may_have_counted_before,
    note_sent,
)
from homeserver.storage.receipts import Receipt, store_receipts
from homeserver.storage.unread_audit import (
    MAIN,
    NotificationRow,
    Reader,
    StrayReceipt,
    notification_rows,
    readers,
    sent_places,
    stray_notification,
    stray_receipt,
    stray_sent_place,
)
from tests.databases import SyncDatabase
from tests.storage.test_room_audit import member

ROOM = RoomID("!room:example.org")
ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
HERE = ServerName("example.org")
KEY = bytes(32)


def notify(tx: Transaction) -> None:
    insert_notifications(
        tx,
        ROOM,
        place=5,
        thread_id="$root",
        sender=BOB,
        classes=[ClassNotification(KEY, notify=True, highlight=False)],
        persons=[PersonalNotification(ALICE, notify=True, highlight=True)],
        now_ms=1,
    )


def test_what_an_event_does_is_read_by_its_place(db: SyncDatabase) -> None:
    db.write(notify)

    assert db.read(notification_rows, ROOM, [5, 6]) == {
        5: [
            NotificationRow(5, KEY, "$root", BOB, notify=True, highlight=False),
            NotificationRow(5, ALICE, "$root", None, notify=True, highlight=True),
        ]
    }
    assert db.read(notification_rows, ROOM, []) == {}
    assert db.read(stray_notification, ROOM) == ("what counts for a class", 5)


def test_a_message_that_nobody_sent_is_found(db: SyncDatabase) -> None:
    db.write(note_sent, ALICE, ROOM, MAIN, 7)

    assert db.read(sent_places, ROOM, [ALICE, BOB], [MAIN]) == {(ALICE, MAIN): 7}
    assert db.read(stray_sent_place, ROOM, above=None) == (ALICE, 7)
    assert db.read(stray_sent_place, ROOM, above=7) is None  # what is that old was deleted


def test_readers_are_those_of_this_server_who_are_in_the_room(db: SyncDatabase) -> None:
    db.write(store_memberships, [member(ROOM, BOB), member(ROOM, ALICE)])

    assert db.read(readers, ROOM, limit=1) == [Reader(ALICE, EventID("$1"), None, 0, NO_CHANGES)]


def test_a_receipt_for_what_is_not_here_is_wrong_only_if_it_was_made_here(db: SyncDatabase) -> None:
    afar = UserID("@zoe:elsewhere.example")

    def receipt(user_id: UserID) -> Receipt:
        return Receipt(ROOM, user_id, "m.read", None, EventID("$gone"), 3, 1, 1)

    db.write(store_receipts, [receipt(afar)])
    assert db.read(stray_receipt, ROOM, HERE, above=None) is None
    db.write(store_receipts, [receipt(ALICE)])
    assert db.read(stray_receipt, ROOM, HERE, above=None) == StrayReceipt(ALICE, "$gone", 3, None)
    assert db.read(stray_receipt, ROOM, HERE, above=3) is None


def test_what_may_have_counted_came_before_and_after_the_user_did(db: SyncDatabase) -> None:
    db.write(store_memberships, [member(ROOM, ALICE)])
    db.write(notify)

    def counted(place: int, thread_id: str) -> bool:
        return db.read(may_have_counted_before, ROOM, ALICE, class_key=KEY, place=place, thread_id=thread_id)

    assert [counted(6, "$root"), counted(5, "$root"), counted(6, MAIN)] == [True, False, False]
