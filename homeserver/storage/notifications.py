"""What events do to unread counts: rows per class of equal push rules, and rows for the few who differ.

A user's count is made of these and of the user's receipts (receipts.py). Which class a user is in and what the rules
say is decided in services/push/ and core/push_evaluation.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 60 * 24 * 3600 * 1000  # an unread message older than this no longer counts
HIGHEST_PLACE: Final = 2**62
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


NOTE_SENT = """
    INSERT INTO sent_places (user_id, room_id, thread_id, place) VALUES (:user_id, :room_id, :thread_id, :place)
    ON CONFLICT (user_id, room_id, thread_id) DO UPDATE SET place = excluded.place
     WHERE excluded.place > sent_places.place"""


def note_sent(tx: Transaction, user_id: UserID, room_id: RoomID, thread_id: str, place: int) -> None:
    """The user sent a message: what came before it in its thread (or MAIN_TIMELINE) counts as read."""
    row = {"user_id": user_id, "room_id": room_id, "thread_id": thread_id, "place": place}
    tx.insert_many(NOTE_SENT, [row])


# `begun`: up to where nothing of a room counts, whatever its thread; `read_threads`: up to where of one thread.
UNREAD = """
    WITH begun AS (
        SELECT room_id, MAX(place) AS place FROM (
            SELECT m.room_id AS room_id, COALESCE(m.joined_place, m.place) AS place FROM memberships m
             WHERE m.user_id = :user_id AND m.room_id IN :room_ids[text]
            UNION ALL
            SELECT r.room_id AS room_id, r.place AS place FROM receipts r
             WHERE r.user_id = :user_id AND r.room_id IN :room_ids[text] AND r.thread_id = ''
               AND r.receipt_type IN ('m.read', 'm.read.private') AND r.place IS NOT NULL
        ) AS wholly_read GROUP BY room_id
    ), read_threads AS (
        SELECT room_id, thread_id, MAX(place) AS place FROM (
            SELECT r.room_id AS room_id, CASE WHEN r.thread_id = 'main' THEN '' ELSE r.thread_id END AS thread_id,
                   r.place AS place
              FROM receipts r
             WHERE r.user_id = :user_id AND r.room_id IN :room_ids[text] AND r.thread_id <> ''
               AND r.receipt_type IN ('m.read', 'm.read.private') AND r.place IS NOT NULL
            UNION ALL
            SELECT s.room_id AS room_id, s.thread_id AS thread_id, s.place AS place FROM sent_places s
             WHERE s.user_id = :user_id AND s.room_id IN :room_ids[text]
        ) AS partly_read GROUP BY room_id, thread_id
    )
    SELECT n.room_id, n.thread_id, SUM(n.notify), SUM(n.highlight) FROM (
        SELECT c.room_id AS room_id, c.thread_id AS thread_id, c.place AS place,
               CASE WHEN c.notify THEN 1 ELSE 0 END AS notify, CASE WHEN c.highlight THEN 1 ELSE 0 END AS highlight
          FROM begun JOIN class_notifications c
            ON c.room_id = begun.room_id AND c.class_key = :class_key AND c.place > begun.place
         WHERE c.sender <> :user_id AND NOT c.sender IN :ignored[text]
           AND NOT EXISTS (SELECT 1 FROM personal_notifications p
                            WHERE p.room_id = c.room_id AND p.user_id = :user_id AND p.place = c.place)
        UNION ALL
        SELECT p.room_id AS room_id, p.thread_id AS thread_id, p.place AS place,
               CASE WHEN p.notify THEN 1 ELSE 0 END AS notify, CASE WHEN p.highlight THEN 1 ELSE 0 END AS highlight
          FROM begun JOIN personal_notifications p
            ON p.room_id = begun.room_id AND p.user_id = :user_id AND p.place > begun.place
         WHERE NOT EXISTS (SELECT 1 FROM events e
                            WHERE e.room_id = p.room_id AND e.place = p.place AND e.sender IN :ignored[text])
    ) AS n LEFT JOIN read_threads t ON t.room_id = n.room_id AND t.thread_id = n.thread_id
     WHERE t.place IS NULL OR n.place > t.place
     GROUP BY n.room_id, n.thread_id"""


def unread_counts(
    tx: Transaction, room_ids: Sequence[str], user_id: UserID, *, class_key: bytes, ignored: Collection[str] = ()
) -> dict[RoomID, dict[str, UnreadCount]]:
    """The user's unread counts by room and thread (or MAIN_TIMELINE), of rooms in which the user is of this class.

    Nothing counts that comes from users whom this one has `ignored`. Any other event counts when it came after the user
    joined, after the receipts for the whole room, and after the receipts for its thread and the messages that the user
    sent there. Rooms and threads without any are left out.
    """
    counts: dict[RoomID, dict[str, UnreadCount]] = {}
    if room_ids:
        rooms, hidden = list(room_ids), sorted(ignored)
        for row in tx.all(UNREAD, room_ids=rooms, user_id=user_id, class_key=class_key, ignored=hidden):
            counts.setdefault(RoomID(row[0]), {})[row[1]] = UnreadCount(int(row[2]), int(row[3]))
    return counts


IS_ANY_NOTIFIED = """
    SELECT 1 FROM class_notifications c
     WHERE c.room_id = :room_id AND c.class_key = :class_key AND c.place IN :places[bigint] AND c.sender <> :user_id
    UNION ALL
    SELECT 1 FROM personal_notifications p
     WHERE p.room_id = :room_id AND p.user_id = :user_id AND p.place IN :places[bigint] AND p.notify
     LIMIT 1"""


def is_any_notified(
    tx: Transaction, room_id: RoomID, user_id: UserID, *, class_key: bytes, places: Sequence[int]
) -> bool:
    """Whether an event at one of these places may count for a user of this class."""
    row = tx.one(IS_ANY_NOTIFIED, room_id=room_id, user_id=user_id, class_key=class_key, places=list(places))
    return row is not None


@dataclass(frozen=True, slots=True)
class NotifiedRoom:
    """A room in which events may have notified a user: those with places in (`after`, `upto`]."""

    room_id: RoomID
    after: int
    upto: int
    active_position: int  # nothing in it is newer


NOTIFIED_ROOMS = """
    SELECT m.room_id, COALESCE(m.joined_place, m.place), x.active_position
      FROM memberships m JOIN room_index x ON x.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join'
       AND (EXISTS (SELECT 1 FROM class_notifications c WHERE c.room_id = m.room_id)
         OR EXISTS (SELECT 1 FROM personal_notifications p WHERE p.room_id = m.room_id AND p.user_id = :user_id))
     ORDER BY x.active_position DESC LIMIT :limit"""


def notified_rooms(tx: Transaction, user_id: UserID, *, limit: int) -> list[NotifiedRoom]:
    """The rooms in which events may have notified the user since they came in, those with the newest events first."""
    rows = tx.all(NOTIFIED_ROOMS, user_id=user_id, limit=limit)
    return [NotifiedRoom(RoomID(row[0]), after=row[1], upto=HIGHEST_PLACE, active_position=row[2]) for row in rows]


@dataclass(frozen=True, slots=True)
class NotifiedEvent:
    """An event that notified a user."""

    event_id: EventID
    place: int
    log_position: int
    thread_id: str
    highlight: bool
    written_ms: int


MOST_LOOKED_AT: Final = 5_000  # rows of one room, for one page
NOTIFIED_EVENTS = """
    SELECT e.event_id, n.place, e.log_position, n.thread_id, n.highlight, n.written_ms FROM (
        SELECT * FROM (
            SELECT c.place, c.thread_id, c.highlight, c.written_ms FROM (
                SELECT place, thread_id, sender, highlight, written_ms FROM class_notifications
                 WHERE room_id = :room_id AND class_key = :class_key AND place > :after AND place <= :upto
                 ORDER BY place DESC LIMIT :most) AS c
             WHERE c.sender <> :user_id AND (c.highlight OR NOT :only_highlights)
               AND NOT EXISTS (SELECT 1 FROM personal_notifications p
                                WHERE p.room_id = :room_id AND p.user_id = :user_id AND p.place = c.place)
             ORDER BY c.place DESC LIMIT :limit) AS of_class
        UNION ALL
        SELECT * FROM (
            SELECT p.place, p.thread_id, p.highlight, p.written_ms FROM personal_notifications p
             WHERE p.room_id = :room_id AND p.user_id = :user_id AND p.place > :after AND p.place <= :upto
               AND p.notify AND (p.highlight OR NOT :only_highlights)
             ORDER BY p.place DESC LIMIT :limit) AS of_person
    ) AS n JOIN events e ON e.room_id = :room_id AND e.place = n.place
     WHERE e.verdict = 0 AND e.log_position IS NOT NULL AND NOT e.sender IN :ignored[text]
     ORDER BY n.place DESC LIMIT :limit"""


def notified_events(
    tx: Transaction,
    room: NotifiedRoom,
    user_id: UserID,
    *,
    class_key: bytes,
    only_highlights: bool,
    ignored: Collection[str],
    limit: int,
) -> list[NotifiedEvent]:
    """The newest events of a room that notified a user, who is of this class there."""
    rows = tx.all(
        NOTIFIED_EVENTS,
        room_id=room.room_id,
        user_id=user_id,
        class_key=class_key,
        after=room.after,
        upto=room.upto,
        only_highlights=only_highlights,
        ignored=sorted(ignored),
        most=MOST_LOOKED_AT,
        limit=limit,
    )
    return [NotifiedEvent(EventID(row[0]), row[1], row[2], row[3], bool(row[4]), row[5]) for row in rows]


READ_PLACES = """
    SELECT r.room_id, CASE WHEN r.thread_id = 'main' THEN '' WHEN r.thread_id = '' THEN NULL ELSE r.thread_id END,
           r.place
      FROM receipts r
     WHERE r.user_id = :user_id AND r.room_id IN :room_ids[text]
       AND r.receipt_type IN ('m.read', 'm.read.private') AND r.place IS NOT NULL
    UNION ALL
    SELECT s.room_id, s.thread_id, s.place FROM sent_places s
     WHERE s.user_id = :user_id AND s.room_id IN :room_ids[text]"""


def read_places(tx: Transaction, user_id: UserID, room_ids: Sequence[str]) -> dict[tuple[RoomID, str | None], int]:
    """Up to which place the user has read each thread (or MAIN_TIMELINE), and under None the whole, of each room."""
    places: dict[tuple[RoomID, str | None], int] = {}
    if room_ids:
        for room_id, thread_id, place in tx.all(READ_PLACES, user_id=user_id, room_ids=list(room_ids)):
            key = (RoomID(room_id), thread_id)
            places[key] = max(place, places.get(key, place))
    return places


COUNTED_BEFORE = """
    WITH begun AS (
        SELECT MAX(place) AS place FROM (
            SELECT COALESCE(m.joined_place, m.place) AS place FROM memberships m
             WHERE m.user_id = :user_id AND m.room_id = :room_id
            UNION ALL
            SELECT r.place AS place FROM receipts r
             WHERE r.user_id = :user_id AND r.room_id = :room_id AND r.thread_id IN ('', :receipt_thread)
               AND r.receipt_type IN ('m.read', 'm.read.private') AND r.place IS NOT NULL
        ) AS wholly_read
    )
    SELECT 1 FROM begun JOIN class_notifications c
        ON c.room_id = :room_id AND c.class_key = :class_key AND c.place > begun.place AND c.place < :place
     WHERE c.thread_id = :thread_id AND c.sender <> :user_id
    UNION ALL
    SELECT 1 FROM begun JOIN personal_notifications p
        ON p.room_id = :room_id AND p.user_id = :user_id AND p.place > begun.place AND p.place < :place
     WHERE p.thread_id = :thread_id AND p.notify
     LIMIT 1"""


def may_have_counted_before(
    tx: Transaction, room_id: RoomID, user_id: UserID, *, class_key: bytes, place: int, thread_id: str
) -> bool:
    """Whether something in this thread (or MAIN_TIMELINE) may have counted for the user until they spoke at `place`.

    True also where they had said something there before, and so had read it.
    """
    row = tx.one(
        COUNTED_BEFORE,
        room_id=room_id,
        user_id=user_id,
        class_key=class_key,
        place=place,
        thread_id=thread_id,
        receipt_thread=thread_id or "main",
    )
    return row is not None


ROOMS_WITH_UNREAD = """
    SELECT m.room_id FROM memberships m
     WHERE m.user_id = :user_id AND m.membership = 'join'
       AND EXISTS (SELECT 1 FROM class_notifications c
                    WHERE c.room_id = m.room_id AND c.place > COALESCE(m.joined_place, m.place))"""


def rooms_with_notifications(tx: Transaction, user_id: UserID) -> list[RoomID]:
    """The user's rooms in which some event counted for somebody since the user joined."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_WITH_UNREAD, user_id=user_id)]


