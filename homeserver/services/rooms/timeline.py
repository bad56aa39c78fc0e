"""Reading a room: its history page by page, an event and what is around it, its state, its members.

Spec: client-server-api/#getting-events-for-a-room
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import orjson

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.core.sync_tokens import PaginationToken, SyncToken
from homeserver.services.errors import Forbidden, NotFound, RoomIsPartial
from homeserver.services.events.client_format import ClientFormat, Viewer
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.aggregations import Aggregations, Onlooker
from homeserver.services.rooms.history_pages import OLDEST, HistoryRange, raw_page, seen_page, wanted_events
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Access, Readers
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, events_backwards, events_forwards, place_at
from homeserver.storage.memberships import find_membership, members_of_room
from homeserver.storage.partial_rooms import find_partial_room
from homeserver.storage.rooms import roots_at
from homeserver.storage.waiting_events import open_gaps

P = ParamSpec("P")
T = TypeVar("T")

MOST_EVENTS: Final = 1000
DEFAULT_EVENTS: Final = 10
MEMBER: Final = "m.room.member"
NOT_FOUND: Final = "There is no such event here, or you may not see it"


@dataclass(frozen=True, slots=True)
class Break:
    """Where what was read of a room's history breaks off: other servers may know what lies below these places."""

    upto: int
    down_to: int


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a room's history. `end` is None when there is no more in this direction.

    Forwards that is after a page without events, at the earliest: to the newest event others are added. Backwards it is
    after a page without events, too, where only other servers may know what came before.
    """

    chunk: list[orjson.Fragment]
    start: str
    end: str | None
    state: list[orjson.Fragment]
    missing: Break | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """An event with those before (newest first) and after it (oldest first)."""

    event: orjson.Fragment
    before: list[orjson.Fragment]
    after: list[orjson.Fragment]
    start: str
    end: str
    state: list[orjson.Fragment]
    missing: Break | None = None


class Timeline:
    """Reads rooms for their readers."""

    def __init__(
        self,
        database: Database,
        readers: Readers,
        states: RoomStates,
        formats: ClientFormat,
        aggregations: Aggregations,
        partial_rooms: PartialRooms,
    ) -> None:
        self._database = database
        self._readers = readers
        self._states = states
        self._formats = formats
        self._aggregations = aggregations
        self._partial_rooms = partial_rooms

    async def messages(
        self,
        viewer: Viewer,
        room_id: RoomID,
        *,
        begin: PaginationToken | SyncToken | None,
        end: PaginationToken | SyncToken | None,
        backwards: bool,
        limit: int | None,
        event_filter: RoomEventFilter,
    ) -> Page:
        """A page of history from `begin` (None: from the newest, or from the oldest forwards) towards `end`."""
        return await self._read_known(
            self._messages, viewer, room_id, begin, end, backwards, _limit(limit, event_filter), event_filter
        )

    async def context(
        self, viewer: Viewer, room_id: RoomID, event_id: EventID, limit: int | None, event_filter: RoomEventFilter
    ) -> Context:
        """An event and up to `limit` around it.

        Raises Forbidden for one who may not read the room, as for its messages: the specification names no error, and
        clients tell users then to join it, rather than that there is nothing. Raises NotFound.
        """
        return await self._read_known(
            self._context, viewer, room_id, event_id, _limit(limit, event_filter), event_filter
        )

    async def event(self, viewer: Viewer, room_id: RoomID, event_id: EventID) -> orjson.Fragment:
        """One event. Raises NotFound, alike for one of another room and one that the viewer may not see."""
        return await self._read_known(self._event, viewer, room_id, event_id)

    async def event_of_any_room(self, viewer: Viewer, event_id: EventID) -> orjson.Fragment:
        """One event, for clients that do not say of which room it is. Raises NotFound as `event` does."""
        return await self._read_known(self._event_of_any_room, viewer, event_id)

    async def state(self, viewer: Viewer, room_id: RoomID) -> list[orjson.Fragment]:
        """The room's state: now, or when the viewer left."""
        return await self._read_known(self._state, viewer, room_id)

    async def state_event(
        self, viewer: Viewer, room_id: RoomID, event_type: str, state_key: str, *, whole_event: bool
    ) -> Mapping[str, Any] | orjson.Fragment:
        """The content of a state event, or all of it. Raises NotFound."""
        return await self._read_known(
            self._state_event, viewer, room_id, event_type, state_key, whole_event=whole_event
        )

    async def members(
        self,
        viewer: Viewer,
        room_id: RoomID,
        *,
        at: SyncToken | PaginationToken | None,
        membership: str | None,
        not_membership: str | None,
    ) -> list[orjson.Fragment]:
        """The member events of the room: now, at a token, or when the viewer left."""
        return await self._read_known(self._members, viewer, room_id, at, membership, not_membership)

    async def joined_members(self, viewer: Viewer, room_id: RoomID) -> dict[UserID, tuple[str | None, str | None]]:
        """Each joined user's display name and avatar. For members alone."""
        return await self._read_known(self._joined_members, viewer, room_id)

    async def _read_known(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read, where need be once all of the room is known. Raises RoomIsPartial when that takes too long."""
        return await self._partial_rooms.once_known(lambda: self._database.read(fn, *args, **kwargs))

    def _messages(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        begin: PaginationToken | SyncToken | None,
        end: PaginationToken | SyncToken | None,
        backwards: bool,
        limit: int,
        event_filter: RoomEventFilter,
    ) -> Page:
        access = self._readers.access(tx, room_id, viewer.user_id)
        place = place_of_token(tx, room_id, begin)
        if place is None:
            place = access.upto_place if backwards else OLDEST
        if backwards:
            place = min(place, access.upto_place)
        until, ignored = place_of_token(tx, room_id, end), ignored_users(tx, viewer.user_id)
        asked = HistoryRange(room_id, place, until, access.upto_place, backwards)
        page = seen_page(
            tx, asked, limit, lambda events: self._visible(tx, viewer, room_id, events, access, event_filter, ignored)
        )
        seen, start, place, has_more = page.seen, place, page.next_place, page.has_more
        missing: Break | None = None
        if backwards:
            lowest = place + 1 if has_more or len(seen) >= limit else until
            missing = self._missing(tx, room_id, start, OLDEST if lowest is None else lowest)
            # There is more with others, perhaps: the client may ask on, but not without end.
            has_more = has_more or (until is None and place != start and _breaks_off(tx, room_id, place + 1))
        # The newest event is not the last: whoever is in the room asks for what follows it with this page's end.
        has_more = has_more or (not backwards and until is None and access.is_joined and place != start)
        events = [stored for stored, _ in seen]
        chunk = self._aggregations.shown(tx, onlooker_of(viewer, room_id, access, ignored), seen)
        state = self._lazy_members(tx, viewer, room_id, events, access, event_filter)
        return Page(
            chunk=chunk,
            start=str(begin or PaginationToken(start)),
            end=str(PaginationToken(place)) if has_more else None,
            state=state,
            missing=missing,
        )

    @staticmethod
    def _missing(tx: Transaction, room_id: RoomID, place: int, down_to: int) -> Break | None:
        """Where history breaks off above `down_to`: at an event from `place` down, or the one right above it."""
        if not open_gaps(tx, room_id, upto=-OLDEST, limit=1):
            return None
        above = events_forwards(tx, room_id, place=place, limit=1)
        upto = place if not above else above[0].place or place
        gaps = open_gaps(tx, room_id, upto=upto, limit=1)
        return Break(gaps[0].place, down_to) if gaps and gaps[0].place > down_to else None

    def _visible(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        events: Sequence[StoredEvent],
        access: Access,
        event_filter: RoomEventFilter,
        ignored: frozenset[str],
    ) -> list[tuple[StoredEvent, str]]:
        wanted = [
            stored for stored in events if stored.event.state_key is not None or stored.event.sender not in ignored
        ]
        wanted = wanted_events(tx, room_id, wanted, event_filter)
        return self._readers.in_sight(tx, room_id, viewer.user_id, wanted, access.sight)

    def _context(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        event_id: EventID,
        limit: int,
        event_filter: RoomEventFilter,
    ) -> Context:
        access = self._readers.access(tx, room_id, viewer.user_id)
        seen = self._readers.find_seen(tx, room_id, viewer.user_id, event_id)
        if seen is None or seen[0].place is None or seen[0].place > access.upto_place:
            raise NotFound(NOT_FOUND)
        middle, place = seen[0], seen[0].place
        ignored = ignored_users(tx, viewer.user_id)
        upto = access.upto_place
        before = raw_page(tx, HistoryRange(room_id, place - 1, None, upto, backwards=True), limit // 2)
        after = raw_page(tx, HistoryRange(room_id, place, None, upto, backwards=False), limit - limit // 2)
        seen_before = self._visible(tx, viewer, room_id, before.events, access, event_filter, ignored)
        seen_after = self._visible(tx, viewer, room_id, after.events, access, event_filter, ignored)
        shown = (seen, *seen_before, *seen_after)
        events = [stored for stored, _ in shown]
        rendered = self._aggregations.shown(tx, onlooker_of(viewer, room_id, access, ignored), shown)
        newest = seen_after[-1][0] if seen_after else middle
        down_to = before.next_place + 1 if before.has_more else OLDEST
        return Context(
            event=rendered[0],
            before=rendered[1 : 1 + len(seen_before)],
            after=rendered[1 + len(seen_before) :],
            start=str(PaginationToken(before.next_place)),
            end=str(PaginationToken(after.next_place)),
            state=self._context_state(tx, viewer, access, newest, events, event_filter),
            missing=self._missing(tx, room_id, place - 1, down_to),
        )

    def _context_state(
        self,
        tx: Transaction,
        viewer: Viewer,
        access: Access,
        newest: StoredEvent,
        events: Sequence[StoredEvent],
        event_filter: RoomEventFilter,
    ) -> list[orjson.Fragment]:
        if newest.root is None:
            return []
        room_id, senders = newest.event.room_id, {stored.event.sender for stored in events}
        lazily = event_filter.lazy_load_members
        whole = self._states.all_but_type(tx, room_id, newest.root, MEMBER) if lazily else None
        state = self._states.whole(tx, room_id, newest.root) if whole is None else whole
        if lazily:
            members = self._states.select_known(tx, room_id, newest.root, [(MEMBER, sender) for sender in senders])
            loaded = self._states.load(tx, [event.event_id for event in members.values()])
            state = [*state, *loaded.values()]
        wanted = [stored for stored in state if is_wanted_state(event_filter, stored)]
        return self._formats.render(tx, wanted, viewer, with_room_id=True, sight=access.sight)

    def _event(self, tx: Transaction, viewer: Viewer, room_id: RoomID, event_id: EventID) -> orjson.Fragment:
        seen = self._readers.find_seen(tx, room_id, viewer.user_id, event_id)
        if seen is None:
            raise NotFound(NOT_FOUND)
        access = self._readers.find_access(tx, room_id, viewer.user_id)
        if access is not None:
            onlooker = onlooker_of(viewer, room_id, access, ignored_users(tx, viewer.user_id))
            return self._aggregations.shown(tx, onlooker, [seen])[0]
        stored, membership = seen
        return self._formats.render(tx, [stored], viewer, with_room_id=True, memberships={event_id: membership})[0]

    def _event_of_any_room(self, tx: Transaction, viewer: Viewer, event_id: EventID) -> orjson.Fragment:
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None:
            raise NotFound(NOT_FOUND)
        return self._event(tx, viewer, stored.event.room_id, event_id)

    def _state(self, tx: Transaction, viewer: Viewer, room_id: RoomID) -> list[orjson.Fragment]:
        access = self._readers.access(tx, room_id, viewer.user_id)
        # Who left a room before all of it was known will never know more of it.
        whole = self._states.whole(tx, room_id, access.root, as_far_as_known=not access.is_joined)
        return self._formats.render(tx, whole, viewer, with_room_id=True, sight=access.sight)

    def _state_event(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, event_type: str, state_key: str, *, whole_event: bool
    ) -> Mapping[str, Any] | orjson.Fragment:
        access = self._readers.access(tx, room_id, viewer.user_id)
        stored = self._states.find(tx, room_id, access.root, event_type, state_key)
        if stored is None:
            raise NotFound(f"The room has no {event_type} with this state key")
        if whole_event:
            return self._formats.render(tx, [stored], viewer, with_room_id=True, sight=access.sight)[0]
        return stored.event.content

    def _members(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        at: SyncToken | PaginationToken | None,
        membership: str | None,
        not_membership: str | None,
    ) -> list[orjson.Fragment]:
        access = self._readers.access(tx, room_id, viewer.user_id)
        root = access.root if at is None else self._root_at(tx, viewer, room_id, at, access)
        kinds = [membership] if membership is not None else []
        events = [
            stored
            for stored in self._states.of_type(tx, room_id, root, MEMBER, as_far_as_known=not access.is_joined)
            if (membership is None and not_membership is None)
            or (own := stored.event.content.get("membership")) in kinds
            or (not_membership is not None and own != not_membership)
        ]
        return self._formats.render(tx, events, viewer, with_room_id=True, sight=access.sight)

    def _root_at(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, at: SyncToken | PaginationToken, access: Access
    ) -> bytes:
        """The state at a token, but never later than what the viewer has access to.

        Raises Forbidden for a time of which the viewer may see nothing.
        """
        place = place_of_token(tx, room_id, at)
        if place is None or place >= access.upto_place:
            return access.root
        newest = events_backwards(tx, room_id, place=place, limit=1)
        if not newest:
            return EMPTY_ROOT
        if not self._visible(tx, viewer, room_id, newest, access, RoomEventFilter(), frozenset()):
            raise Forbidden("You may not see who was in the room then")
        if isinstance(at, SyncToken):
            return roots_at(tx, [room_id], at=at.position).get(room_id, access.root)
        return newest[0].root or access.root

    def _joined_members(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID
    ) -> dict[UserID, tuple[str | None, str | None]]:
        own = find_membership(tx, room_id, viewer.user_id)
        if own is None or own.membership != "join":
            raise Forbidden("You are not in this room")
        if find_partial_room(tx, room_id) is not None:
            raise RoomIsPartial(room_id)
        return {
            member.user_id: (member.display_name, member.avatar_url)
            for member in members_of_room(tx, room_id)
            if member.membership == "join"
        }

    def _lazy_members(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        events: Sequence[StoredEvent],
        access: Access,
        event_filter: RoomEventFilter,
    ) -> list[orjson.Fragment]:
        """The member events of those who sent a page's events, as they were at the newest of them."""
        if not event_filter.lazy_load_members or not events:
            return []
        newest = max(events, key=lambda stored: stored.place or 0)
        if newest.root is None:
            return []
        senders: Iterable[str] = {stored.event.sender for stored in events}
        state = self._states.select_known(tx, room_id, newest.root, [(MEMBER, sender) for sender in senders])
        stored = self._states.load(tx, [event.event_id for event in state.values()])
        return self._formats.render(tx, list(stored.values()), viewer, with_room_id=True, sight=access.sight)


def place_of_token(tx: Transaction, room_id: RoomID, token: PaginationToken | SyncToken | None) -> int | None:
    """The place after which a token stands in the room."""
    if token is None:
        return None
    if isinstance(token, PaginationToken):
        return token.place
    place = place_at(tx, room_id, at=token.position)
    return OLDEST if place is None else place


def onlooker_of(viewer: Viewer, room_id: RoomID, access: Access, ignored: frozenset[str]) -> Onlooker:
    """Who looks at the room with this access to it."""
    return Onlooker(viewer, room_id, access.sight, access.upto_place, ignored)


def _limit(asked: int | None, event_filter: RoomEventFilter) -> int:
    limits = [limit for limit in (asked, event_filter.limit) if limit is not None]
    return min([*limits, MOST_EVENTS]) if limits else DEFAULT_EVENTS


def _breaks_off(tx: Transaction, room_id: RoomID, place: int) -> bool:
    """Whether other servers may know what came before the event at a place, or one further below."""
    return bool(open_gaps(tx, room_id, upto=place, limit=1))


def is_wanted_state(event_filter: RoomEventFilter, stored: StoredEvent) -> bool:
    """Whether a filter lets an event of a room's state pass."""
    event = stored.event
    return event_filter.is_default or event_filter.matches(
        event_type=event.type, sender=event.sender, room_id=event.room_id, has_url="url" in event.content
    )
