"""Unread counts of a room for one user: from rows that were written with the events, or from memory.

Spec: client-server-api/#receiving-notifications, #threads-notifications. What an event does to counts was worked out
when it was written (services/events/notifying.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.news import RoomWritten
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.sync.memory import CountedRoom, SyncMemory
from homeserver.services.sync.request import NotInMemory
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import joined_place
from homeserver.storage.notifications import MAIN_TIMELINE, UnreadCount, unread_by_thread, unread_in_thread
from homeserver.storage.receipts import read_places

NEWEST: Final = 2**62  # after any place of any room
OLDEST: Final = -(2**62)
MAIN_THREAD: Final = "main"  # what receipts call the timeline outside of threads
NOTHING: Final = UnreadCount(0, 0)


class Unread:
    """Counts what a user has not read."""

    def __init__(self, classes: PushClasses, memory: SyncMemory) -> None:
        self._classes = classes
        self._memory = memory

    def read(self, tx: Transaction, user_id: UserID, room_id: RoomID, *, position: int) -> Mapping[str, UnreadCount]:
        """The counts by thread as the database has them at `position`."""
        class_key = self._classes.of_users(tx, (user_id,))[user_id].in_room(room_id).class_key
        places = read_places(tx, [room_id], user_id).get(room_id, {})
        begin = places.get(None, OLDEST)
        if not places:
            begin = joined_place(tx, room_id, user_id) or OLDEST
        threads = unread_by_thread(tx, room_id, user_id, class_key=class_key, after=begin, upto=NEWEST)
        for thread_id in list(threads):
            place = places.get(MAIN_THREAD if thread_id == MAIN_TIMELINE else thread_id)
            if place is not None and place > begin:
                threads[thread_id] = unread_in_thread(
                    tx, room_id, user_id, class_key=class_key, thread_id=thread_id, after=place, upto=NEWEST
                )
        tx.after_commit(lambda: self._memory.counts.put((user_id, room_id), CountedRoom(position, threads)))
        return threads

    def from_changes(
        self, user_id: UserID, room_id: RoomID, changes: Iterable[RoomWritten], *, after: int, position: int
    ) -> Mapping[str, UnreadCount]:
        """The counts that memory knows, with what `changes` (all of this room after `after`) add to them."""
        counted = self._memory.counts.get((user_id, room_id))
        if counted is None or counted.position < after:
            raise NotInMemory
        rules = self._classes.of_users(None, (user_id,)).get(user_id)
        if rules is None:
            raise NotInMemory
        class_key = rules.in_room(room_id).class_key
        threads = dict(counted.threads)
        for change in changes:
            if change.position > counted.position:
                self._add(threads, change, user_id, class_key)
        self._memory.counts.put((user_id, room_id), CountedRoom(max(position, counted.position), threads))
        return threads

    @staticmethod
    def _add(threads: dict[str, UnreadCount], change: RoomWritten, user_id: UserID, class_key: bytes) -> None:
        for stored, notified in zip(change.events, change.notified, strict=True):
            if stored.event.redacts is not None:
                raise NotInMemory  # what is redacted counts no more
            if stored.event.sender == user_id:
                continue
            own = next((one for one in notified.persons if one.user_id == user_id), None)
            outcome = own or next((one for one in notified.classes if one.class_key == class_key), None)
            if outcome is not None and outcome.notify:
                thread_id = stored.thread_id or MAIN_TIMELINE
                known = threads.get(thread_id, NOTHING)
                threads[thread_id] = UnreadCount(known.notifications + 1, known.highlights + int(outcome.highlight))


def shown(threads: Mapping[str, UnreadCount], *, by_thread: bool) -> dict[str, object]:
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
