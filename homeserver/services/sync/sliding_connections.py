"""The connections of sliding sync: what each client was told, and which of its requests is the last.

What was told is in the database, so that a client goes on where it was when the server starts again; what was read or
written lately is kept in memory too. Spec: MSC4186, "Connections".
"""

from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.core.sliding_tokens import SlidingToken
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.services.errors import UnknownPosition
from homeserver.services.sync.memory import Recent, SyncMemory
from homeserver.services.sync.room_listings import Listing, RoomListings
from homeserver.services.sync.sent_members import Reader, SentMembers
from homeserver.services.sync.sliding_request import SlidingAnswer, SlidingRequest
from homeserver.storage.database import Database, Transaction
from homeserver.storage.sliding_connections import (
    ConnectionKey,
    SentRoom,
    SentRooms,
    find_sent_rooms,
    store_sent_rooms,
)

CONNECTIONS: Final = 20_000
MOST_ROOMS: Final = 20_000  # that one connection was told of; then its client begins anew
ROOM_BYTES: Final = 250  # of memory
ROOM_IN_SIGHT_BYTES: Final = 900


@dataclass(frozen=True, slots=True)
class _Answered:
    """How the newest request of a connection was answered, what it asked for, and which messages the device had."""

    wishes: int
    has_messages_upto: int
    answer: SlidingAnswer


class SlidingConnections:
    """Remembers what was told."""

    def __init__(
        self,
        database: Database,
        memory: SyncMemory,
        sent: SentMembers,
        listings: RoomListings,
        budget: CacheBudget,
        clock: Clock,
    ) -> None:
        self._listings = listings
        self._database = database
        self._memory = memory
        self._sent = sent
        self._clock = clock
        self._rooms: BoundedCache[tuple[ConnectionKey, int, int], SentRooms] = BoundedCache(
            "sliding sync", budget, lambda rooms: 500 + ROOM_BYTES * len(rooms)
        )
        self._answered: BoundedCache[ConnectionKey, _Answered] = BoundedCache(
            "sliding sync answers", budget, lambda known: 1_000 + ROOM_IN_SIGHT_BYTES * len(known.answer.relevant)
        )
        self._last: Recent[ConnectionKey, int] = Recent(CONNECTIONS)  # the turn of the newest request
        self._current: Recent[ConnectionKey, int] = Recent(CONNECTIONS)  # the newest of each name
        self._turns = count(1)

    @staticmethod
    def reader(request: SlidingRequest) -> Reader:
        """By what members are remembered that were sent."""
        key = request.key
        return (key.user_id, key.device_id, key.conn_id)

    def answer_before(self, request: SlidingRequest) -> SlidingAnswer | None:
        """The answer whose token the request shows, without its body; None if it was to a request for something else.

        Its quiet one is what is answered if nothing was written since that concerns the request.
        """
        known = self._answered.get(request.key)
        if known is None or known.answer.token != request.since or known.wishes != request.wishes:
            return None
        return known.answer if request.has_messages_upto >= known.has_messages_upto else None

    def begin(self, request: SlidingRequest, epoch: str) -> int:
        """Note what a client shows to have by what it comes with; the turn of its request."""
        since, viewer, wish = request.since, request.viewer, request.extensions.to_device
        if wish is not None and viewer.device_id is not None and wish.since <= self._database.position:
            self._memory.acknowledge((viewer.user_id, viewer.device_id), wish.since)
        if since is not None:
            self._sent.came_back(self.reader(request), since.answer if since.epoch == epoch else 0)
        turn = next(self._turns)
        self._last.put(request.key, turn)
        return turn

    def begin_anew(self, tx: Transaction, request: SlidingRequest, answer: int) -> None:
        """With this answer a client knows no members but those that it tells of."""
        reader = self.reader(request)
        tx.after_commit(lambda: self._sent.begin_anew(reader, answer))

    def known(self, request: SlidingRequest) -> SentRooms | None:
        """What the client was told, if that is in memory."""
        since = request.since
        if since is None or since.connection == 0:
            return {}
        if self._current.get(request.key) != since.connection:
            return None
        return self._rooms.get((request.key, since.connection, since.number))

    def listing(self, request: SlidingRequest) -> Listing | None:
        """What is known in memory of the rooms of the request's user, if it asks for any."""
        return self._listings.known(request.viewer.user_id) if request.asks_for_rooms else None

    def read(self, tx: Transaction, request: SlidingRequest) -> SentRooms:
        """The same from the database. Raises UnknownPosition."""
        since = request.since
        if since is None or since.connection == 0:
            return {}
        rooms = find_sent_rooms(tx, request.key, nid=since.connection, number=since.number)
        if rooms is None:
            raise UnknownPosition
        tx.after_commit(lambda: self._keep(request.key, since.connection, since.number, rooms))
        return rooms

    def is_last(self, request: SlidingRequest, turn: int) -> bool:
        """Whether no other request of the connection came since."""
        return self._last.get(request.key) in (None, turn)

    async def store(self, request: SlidingRequest, answer: SlidingAnswer, turn: int) -> SlidingAnswer:
        """The answer with the token by which its client will show to have it. Raises UnknownPosition."""
        if answer.told and self.is_last(request, turn):
            answer = replace(answer, token=await self._noted(request, answer))
        if self.is_last(request, turn):
            answered = _Answered(request.wishes, request.has_messages_upto, replace(answer, body={}, told={}))
            self._answered.put(request.key, answered)
        return answer

    async def _noted(self, request: SlidingRequest, answer: SlidingAnswer) -> SlidingToken:
        token, known = answer.token, self.known(request)
        if known is None:
            known = await self._database.read(self.read, request)
        rooms: dict[RoomID, SentRoom] = {**known, **answer.told}
        if len(rooms) > MOST_ROOMS:
            raise UnknownPosition
        written = await self._database.write(self._write, request, answer)
        if written is None:
            raise UnknownPosition
        connection, number = written
        self._keep(request.key, connection, number, rooms)
        return replace(token, connection=connection, number=number)

    def _keep(self, key: ConnectionKey, connection: int, number: int, rooms: SentRooms) -> None:
        if connection >= (self._current.get(key) or 0):
            self._current.put(key, connection)
            self._rooms.put((key, connection, number), rooms)

    def _write(self, tx: Transaction, request: SlidingRequest, answer: SlidingAnswer) -> tuple[int, int] | None:
        token, now_ms = answer.token, self._clock.now_ms()
        return store_sent_rooms(tx, request.key, answer.told, nid=token.connection, number=token.number, now_ms=now_ms)
