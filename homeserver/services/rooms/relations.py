"""The events that relate to another one, page by page, for whoever may see them.

Spec: client-server-api/#relationships-api. What is told of them together with that event is in aggregations.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.sync_tokens import PaginationToken, SyncToken
from homeserver.services.errors import NotFound
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.aggregations import Aggregations
from homeserver.services.rooms.history_pages import OLDEST
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Access, Readers
from homeserver.services.rooms.timeline import NOT_FOUND, onlooker_of, place_of_token
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.relations import RelatedWish, related_events

MOST_EVENTS: Final = 100
DEFAULT_EVENTS: Final = 10
RECURSION_DEPTH: Final = 3  # as many relations as lead from an edit of a reaction's target in a thread to its root
LEAST_READ: Final = 20  # at once, of relations of which visibility may leave little
MOST_PAGES_READ: Final = 20  # of relations that visibility leaves little of: the client asks on


@dataclass(frozen=True, slots=True)
class RelationsQuestion:
    """Which relations are wanted, from where to where; `event_type` only together with `rel_type`."""

    rel_type: str | None = None
    event_type: str | None = None
    begin: PaginationToken | SyncToken | None = None
    end: PaginationToken | SyncToken | None = None
    backwards: bool = True
    limit: int | None = None
    recurse: bool = False


@dataclass(frozen=True, slots=True)
class RelatedPage:
    """Some of the events that relate to one. `next_batch` is None when there are no more."""

    chunk: Sequence[orjson.Fragment]
    next_batch: str | None
    prev_batch: str | None
    recursion_depth: int


class Relations:
    """Reads relations for their readers."""

    def __init__(
        self,
        database: Database,
        readers: Readers,
        states: RoomStates,
        aggregations: Aggregations,
        partial_rooms: PartialRooms,
    ) -> None:
        self._database = database
        self._readers = readers
        self._states = states
        self._aggregations = aggregations
        self._partial_rooms = partial_rooms

    async def related(
        self, viewer: Viewer, room_id: RoomID, event_id: EventID, question: RelationsQuestion
    ) -> RelatedPage:
        """A page of what relates to an event. Raises NotFound for one that the viewer may not see, as for none."""
        return await self._partial_rooms.once_known(
            lambda: self._database.read(self._related, viewer, room_id, event_id, question)
        )

    def _related(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, event_id: EventID, question: RelationsQuestion
    ) -> RelatedPage:
        access = self._readers.find_access(tx, room_id, viewer.user_id)
        parent = self._readers.find_visible(tx, room_id, viewer.user_id, event_id)
        if access is None or parent is None or (parent.place or 0) > access.upto_place:
            raise NotFound(NOT_FOUND)
        ignored = ignored_users(tx, viewer.user_id)
        depth = RECURSION_DEPTH if question.recurse else 1
        wish = RelatedWish(room_id, event_id, question.rel_type, question.event_type, depth)
        limit = DEFAULT_EVENTS if question.limit is None else min(question.limit, MOST_EVENTS)
        after, upto = self._bounds(tx, room_id, question, access)
        seen: list[tuple[StoredEvent, str]] = []
        has_more = True
        for _ in range(MOST_PAGES_READ):
            wanted = limit - len(seen)
            asked = max(wanted + 1, LEAST_READ)
            raw = related_events(tx, wish, after=after, upto=upto, limit=asked, backwards=question.backwards)
            found = self._visible(tx, viewer, room_id, [one for one, _ in raw], access, ignored)
            seen += found[:wanted]
            has_more = len(raw) == asked or len(found) > wanted
            reached = raw[-1][1] if raw else after
            if len(found) >= wanted and seen:
                reached = seen[-1][0].place or 0
            if question.backwards:
                upto = reached - 1
            else:
                after = reached
            if not has_more or len(seen) == limit:
                break
        return RelatedPage(
            chunk=self._aggregations.shown(tx, onlooker_of(viewer, room_id, access, ignored), seen),
            next_batch=str(PaginationToken(upto if question.backwards else after)) if has_more else None,
            prev_batch=None if question.begin is None else str(question.begin),
            recursion_depth=depth,
        )

    @staticmethod
    def _bounds(tx: Transaction, room_id: RoomID, question: RelationsQuestion, access: Access) -> tuple[int, int]:
        """The places between which events are wanted: after the one, up to the other."""
        begin, end = place_of_token(tx, room_id, question.begin), place_of_token(tx, room_id, question.end)
        lower, upper = (end, begin) if question.backwards else (begin, end)
        last = access.upto_place
        return OLDEST if lower is None else lower, last if upper is None else min(upper, last)

    def _visible(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        event_ids: Sequence[EventID],
        access: Access,
        ignored: frozenset[str],
    ) -> list[tuple[StoredEvent, str]]:
        stored = self._states.load(tx, event_ids)
        wanted = [
            stored[event_id]
            for event_id in event_ids
            if stored[event_id].event.state_key is not None or stored[event_id].event.sender not in ignored
        ]
        return self._readers.in_sight(tx, room_id, viewer.user_id, wanted, access.sight)
