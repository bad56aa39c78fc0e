"""Deleting a room from this server, down to the last row, some rows at a time, and from memory.

Nobody of this server is in the room any more, and it has been closed: who lets users leave and what is done in which
order is in room_deletion.py, which tables there are in storage/purged_rooms.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.client_format import ClientFormat
from homeserver.services.events.room_state import EventCache
from homeserver.storage.database import Database
from homeserver.storage.purged_rooms import close_room, forget_departed, purge_some

ROWS_PER_STEP: Final = 1_000
USERS_PER_STEP: Final = 200


@dataclass(frozen=True, slots=True)
class PurgedSome:
    """Whether there may be more to delete, and how many events went."""

    is_more: bool
    events: int


class RoomPurge:
    """Purges rooms."""

    def __init__(
        self,
        database: Database,
        cache: EventCache,
        formats: ClientFormat,
        forgetting: Sequence[Callable[[RoomID], None]],
        rows_per_step: int = ROWS_PER_STEP,
    ) -> None:
        """`forgetting` are those who keep something of rooms in memory besides: each forgets one."""
        self._database = database
        self._cache = cache
        self._formats = formats
        self._forgetting = forgetting
        self._rows_per_step = rows_per_step
        self._forgotten: set[RoomID] = set()  # in memory, so that it need not be gone through for each step

    async def forget_departed(self, room_id: RoomID, after: str) -> UserID | None:
        """Let some of those who left forget the room, those with IDs above `after`; the last of them, if any."""
        user_ids = await self._database.write(forget_departed, room_id, after=after, limit=USERS_PER_STEP)
        return user_ids[-1] if user_ids else None

    async def close(self, room_id: RoomID) -> bool:
        """Let the room be known here no more; False, and nothing done, while users of this server are in it."""
        if not await self._database.write(close_room, room_id):
            return False
        self._forgotten.discard(room_id)
        self._forget(room_id)
        return True

    async def purge_some(self, room_id: RoomID) -> PurgedSome:
        """Delete some of what is kept of a closed room."""
        self._forget(room_id)  # a server that was started since then has read who knows what
        is_more, nids = await self._database.write(purge_some, room_id, limit=self._rows_per_step)
        self._formats.forget(nids)
        return PurgedSome(is_more, len(nids))

    def reopen(self, room_id: RoomID) -> None:
        """Nothing is left: should the room come again, it is new."""
        self._forgotten.discard(room_id)
        self._cache.open_room(room_id)

    def _forget(self, room_id: RoomID) -> None:
        if room_id in self._forgotten:
            return
        self._forgotten.add(room_id)
        self._cache.close_room(room_id)
        for forget in self._forgetting:
            forget(room_id)
