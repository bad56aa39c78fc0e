"""A room's history as a reader asks for it: where it breaks off here, others are asked for more before it is read.

What is here is read by timeline.py. Who brings more is services/federation/backfill.py.
"""

from dataclasses import replace
from typing import Final, Protocol

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.sync_tokens import PaginationToken, SyncToken
from homeserver.runtime.clock import Clock
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.rooms.timeline import Break, Context, Page, Timeline

LONGEST_WAIT_S: Final = 10.0
MOST_ROUNDS: Final = 5  # for one page


class HistoryFilling(Protocol):
    """Brings history that is not here."""

    async def fill(self, room_id: RoomID, *, upto: int, down_to: int, timeout_s: float) -> bool:
        """Bring some of what lies below the newest gap at these places; whether there is more to be read now."""


class RoomHistory:
    """Reads rooms' histories for their readers, further back than they are known here."""

    def __init__(self, timeline: Timeline, filling: HistoryFilling, partial_rooms: PartialRooms, clock: Clock) -> None:
        self._timeline = timeline
        self._filling = filling
        self._partial_rooms = partial_rooms
        self._clock = clock

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
        """See Timeline. It may take some seconds."""
        until_s = self._clock.seconds() + LONGEST_WAIT_S
        for number in range(MOST_ROUNDS + 1):
            page = await self._timeline.messages(
                viewer, room_id, begin=begin, end=end, backwards=backwards, limit=limit, event_filter=event_filter
            )
            is_last = number == MOST_ROUNDS or (number > 0 and not page.chunk)  # nothing of it is for this reader
            if is_last or not await self._fills(room_id, page.missing, until_s):
                break
        if page.end is None and page.missing is not None and self._clock.seconds() >= until_s:
            return replace(page, end=page.start)  # others are still being asked: the client comes back for it
        return page

    async def context(
        self, viewer: Viewer, room_id: RoomID, event_id: EventID, limit: int | None, event_filter: RoomEventFilter
    ) -> Context:
        """See Timeline. It may take some seconds."""
        until_s = self._clock.seconds() + LONGEST_WAIT_S
        context = await self._timeline.context(viewer, room_id, event_id, limit, event_filter)
        if await self._fills(room_id, context.missing, until_s):
            context = await self._timeline.context(viewer, room_id, event_id, limit, event_filter)
        return context

    async def _fills(self, room_id: RoomID, missing: Break | None, until_s: float) -> bool:
        """Whether there is more to be read now than before."""
        if missing is None or not await self._partial_rooms.wait(room_id, until_s - self._clock.seconds()):
            return False
        timeout_s = until_s - self._clock.seconds()
        if timeout_s <= 0:
            return False
        return await self._filling.fill(room_id, upto=missing.upto, down_to=missing.down_to, timeout_s=timeout_s)
