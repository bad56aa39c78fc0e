"""The event stream that came before /sync: one call tells what happened since a token, or waits for it.

Spec: client-server-api/#get_matrixclientv3events. What an answer consists of is in stream_chunks.py.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadToken
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.sync_tokens import SyncToken
from homeserver.runtime.clock import Clock
from homeserver.runtime.wakeups import Bell
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.news import AccountDataWritten, Change, News, ReceiptWritten, RoomWritten
from homeserver.services.sync.long_poll import LONGEST_S
from homeserver.services.sync.lost_time import LostTime
from homeserver.services.sync.peeked_rooms import PeekedRooms
from homeserver.services.sync.stream_chunks import UNKNOWN_TOKEN, Chunk, StreamChunks
from homeserver.storage.database import Database

MOST_EVENTS: Final = 100  # of rooms, in one answer


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer: where it starts, what happened, where the next goes on."""

    start: SyncToken
    chunk: Chunk


class EventStream:
    """Answers those who follow the stream."""

    def __init__(
        self,
        database: Database,
        chunks: StreamChunks,
        lost_time: LostTime,
        peeked: PeekedRooms,
        news: News,
        bell: Bell,
        clock: Clock,
    ) -> None:
        self._database = database
        self._chunks = chunks
        self._lost_time = lost_time
        self._peeked = peeked
        self._news = news
        self._bell = bell
        self._clock = clock

    async def follow(self, viewer: Viewer, since: SyncToken | None, *, timeout_ms: int, limit: int | None) -> Streamed:
        """What happened that concerns the user, since the token or from now on.

        Raises BadToken when that is not known any more.
        """
        user_id, start, until_s = viewer.user_id, self._start(since), self._until_s(timeout_ms)
        chunk = Chunk((), start, has_more=False)
        while True:
            self._news.follow(user_id, self._database.position)
            if chunk.has_more or self._has_news(user_id, chunk.end):
                chunk = await self._database.read(self._chunks.read, viewer, chunk.end, _limit(limit))
                if chunk.events:
                    break
            elif not await self._bell.wait(user_id, until_s - self._clock.seconds()):
                break
        return Streamed(start, chunk)

    async def peek(
        self, viewer: Viewer, room_id: RoomID, since: SyncToken | None, *, timeout_ms: int, limit: int | None
    ) -> Streamed:
        """What happened in a room that the user may read, in it or not. Raises Forbidden; BadToken as `follow` does."""
        start, until_s = self._start(since), self._until_s(timeout_ms)
        chunk = Chunk((), start, has_more=True)
        with self._peeked.following(room_id):
            while not chunk.events:
                if not chunk.has_more:
                    remaining_s = until_s - self._clock.seconds()
                    if not await self._peeked.wait(room_id, chunk.end.position, remaining_s):
                        break
                chunk = await self._database.read(self._chunks.read_room, viewer, chunk.end, _limit(limit), room_id)
        return Streamed(start, chunk)

    def _start(self, since: SyncToken | None) -> SyncToken:
        if since is None:
            return self._chunks.token(self._database.position)
        if self._lost_time.holds(since.position):
            raise BadToken(UNKNOWN_TOKEN)
        return since

    def _until_s(self, timeout_ms: int) -> float:
        return self._clock.seconds() + min(timeout_ms / 1000, LONGEST_S)

    def _has_news(self, user_id: UserID, since: SyncToken) -> bool:
        """Whether the database is to be asked: no `await` between this and the bell."""
        if since.position > self._database.position:
            return True  # of a commit that the reactor has not heard of yet, or of another time: the database knows
        changes = self._news.since(user_id, since.position)
        if changes is None or any(map(_is_told, changes)):
            return True
        return bool(self._chunks.typing_since(user_id, since) or self._chunks.presence_since(user_id, since))


def _is_told(change: Change) -> bool:
    """Whether the stream says anything of a change: of devices it does not."""
    return isinstance(change, RoomWritten | ReceiptWritten | AccountDataWritten)


def _limit(limit: int | None) -> int:
    """At least one, so that whoever asks goes on."""
    return MOST_EVENTS if limit is None else min(max(limit, 1), MOST_EVENTS)
