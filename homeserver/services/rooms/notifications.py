"""The events that notified a user, newest first, whatever their rooms.

Spec: client-server-api/#listing-notifications. Which events notify whom was worked out when they were written; the rows
are in storage/notifications.py, as long as events count as unread. Invites are not among them: clients are
shown those apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import Action
from homeserver.core.sync_tokens import NotificationToken
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.client_format import ClientFormat, Viewer
from homeserver.services.events.notifying import Notifying
from homeserver.services.events.push_classes import PushClasses
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Readers
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import place_at
from homeserver.storage.notifications import NotifiedEvent, notified_events, notified_rooms, read_places
from homeserver.storage.rooms import find_head

MOST_ROOMS: Final = 1_000  # of one user: those with the newest events
MOST_NOTIFICATIONS: Final = 100
DEFAULT_NOTIFICATIONS: Final = 20


@dataclass(frozen=True, slots=True)
class Notification:
    """An event that notified the user, what was to be done about it, and whether the user has read it since."""

    room_id: RoomID
    event: orjson.Fragment
    actions: Sequence[Action]
    is_read: bool
    notified_ms: int


@dataclass(frozen=True, slots=True)
class NotificationPage:
    """Some notifications. `next_token` is None when there are no more."""

    notifications: Sequence[Notification]
    next_token: NotificationToken | None


class Notifications:
    """Lists what users were notified of."""

    def __init__(
        self,
        database: Database,
        readers: Readers,
        formats: ClientFormat,
        classes: PushClasses,
        notifying: Notifying,
    ) -> None:
        self._database = database
        self._readers = readers
        self._formats = formats
        self._classes = classes
        self._notifying = notifying

    async def notifications(
        self, viewer: Viewer, *, begin: NotificationToken | None, limit: int | None, only_highlights: bool
    ) -> NotificationPage:
        """A page of the user's notifications: all, or those that highlight."""
        most = DEFAULT_NOTIFICATIONS if limit is None else min(limit, MOST_NOTIFICATIONS)
        return await self._database.read(self._page, viewer, begin, most, only_highlights)

    def _page(
        self, tx: Transaction, viewer: Viewer, begin: NotificationToken | None, limit: int, only_highlights: bool
    ) -> NotificationPage:
        newest = self._newest(tx, viewer.user_id, begin, limit + 1, only_highlights)
        page = newest[:limit]
        reached = read_places(tx, viewer.user_id, sorted({room_id for room_id, _ in page}))
        shown = []
        for room_id, notified in page:
            rendered = self._shown(tx, viewer, room_id, notified)
            if rendered is None:
                continue
            read_upto = max(reached.get((room_id, thread), -1) for thread in (None, notified.thread_id))
            event, actions = rendered
            is_read = notified.place <= read_upto
            shown.append(Notification(room_id, event, actions, is_read, notified.written_ms))
        more = NotificationToken(page[-1][1].log_position) if len(newest) > limit else None
        return NotificationPage(shown, more)

    def _newest(
        self, tx: Transaction, user_id: UserID, begin: NotificationToken | None, limit: int, only_highlights: bool
    ) -> list[tuple[RoomID, NotifiedEvent]]:
        """The newest events of all rooms that notified the user, from where the last page ended."""
        rules, ignored = self._classes.of_users(tx, (user_id,))[user_id], ignored_users(tx, user_id)
        newest: list[tuple[RoomID, NotifiedEvent]] = []
        for room in notified_rooms(tx, user_id, limit=MOST_ROOMS):
            if len(newest) == limit and newest[-1][1].log_position >= room.active_position:
                break  # neither this room nor those after it have anything as new
            if begin is not None:
                upto = place_at(tx, room.room_id, at=begin.before - 1)
                if upto is None:
                    continue
                room = replace(room, upto=upto)
            found = notified_events(
                tx,
                room,
                user_id,
                class_key=rules.in_room(room.room_id).class_key,
                only_highlights=only_highlights,
                ignored=ignored,
                limit=limit,
            )
            newest += [(room.room_id, one) for one in found if begin is None or one.log_position < begin.before]
            newest = sorted(newest, key=lambda one: -one[1].log_position)[:limit]
        return newest

    def _shown(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, notified: NotifiedEvent
    ) -> tuple[orjson.Fragment, Sequence[Action]] | None:
        """The event as the user sees it, and what was to be done about it; None if the user may not see it."""
        head = find_head(tx, room_id)
        try:
            seen = self._readers.find_seen(tx, room_id, viewer.user_id, notified.event_id)
            if head is None or seen is None:
                return None
            stored, membership = seen
            actions = self._notifying.actions(
                tx, stored, head.current_root, viewer.user_id, highlight=notified.highlight
            )
        except RoomIsPartial:
            return None
        sight = self._readers.sight(tx, room_id, viewer.user_id)
        event = self._formats.render(
            tx, [stored], viewer, with_room_id=False, memberships={notified.event_id: membership}, sight=sight
        )[0]
        return event, actions
