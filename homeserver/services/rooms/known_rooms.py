"""Rooms that this server knows, and what is said of any other.

Whether somebody may learn that a room is known is not here: see readers.py.
"""

from collections.abc import Iterable
from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.services.errors import NotFound
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import RoomHead, find_head

NO_ROOM: Final = "This server knows no such room"


def known_head(tx: Transaction, room_id: RoomID) -> RoomHead:
    """The head of a room. Raises NotFound for one that is not known here."""
    head = find_head(tx, room_id)
    if head is None:
        raise NotFound(NO_ROOM)
    return head


def check_known(tx: Transaction, room_ids: Iterable[RoomID]) -> None:
    """Raise NotFound, by the name of the first of several rooms that is not known here."""
    for room_id in room_ids:
        if find_head(tx, room_id) is None:
            raise NotFound(f"This server knows no room {room_id}")
