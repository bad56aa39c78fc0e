"""Rooms that administrators close to this server: nobody joins them here, is invited to them, or says anything there.

Who is in a blocked room may leave it, and moderators may take back what was said. Rooms that are not known here can be
blocked, too. What is refused is seen to where users, servers and events come in.
"""

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.clock import Clock
from homeserver.storage.blocked_rooms import Block, block_room, find_block, unblock_room
from homeserver.storage.database import Database


class RoomBlocks:
    """Blocks rooms."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, room_id: RoomID) -> Block | None:
        """Whether a room is blocked."""
        return await self._database.read(find_block, room_id)

    async def block(self, room_id: RoomID, blocked_by: UserID | None) -> None:
        """Block a room, known here or not. What is blocked stays so."""
        await self._database.write(block_room, room_id, Block(blocked_by, self._clock.now_ms()))

    async def unblock(self, room_id: RoomID) -> None:
        """Open a room again."""
        await self._database.write(unblock_room, room_id)
