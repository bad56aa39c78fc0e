"""What events do to unread counts: rows per class of equal push rules, and rows for the few who differ.

A user's count is made of these and of the user's receipts (receipts.py). Which class a user is in and what the rules
say is decided in services/push/ and core/push_evaluation.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 60 * 24 * 3600 * 1000  # an unread message older than this no longer counts
MAIN_TIMELINE: Final = ""  # the thread ID of what is in no thread


@dataclass(frozen=True, slots=True)
class ClassNotification:
    """An event notifies (or highlights for) all members of a class, but those who have a row of their own."""

    class_key: bytes
    notify: bool
    highlight: bool


@dataclass(frozen=True, slots=True)
class PersonalNotification:
    """What an event does for one user, whatever it does for the user's class."""

    user_id: UserID
    notify: bool
    highlight: bool


@dataclass(frozen=True, slots=True)
class UnreadCount:
    """How many unread events notify, and how many of them highlight."""

    notifications: int
    highlights: int


INSERT_CLASS = """
    INSERT INTO class_notifications (room_id, place, class_key, thread_id, sender, notify, highlight, written_ms)
    VALUES (:room_id, :place, :class_key, :thread_id, :sender, :notify, :highlight, :written_ms)"""
INSERT_PERSONAL = """
    INSERT INTO personal_notifications (room_id, user_id, place, thread_id, notify, highlight, written_ms)
    VALUES (:room_id, :user_id, :place, :thread_id, :notify, :highlight, :written_ms)"""


def insert_notifications(
    tx: Transaction,
    room_id: RoomID,
    *,
    place: int,
    thread_id: str,
    sender: UserID,
    classes: Sequence[ClassNotification],
    persons: Sequence[PersonalNotification],
    now_ms: int,
) -> None:
    """Keep what the event at `place` does to unread counts."""
    shared = {"room_id": room_id, "place": place, "thread_id": thread_id, "written_ms": now_ms}
    if classes:
        rows = [
            {**shared, "class_key": one.class_key, "sender": sender, "notify": one.notify, "highlight": one.highlight}
            for one in classes
        ]
        tx.insert_many(INSERT_CLASS, rows)
    if persons:
        personal = [
            {**shared, "user_id": one.user_id, "notify": one.notify, "highlight": one.highlight} for one in persons
        ]
        tx.insert_many(INSERT_PERSONAL, personal)


COUNT = """
    SELECT thread_id, SUM(notify), SUM(highlight) FROM (
        SELECT c.place AS place, c.thread_id AS thread_id,
               CASE WHEN c.notify THEN 1 ELSE 0 END AS notify, CASE WHEN c.highlight THEN 1 ELSE 0 END AS highlight
          FROM class_notifications c
         WHERE c.room_id = :room_id AND c.class_key = :class_key AND c.place > :after AND c.place <= :upto
           AND c.sender <> :user_id
           AND NOT EXISTS (SELECT 1 FROM personal_notifications p
                            WHERE p.room_id = c.room_id AND p.user_id = :user_id AND p.place = c.place)
        UNION ALL
        SELECT p.place AS place, p.thread_id AS thread_id,
               CASE WHEN p.notify THEN 1 ELSE 0 END AS notify, CASE WHEN p.highlight THEN 1 ELSE 0 END AS highlight
          FROM personal_notifications p
         WHERE p.room_id = :room_id AND p.user_id = :user_id AND p.place > :after AND p.place <= :upto
    ) AS unread GROUP BY thread_id"""


def unread_by_thread(
    tx: Transaction, room_id: RoomID, user_id: UserID, *, class_key: bytes, after: int, upto: int
) -> dict[str, UnreadCount]:
    """The user's unread counts by thread (or MAIN_TIMELINE), of events with a place in (after, upto].

    Where a thread has a receipt of its own that is newer, ask for that thread with `unread_in_thread`.
    """
    rows = tx.all(COUNT, room_id=room_id, user_id=user_id, class_key=class_key, after=after, upto=upto)
    return {row[0]: UnreadCount(int(row[1]), int(row[2])) for row in rows}


COUNT_IN_THREAD = """
    SELECT SUM(notify), SUM(highlight) FROM (
        SELECT CASE WHEN c.notify THEN 1 ELSE 0 END AS notify, CASE WHEN c.highlight THEN 1 ELSE 0 END AS highlight
          FROM class_notifications c
         WHERE c.room_id = :room_id AND c.class_key = :class_key AND c.place > :after AND c.place <= :upto
           AND c.sender <> :user_id AND c.thread_id = :thread_id
           AND NOT EXISTS (SELECT 1 FROM personal_notifications p
                            WHERE p.room_id = c.room_id AND p.user_id = :user_id AND p.place = c.place)
        UNION ALL
        SELECT CASE WHEN p.notify THEN 1 ELSE 0 END AS notify, CASE WHEN p.highlight THEN 1 ELSE 0 END AS highlight
          FROM personal_notifications p
         WHERE p.room_id = :room_id AND p.user_id = :user_id AND p.place > :after AND p.place <= :upto
           AND p.thread_id = :thread_id
    ) AS unread"""


def unread_in_thread(
    tx: Transaction, room_id: RoomID, user_id: UserID, *, class_key: bytes, thread_id: str, after: int, upto: int
) -> UnreadCount:
    """The user's unread counts in one thread, of events with a place in (after, upto]."""
    row = tx.one(
        COUNT_IN_THREAD,
        room_id=room_id,
        user_id=user_id,
        class_key=class_key,
        thread_id=thread_id,
        after=after,
        upto=upto,
    )
    notifications, highlights = row or (0, 0)
    return UnreadCount(int(notifications or 0), int(highlights or 0))


REMOVE_CLASS = "DELETE FROM class_notifications WHERE room_id = :room_id AND place = :place"
REMOVE_PERSONAL = "DELETE FROM personal_notifications WHERE room_id = :room_id AND place = :place"


def remove_notifications(tx: Transaction, room_id: RoomID, place: int) -> None:
    """The event at `place` was redacted: it counts for nobody any more."""
    tx.run(REMOVE_CLASS, room_id=room_id, place=place)
    tx.run(REMOVE_PERSONAL, room_id=room_id, place=place)


SWEEP_CLASS = """
    DELETE FROM class_notifications WHERE (room_id, class_key, place) IN (
        SELECT room_id, class_key, place FROM class_notifications WHERE written_ms < :before LIMIT :limit)"""
SWEEP_PERSONAL = """
    DELETE FROM personal_notifications WHERE (room_id, user_id, place) IN (
        SELECT room_id, user_id, place FROM personal_notifications WHERE written_ms < :before LIMIT :limit)"""


def sweep_classes(tx: Transaction, now_ms: int, limit: int) -> int:
    """Let old events count no more."""
    return tx.run(SWEEP_CLASS, before=now_ms - KEPT_MS, limit=limit)


def sweep_persons(tx: Transaction, now_ms: int, limit: int) -> int:
    """Let old events count no more for single users."""
    return tx.run(SWEEP_PERSONAL, before=now_ms - KEPT_MS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "class_notifications",
        owners={Owner.ROOM: "room_id", Owner.USER: "sender"},
        retention=Retention.expires(sweep_classes),
    ),
    Table(
        "personal_notifications",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.expires(sweep_persons),
    ),
)
