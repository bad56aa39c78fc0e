"""Subscribing to threads, by a user's wish or because a client was reminded of them.

Spec: MSC4306; how other devices hear of it is MSC4308, here (`changed`) and in services/sync/sliding_extensions.py.
What subscriptions do to notifications is worked out in services/events/notifying.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.sliding_tokens import thread_subscriptions_token
from homeserver.services.errors import ConflictingUnsubscription, NotFound, NotInThread, TooLarge
from homeserver.services.events.news import News, ThreadSubscriptionWritten
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.timeline import NOT_FOUND
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.thread_subscriptions import (
    ThreadSubscription,
    changed_subscriptions,
    find_subscription,
    may_subscribe_anew,
    store_subscription,
)

MOST_CHANGES: Final = 500
DEFAULT_CHANGES: Final = 100


@dataclass(frozen=True, slots=True)
class SubscriptionChanges:
    """Subscriptions that changed, the newest first; `before` is the token for those left out, if there are any."""

    changed: Sequence[ThreadSubscription]
    before: str | None

    @property
    def shown(self) -> dict[str, Any]:  # Any: JSON
        """By room and thread, as clients are told. Both kinds are always there: some clients fail without."""
        subscribed: dict[str, dict[str, Any]] = {}
        unsubscribed: dict[str, dict[str, Any]] = {}
        for one in self.changed:
            # Of two that a client learns of in any order, the one with the higher stamp is the later.
            if one.is_subscribed:
                told = {"automatic": one.is_automatic, "bump_stamp": one.log_position}
                subscribed.setdefault(one.room_id, {})[one.root_id] = told
            else:
                unsubscribed.setdefault(one.room_id, {})[one.root_id] = {"bump_stamp": one.log_position}
        return {"subscribed": subscribed, "unsubscribed": unsubscribed}


def read_changes(tx: Transaction, user_id: UserID, *, after: int, upto: int, limit: int) -> SubscriptionChanges:
    """The newest of the user's subscriptions that changed in (after, upto]."""
    found = changed_subscriptions(tx, user_id, after=after, upto=upto, limit=limit + 1)
    shown = found[:limit]
    before = thread_subscriptions_token(shown[-1].log_position - 1) if len(found) > limit else None
    return SubscriptionChanges(shown, before)


class ThreadSubscriptions:
    """Keeps who is subscribed to which thread."""

    def __init__(self, database: Database, readers: Readers, news: News) -> None:
        self._database = database
        self._readers = readers
        self._news = news

    async def find(self, user_id: UserID, room_id: RoomID, root_id: EventID) -> ThreadSubscription:
        """The user's subscription to a thread. Raises NotFound."""
        return await self._database.read(self._find, user_id, room_id, root_id)

    async def subscribe(self, user_id: UserID, room_id: RoomID, root_id: EventID, cause_id: EventID | None) -> None:
        """Subscribe to a thread: by the user's wish, or (with `cause_id`) because an event of the thread asks for it.

        Raises NotFound, NotInThread, TooLarge; ConflictingUnsubscription when the user unsubscribed after the cause.
        """
        await self._database.write(self._subscribe, user_id, room_id, root_id, cause_id)

    async def unsubscribe(self, user_id: UserID, room_id: RoomID, root_id: EventID) -> None:
        """Unsubscribe from a thread, if the user is subscribed to it. Raises NotFound."""
        await self._database.write(self._unsubscribe, user_id, room_id, root_id)

    async def changed(self, user_id: UserID, *, after: int, upto: int | None, limit: int | None) -> SubscriptionChanges:
        """The newest of the user's subscriptions that changed after a log position, up to another (None: up to now)."""
        asked = DEFAULT_CHANGES if limit is None else min(limit, MOST_CHANGES)
        return await self._database.read(self._changed, user_id, after, upto, asked)

    @staticmethod
    def _changed(tx: Transaction, user_id: UserID, after: int, upto: int | None, limit: int) -> SubscriptionChanges:
        return read_changes(tx, user_id, after=after, upto=tx.log_position if upto is None else upto, limit=limit)

    def _root(self, tx: Transaction, user_id: UserID, room_id: RoomID, root_id: EventID) -> StoredEvent:
        """The event that the thread begins at, or may begin at: the first answer may still be on its way."""
        stored = self._readers.find_visible(tx, room_id, user_id, root_id)
        if stored is None:
            raise NotFound(NOT_FOUND)
        return stored

    def _find(self, tx: Transaction, user_id: UserID, room_id: RoomID, root_id: EventID) -> ThreadSubscription:
        self._root(tx, user_id, room_id, root_id)
        found = find_subscription(tx, user_id, room_id, root_id)
        if found is None or not found.is_subscribed:
            raise NotFound("You are not subscribed to this thread")
        return found

    def _subscribe(
        self, tx: Transaction, user_id: UserID, room_id: RoomID, root_id: EventID, cause_id: EventID | None
    ) -> None:
        self._root(tx, user_id, room_id, root_id)
        found = find_subscription(tx, user_id, room_id, root_id)
        if cause_id is not None:
            cause = self._readers.find_visible(tx, room_id, user_id, cause_id)
            if cause is None or cause.thread_id != root_id:
                raise NotInThread
            # What has no position came to be known as history: from before anything that was done here.
            if found is not None and not found.is_subscribed and (cause.log_position or 0) <= found.log_position:
                raise ConflictingUnsubscription
        if found is not None and found.is_subscribed and (cause_id is not None or not found.is_automatic):
            return
        if found is None and not may_subscribe_anew(tx, user_id):
            raise TooLarge("You have subscribed to too many threads")
        self._write(tx, user_id, room_id, root_id, is_subscribed=True, is_automatic=cause_id is not None)

    def _unsubscribe(self, tx: Transaction, user_id: UserID, room_id: RoomID, root_id: EventID) -> None:
        self._root(tx, user_id, room_id, root_id)
        found = find_subscription(tx, user_id, room_id, root_id)
        if found is not None and found.is_subscribed:
            self._write(tx, user_id, room_id, root_id, is_subscribed=False, is_automatic=False)

    def _write(
        self,
        tx: Transaction,
        user_id: UserID,
        room_id: RoomID,
        root_id: EventID,
        *,
        is_subscribed: bool,
        is_automatic: bool,
    ) -> None:
        subscription = partial(
            ThreadSubscription, user_id, room_id, root_id, is_subscribed=is_subscribed, is_automatic=is_automatic
        )

        def store(tx: Transaction, position: int) -> None:
            store_subscription(tx, subscription(log_position=position))
            written = ThreadSubscriptionWritten(position, user_id, room_id)
            tx.after_commit(lambda: self._news.publish(written, (user_id,)))

        tx.at_position(("thread_subscriptions",), store)
