"""Rooms that tell users that another one was closed: there is a message in them, and nobody else speaks."""

from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.rooms.creation import RoomCreation, RoomWishes
from homeserver.services.rooms.sending import Sending

DEFAULT_NAME: Final = "This room was closed"
DEFAULT_MESSAGE: Final = "The administrators of this server have closed the room that you were in."
SILENT: Final = {"users_default": -10}


class ClosingNotices:
    """Creates such rooms."""

    def __init__(self, creation: RoomCreation, sending: Sending) -> None:
        self._creation = creation
        self._sending = sending

    async def create(self, creator: UserID, name: str | None, message: str | None) -> RoomID:
        """Create a room in the name of a user of this server; everybody may come in."""
        wishes = RoomWishes(preset="public_chat", name=name or DEFAULT_NAME, power_levels=SILENT)
        room_id = await self._creation.create_room(creator, wishes)
        content = {"msgtype": "m.text", "body": message or DEFAULT_MESSAGE}
        await self._sending.send_message(creator, room_id, "m.room.message", content, None)
        return room_id
