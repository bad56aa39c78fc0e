"""A room's heads joined by an event of this server's, when they have become too many.

Servers that were parted, and servers that mean harm, leave a room with heads that nobody builds on together; each makes
every state dearer to find. An event that says nothing, sent by whoever of this server may, makes them one.
"""

from typing import Final

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import NotRecommended
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import local_members

MOST_HEADS: Final = 10
DUMMY_EVENT: Final = "org.matrix.dummy_event"  # the name by which other servers know it for what it is
MOST_SENDERS: Final = 20  # of whom it is tried


class HeadJoining:
    """Joins the heads of rooms."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def join_heads(self, room_id: RoomID) -> bool:
        """Send an event on top of a room's heads if they are too many; False when there was no need, or nobody may."""
        return await self._creation.write(self._join_heads, room_id)

    def _join_heads(self, tx: Transaction, room_id: RoomID) -> bool:
        write = self._creation.writer.open(tx, room_id)
        if write is None or len(write.heads) <= MOST_HEADS:
            return False
        for user_id in sorted(local_members(tx, room_id))[:MOST_SENDERS]:
            try:
                self._creation.add(write, Draft(DUMMY_EVENT, UserID(user_id), {}), notifies=False)
            except (AuthRejected, NotRecommended):
                continue
            write.finish()
            return True
        return False
