"""The threads of a room, those with the newest events first, for whoever may see them.

Spec: client-server-api/#querying-threads-in-a-room. What is in a thread is read as relations of its root.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.redaction import redacted_event
from homeserver.core.relations import THREAD
from homeserver.core.sync_tokens import PaginationToken
from homeserver.services.events.client_format import OUTSIDE, Viewer
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.aggregations import Aggregations
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Access, Readers
from homeserver.services.rooms.timeline import onlooker_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.threads import ThreadWish, latest_threads

MOST_THREADS: Final = 100
DEFAULT_THREADS: Final = 10
LEAST_READ: Final = 20  # at once, of threads of which visibility may leave few
MOST_PAGES_READ: Final = 20  # of threads that visibility leaves few of: the client asks on


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """Some of a room's threads: their roots. `next_batch` is None when there are no more."""

    chunk: Sequence[orjson.Fragment]
    next_batch: str | None


class Threads:
    """Lists threads for their readers."""

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

    async def threads(
        self,
        viewer: Viewer,
        room_id: RoomID,
        *,
        with_viewer: bool,
        begin: PaginationToken | None,
        limit: int | None,
    ) -> ThreadPage:
        """A page of threads: all, or those in which the viewer takes part. Raises Forbidden."""
        return await self._partial_rooms.once_known(
            lambda: self._database.read(self._threads, viewer, room_id, with_viewer, begin, limit)
        )

    def _threads(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        with_viewer: bool,
        begin: PaginationToken | None,
        limit: int | None,
    ) -> ThreadPage:
        access = self._readers.access(tx, room_id, viewer.user_id)
        ignored = ignored_users(tx, viewer.user_id)
        onlooker = onlooker_of(viewer, room_id, access, ignored)
        wanted = DEFAULT_THREADS if limit is None else min(limit, MOST_THREADS)
        wish = ThreadWish(room_id, viewer.user_id if with_viewer else None, access.upto_place, ignored)
        before = access.upto_place if begin is None else min(begin.place, access.upto_place)
        chunk: list[orjson.Fragment] = []
        has_more = True
        for _ in range(MOST_PAGES_READ):
            asked = max(wanted - len(chunk) + 1, LEAST_READ)
            found = latest_threads(tx, wish, before=before, limit=asked, sees_all=access.is_joined and not ignored)
            has_more = len(found) == asked
            roots = self._visible(tx, viewer, room_id, [root_id for root_id, _ in found], access)
            relations = self._aggregations.of(tx, onlooker, [stored for stored, _ in roots.values()])
            shown: list[tuple[StoredEvent, str]] = []
            for root_id, place in found:
                if len(chunk) + len(shown) == wanted:
                    has_more = True
                    break
                before = place - 1
                # A thread of which nothing is to be seen is none.
                if root_id in roots and THREAD in relations.get(root_id, {}):
                    root, membership = roots[root_id]
                    shown.append((_as_seen(root, ignored), membership))
            chunk += self._aggregations.shown(tx, onlooker, shown, relations)
            if not has_more or len(chunk) == wanted:
                break
        return ThreadPage(chunk, str(PaginationToken(before)) if has_more else None)

    def _visible(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, root_ids: Sequence[EventID], access: Access
    ) -> dict[EventID, tuple[StoredEvent, str]]:
        """Those of the roots that are of the room and that the viewer sees, with the viewer's membership at them."""
        stored = [
            one for one in self._states.load(tx, root_ids).values() if one.event.room_id == room_id and not one.verdict
        ]
        visible = self._readers.in_sight(tx, room_id, viewer.user_id, stored, access.sight)
        return {one.event.event_id: (one, membership) for one, membership in visible}


def _as_seen(root: StoredEvent, ignored: frozenset[str]) -> StoredEvent:
    """The root of a thread, without what it said when the reader ignores its sender: others' answers are shown."""
    if root.event.sender not in ignored:
        return root
    return replace(root, nid=OUTSIDE, event=redacted_event(root.event), transaction=None)
