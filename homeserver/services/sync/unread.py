"""Unread counts of rooms for one user: from rows that were written with the events, or from memory.

Spec: client-server-api/#receiving-notifications, #threads-notifications. What an event does to counts was worked out
when it was written (services/events/notifying.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.news import AccountDataWritten, EventNotified, News, ReceiptWritten, RoomWritten
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.push.rules import PUSH_RULES
from homeserver.services.sync.memory import CountedRoom, SyncMemory
from homeserver.services.sync.request import NotInMemory
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.notifications import (
    MAIN_TIMELINE,
    ClassNotification,
    PersonalNotification,
    UnreadCount,
    is_any_notified,
    may_have_counted_before,
    unread_counts,
)

NOTHING: Final = UnreadCount(0, 0)

Counts = Mapping[str, UnreadCount]  # by thread


class Unread:
    """Counts what a user has not read."""

    def __init__(self, classes: PushClasses, memory: SyncMemory, news: News) -> None:
        self._classes = classes
        self._memory = memory
        self._news = news

    def read(
        self, tx: Transaction, user_id: UserID, room_ids: Iterable[RoomID], *, position: int, ignored: frozenset[str]
    ) -> dict[RoomID, Counts]:
        """The counts of these rooms as the database has them at `position`: one statement for each class of rules.

        What users send whom this one has `ignored` counts nowhere.
        """
        rules = self._classes.of_users(tx, (user_id,))[user_id]
        by_class: dict[bytes, list[RoomID]] = {}
        for room_id in room_ids:
            by_class.setdefault(rules.in_room(room_id).class_key, []).append(room_id)
        counts: dict[RoomID, Counts] = {}
        for class_key, rooms in by_class.items():
            found = unread_counts(tx, rooms, user_id, class_key=class_key, ignored=ignored)
            counts.update({room_id: found.get(room_id, {}) for room_id in rooms})
        tx.after_commit(partial(self._keep, user_id, counts, position, ignored))
        return counts

    def from_memory(self, user_id: UserID, room_id: RoomID, *, position: int, ignored: frozenset[str]) -> Counts:
        """The counts that memory knows, with what was written since then, up to `position`. Raises NotInMemory."""
        counted = self._memory.counts.get((user_id, room_id))
        if counted is None or counted.ignored != ignored:
            raise NotInMemory
        changes = self._news.about_since(user_id, (room_id, PUSH_RULES), counted.position)
        rules = self._classes.of_users(None, (user_id,)).get(user_id)
        if changes is None or rules is None:
            raise NotInMemory
        class_key = rules.in_room(room_id).class_key
        threads = dict(counted.threads)
        for change in changes:
            match change:
                case RoomWritten():
                    _add(threads, change, user_id, class_key, ignored)
                case ReceiptWritten() if change.user_id != user_id:
                    pass
                case AccountDataWritten() if change.room_id is not None:
                    pass
                case _:
                    raise NotInMemory  # they go down, or other rules hold
        self._memory.counts.put((user_id, room_id), CountedRoom(max(position, counted.position), threads, ignored))
        return threads

    def is_notified(
        self,
        tx: Transaction | None,
        user_id: UserID,
        room_id: RoomID,
        events: Sequence[StoredEvent],
        changes: Iterable[RoomWritten],
    ) -> bool:
        """Whether one of these events counts for the user. `changes` are those that brought them, without `tx`."""
        rules = self._classes.of_users(tx, (user_id,)).get(user_id)
        if rules is None:
            raise NotInMemory
        class_key = rules.in_room(room_id).class_key
        if tx is not None:
            places = [stored.place for stored in events if stored.place is not None]
            return is_any_notified(tx, room_id, user_id, class_key=class_key, places=places)
        wanted = {stored.nid for stored in events}
        return any(
            stored.nid in wanted and (outcome := _outcome(notified, user_id, class_key)) is not None and outcome.notify
            for change in changes
            for stored, notified in zip(change.events, change.notified, strict=True)
        )

    def may_be_read_by(self, tx: Transaction | None, user_id: UserID, room_id: RoomID, own: StoredEvent) -> bool:
        """Whether the user may have had something unread when they sent this message: who speaks has read it."""
        if tx is None:
            raise NotInMemory
        rules = self._classes.of_users(tx, (user_id,))[user_id]
        return may_have_counted_before(
            tx,
            room_id,
            user_id,
            class_key=rules.in_room(room_id).class_key,
            place=own.place or 0,
            thread_id=own.thread_id or MAIN_TIMELINE,
        )

    def _keep(self, user_id: UserID, counts: Mapping[RoomID, Counts], position: int, ignored: frozenset[str]) -> None:
        for room_id, threads in counts.items():
            known = self._memory.counts.get((user_id, room_id))
            if known is None or known.position <= position:
                self._memory.counts.put((user_id, room_id), CountedRoom(position, dict(threads), ignored))


def _add(
    threads: dict[str, UnreadCount], change: RoomWritten, user_id: UserID, class_key: bytes, ignored: frozenset[str]
) -> None:
    if any(one.user_id == user_id and one.before != one.membership for one in change.memberships):
        raise NotInMemory  # who comes anew has read what was said before
    for stored, notified in zip(change.events, change.notified, strict=True):
        thread_id = stored.thread_id or MAIN_TIMELINE
        if stored.event.redacts is not None:
            raise NotInMemory  # what it redacts may have counted
        if stored.event.sender == user_id:
            if stored.event.state_key is None:
                threads.pop(thread_id, None)  # who speaks has read what was said before
            continue
        outcome = None if stored.event.sender in ignored else _outcome(notified, user_id, class_key)
        if outcome is not None and outcome.notify:
            known = threads.get(thread_id, NOTHING)
            threads[thread_id] = UnreadCount(known.notifications + 1, known.highlights + int(outcome.highlight))


def _outcome(
    notified: EventNotified, user_id: UserID, class_key: bytes
) -> ClassNotification | PersonalNotification | None:
    own = next((one for one in notified.persons if one.user_id == user_id), None)
    return own or next((one for one in notified.classes if one.class_key == class_key), None)


def shown(threads: Counts, *, by_thread: bool) -> dict[str, object]:
    """The counts as a room of a sync shows them."""
    apart = {thread: count for thread, count in threads.items() if thread != MAIN_TIMELINE} if by_thread else {}
    main: Sequence[UnreadCount] = [count for thread, count in threads.items() if thread not in apart]
    section: dict[str, object] = {
        "unread_notifications": {
            "notification_count": sum(count.notifications for count in main),
            "highlight_count": sum(count.highlights for count in main),
        }
    }
    if by_thread:
        section["unread_thread_notifications"] = {
            thread: {"notification_count": count.notifications, "highlight_count": count.highlights}
            for thread, count in apart.items()
            if count.notifications
        }
    return section
