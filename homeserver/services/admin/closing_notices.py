"""Rooms that tell users that another one was closed: there is a message in them, and nobody else speaks."""

from collections.abc import Callable
from typing import Final, TypeVar

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.creation import RoomCreation, RoomWishes
from homeserver.storage.database import Transaction

T = TypeVar("T")
DEFAULT_NAME: Final = "This room was closed"
DEFAULT_MESSAGE: Final = "The administrators of this server have closed the room that you were in."
SILENT: Final = {"users_default": -10}


class ClosingNotices:
    """Creates such rooms."""

    def __init__(self, rooms: RoomCreation, creation: EventCreation) -> None:
        self._rooms = rooms
        self._creation = creation

    async def create(
        self, creator: UserID, name: str | None, message: str | None, also: Callable[[Transaction, RoomID], T]
    ) -> T:
        """Create a room in the name of a user of this server; everybody may come in.

        In the same write, `also` does what is to be done if and only if the room is there. It may run more than once.
        """
        return await self._creation.write(self._create, creator, name, message, also)

    def _create(
        self,
        tx: Transaction,
        creator: UserID,
        name: str | None,
        message: str | None,
        also: Callable[[Transaction, RoomID], T],
    ) -> T:
        wishes = RoomWishes(preset="public_chat", name=name or DEFAULT_NAME, power_levels=SILENT)
        write = self._rooms.begin(tx, creator, wishes)
        content = {"msgtype": "m.text", "body": message or DEFAULT_MESSAGE}
        self._creation.add(write, Draft("m.room.message", creator, content))
        write.finish()
        return also(tx, write.room_id)
