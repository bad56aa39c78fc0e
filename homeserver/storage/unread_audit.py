"""What an audit reads of unread counts: what events do to them, and up to where users have read, as it is stored.

What is made of that is in services/admin/unread_audit.py. Nothing here trusts what is in the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.core.push_rules import NO_CHANGES, RuleChanges, load_changes
from homeserver.storage.database import Transaction
from homeserver.storage.events import Verdict

BELOW_ALL: Final = -(1 << 62)
MAIN: Final = ""  # the thread of what is in no thread


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A row of class_notifications, or of personal_notifications; `sender` is None in these."""

    place: int
    whose: bytes | UserID
    thread_id: str
    sender: str | None
    notify: bool
    highlight: bool


OF_CLASSES = """
    SELECT place, class_key, thread_id, sender, notify, highlight FROM class_notifications
     WHERE room_id = :room_id AND place IN :places[bigint]"""
OF_PERSONS = """
    SELECT place, user_id, thread_id, notify, highlight FROM personal_notifications
     WHERE room_id = :room_id AND place IN :places[bigint]"""


def notification_rows(tx: Transaction, room_id: RoomID, places: Sequence[int]) -> dict[int, list[NotificationRow]]:
    """What the events at these places do, by place: for classes of users, and for single ones."""
    found: dict[int, list[NotificationRow]] = {}
    if places:
        for row in tx.all(OF_CLASSES, room_id=room_id, places=list(places)):
            one = NotificationRow(row[0], bytes(row[1]), row[2], row[3], bool(row[4]), bool(row[5]))
            found.setdefault(one.place, []).append(one)
        for row in tx.all(OF_PERSONS, room_id=room_id, places=list(places)):
            one = NotificationRow(row[0], UserID(row[1]), row[2], None, bool(row[3]), bool(row[4]))
            found.setdefault(one.place, []).append(one)
    return found


THREADS = """
    SELECT place, thread_id FROM events
     WHERE room_id = :room_id AND place IN :places[bigint] AND thread_id IS NOT NULL"""


def threads_at(tx: Transaction, room_id: RoomID, places: Sequence[int]) -> dict[int, str]:
    """In which threads the events at these places are; those in none are left out."""
    rows = tx.all(THREADS, room_id=room_id, places=list(places)) if places else []
    return {row[0]: row[1] for row in rows}


SENT = """
    SELECT user_id, thread_id, place FROM sent_places
     WHERE room_id = :room_id AND user_id IN :user_ids[text] AND thread_id IN :thread_ids[text]"""


def sent_places(
    tx: Transaction, room_id: RoomID, user_ids: Sequence[str], thread_ids: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Where these users are said to have sent their last messages, by user and thread."""
    if not user_ids:
        return {}
    rows = tx.all(SENT, room_id=room_id, user_ids=list(user_ids), thread_ids=list(thread_ids))
    return {(row[0], row[1]): row[2] for row in rows}


@dataclass(frozen=True, slots=True)
class Reader:
    """A joined user of this server; when the user's push rules changed last, 0 for never, and to what."""

    user_id: UserID
    event_id: EventID
    display_name: str | None
    changed_position: int
    changes: RuleChanges


READERS = """
    SELECT m.user_id, m.event_id, m.display_name, p.log_position, p.changes
      FROM memberships m LEFT JOIN push_rules p ON p.user_id = m.user_id
     WHERE m.room_id = :room_id AND m.membership = 'join' AND m.is_local ORDER BY m.user_id LIMIT :limit"""


def readers(tx: Transaction, room_id: RoomID, *, limit: int) -> list[Reader]:
    """Users of this server who are in the room, with their push rules: in the order of their IDs."""
    return [
        Reader(
            user_id=UserID(row[0]),
            event_id=EventID(row[1]),
            display_name=row[2],
            changed_position=row[3] or 0,
            changes=NO_CHANGES if row[4] is None else load_changes(bytes(row[4])),
        )
        for row in tx.all(READERS, room_id=room_id, limit=limit)
    ]


STRAY_OF_CLASSES = """
    SELECT n.place FROM class_notifications n
     WHERE n.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place) LIMIT 1"""
STRAY_OF_PERSONS = """
    SELECT n.place FROM personal_notifications n
     WHERE n.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = n.room_id AND e.place = n.place) LIMIT 1"""


def stray_notification(tx: Transaction, room_id: RoomID) -> tuple[str, int] | None:
    """Something that counts, and where, without an event there."""
    of_class = tx.one(STRAY_OF_CLASSES, room_id=room_id)
    if of_class is not None:
        return "what counts for a class", of_class[0]
    of_person = tx.one(STRAY_OF_PERSONS, room_id=room_id)
    return None if of_person is None else ("what counts for a user", of_person[0])


STRAY_SENT = """
    SELECT s.user_id, s.place FROM sent_places s LEFT JOIN events e ON e.room_id = s.room_id AND e.place = s.place
     WHERE s.room_id = :room_id AND (e.event_id IS NOT NULL OR s.place > :above)
       AND (e.event_id IS NULL OR e.sender <> s.user_id OR COALESCE(e.thread_id, '') <> s.thread_id
            OR e.state_key IS NOT NULL OR e.verdict <> :accepted)
     LIMIT 1"""


def stray_sent_place(tx: Transaction, room_id: RoomID, *, above: int | None) -> tuple[str, int] | None:
    """A user who is said to have sent a message where there is none of theirs in that thread, and where.

    Of history that was deleted, up to the place `above`, there may be none.
    """
    place = BELOW_ALL if above is None else above
    row = tx.one(STRAY_SENT, room_id=room_id, accepted=Verdict.ACCEPTED, above=place)
    return None if row is None else (row[0], row[1])


@dataclass(frozen=True, slots=True)
class StrayReceipt:
    """A receipt that is not where its event is."""

    user_id: UserID
    event_id: str
    place: int | None
    event_place: int | None


STRAY_RECEIPTS = """
    SELECT r.user_id, r.event_id, r.place, e.place
      FROM receipts r LEFT JOIN events e ON e.event_id = r.event_id AND e.room_id = r.room_id
     WHERE r.room_id = :room_id AND (e.event_id IS NOT NULL OR r.place IS NULL OR r.place > :above)
       AND (r.place <> e.place OR ((r.place IS NULL OR e.place IS NULL) AND r.user_id LIKE :pattern))
     ORDER BY r.user_id LIMIT 50"""


def stray_receipt(tx: Transaction, room_id: RoomID, server: ServerName, *, above: int | None) -> StrayReceipt | None:
    """A receipt that cannot be right. Those of users of other servers than this one may be for what has not come.

    `above` is as in stray_sent_place.
    """
    place = BELOW_ALL if above is None else above
    # One database takes no heed of the case of letters, the other does. No wildcard is in a server's name.
    for row in tx.all(STRAY_RECEIPTS, room_id=room_id, pattern=f"%:{server}", above=place):
        one = StrayReceipt(UserID(row[0]), row[1], row[2], row[3])
        if None not in (one.place, one.event_place) or server_name_of(one.user_id) == server:
            return one
    return None