MOST_KEPT: Final = 10_000  # of the newest, so that nobody's change of rules holds up the writer
# What counted for the old class counts on; what did not, and would for the new class, goes on not counting.
KEEP_COUNTED = """
    INSERT INTO personal_notifications (room_id, user_id, place, thread_id, notify, highlight, written_ms)
    SELECT c.room_id, m.user_id, c.place, c.thread_id, c.notify, c.highlight, c.written_ms
      FROM memberships m JOIN class_notifications c
        ON c.room_id = m.room_id AND c.class_key = :before AND c.place > COALESCE(m.joined_place, m.place)
     WHERE m.user_id = :user_id AND m.room_id IN :room_ids[text] AND c.sender <> :user_id
     ORDER BY c.written_ms DESC LIMIT :most
    ON CONFLICT (room_id, user_id, place) DO NOTHING"""
KEEP_UNCOUNTED = """
    INSERT INTO personal_notifications (room_id, user_id, place, thread_id, notify, highlight, written_ms)
    SELECT c.room_id, m.user_id, c.place, c.thread_id, :no, :no, c.written_ms
      FROM memberships m JOIN class_notifications c
        ON c.room_id = m.room_id AND c.class_key = :after AND c.place > COALESCE(m.joined_place, m.place)
     WHERE m.user_id = :user_id AND m.room_id IN :room_ids[text] AND c.sender <> :user_id
       AND NOT EXISTS (SELECT 1 FROM class_notifications o
                        WHERE o.room_id = c.room_id AND o.class_key = :before AND o.place = c.place)
     ORDER BY c.written_ms DESC LIMIT :most
    ON CONFLICT (room_id, user_id, place) DO NOTHING"""


def keep_notifications(
    tx: Transaction, user_id: UserID, room_ids: Sequence[str], *, before: bytes, after: bytes
) -> None:
    """The user goes from one class to another in these rooms: what was written with earlier events counts as it did."""
    rooms = list(room_ids)
    tx.run(KEEP_COUNTED, user_id=user_id, room_ids=rooms, before=before, most=MOST_KEPT)
    tx.run(KEEP_UNCOUNTED, user_id=user_id, room_ids=rooms, before=before, after=after, no=False, most=MOST_KEPT)


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
    Table(
        "sent_places",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.bounded("one row per user, and room or thread"),
    ),
)
