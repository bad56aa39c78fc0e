"""Which rooms this server knows in part, and waiting until it knows one of them as a whole.

Into such a room a user of this server came without all of its members being told. What is known of it is exact, what is
not is never guessed: an answer that depends on it has to wait. Who fetches the rest is in
services/federation/room_completion.py, who puts it in place in completion.py.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.wakeups import Bell
from homeserver.services.errors import RoomIsPartial
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import Membership, find_membership
from homeserver.storage.partial_rooms import find_partial_room, unfinished_rooms

T = TypeVar("T")
PATIENCE_S: Final = 60.0


def known_membership(tx: Transaction, room_id: RoomID, user_id: UserID) -> Membership | None:
    """The user's membership in the room; None for somebody who never had one.

    Raises RoomIsPartial when that is not known.
    """
    membership = find_membership(tx, room_id, user_id)
    if membership is None and find_partial_room(tx, room_id) is not None:
        raise RoomIsPartial(room_id)
    return membership


class PartialRooms:
    """Knows of which rooms the rest is being looked for. Used on the reactor thread."""

    def __init__(self, database: Database, clock: Clock, patience_s: float = PATIENCE_S) -> None:
        self._database = database
        self._clock = clock
        self._patience_s = patience_s
        self._rooms: set[RoomID] = set()
        self._ended = 0
        self._bell = Bell(clock)
        self._on_begun: Callable[[RoomID], None] = lambda _: None
        self._at_hand: set[RoomID] = set()

    def __contains__(self, room_id: RoomID) -> bool:
        """Whether the rest of the room is being looked for."""
        return room_id in self._rooms

    def tell_of_rooms(self, on_begun: Callable[[RoomID], None]) -> None:
        """Have somebody hear of each room of which the rest is to be looked for from now on."""
        self._on_begun = on_begun

    async def load(self) -> None:
        """Know what a run before this one left."""
        self._rooms.update(await self._database.read(unfinished_rooms))

    def begin(self, room_id: RoomID) -> None:
        """A room is known in part, and the rest is to be looked for."""
        self._rooms.add(room_id)
        if room_id not in self._at_hand:
            self._on_begun(room_id)

    @contextmanager
    def with_rest_at_hand(self, room_id: RoomID) -> Iterator[None]:
        """While the rest of a room is put in place that was given with the part, nobody needs to look for it."""
        self._at_hand.add(room_id)
        try:
            yield
        finally:
            self._at_hand.discard(room_id)
            if room_id in self._rooms:
                self._on_begun(room_id)

    def end(self, room_id: RoomID) -> None:
        """A room is known as a whole, or the rest is looked for no more: whoever waits goes on."""
        self._rooms.discard(room_id)
        self._ended += 1
        self._bell.ring([room_id])

    async def wait(self, room_id: RoomID, timeout_s: float) -> bool:
        """Wait as long as the rest of a room is being looked for; False if that takes longer than `timeout_s`."""
        return room_id not in self._rooms or await self._bell.wait(room_id, timeout_s)

    async def once_known(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns; when it needs what is not known of a room yet, it is made again once that is known.

        Raises RoomIsPartial when that takes too long, or will not be.
        """
        until_s = self._clock.seconds() + self._patience_s
        while True:
            ended = self._ended
            try:
                return await attempt()
            except RoomIsPartial as partial:
                if self._ended != ended:
                    continue  # the room may have become whole while the attempt was made
                remaining_s = until_s - self._clock.seconds()
                if partial.room_id not in self._rooms or remaining_s <= 0:
                    raise
                if not await self._bell.wait(partial.room_id, remaining_s):
                    raise
