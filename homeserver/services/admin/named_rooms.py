"""Rooms as administrators name them: by their IDs, or by aliases that this server gives."""

from homeserver.core.identifiers import RoomAlias, RoomID
from homeserver.services.errors import NotFound
from homeserver.storage.aliases import find_alias
from homeserver.storage.database import Transaction


def named_room(tx: Transaction, room: str) -> RoomID:
    """The ID of a room that is named by it, or by an alias here. Raises NotFound for an alias that is not given."""
    if not room.startswith("#"):
        return RoomID(room)
    alias = find_alias(tx, RoomAlias(room))
    if alias is None:
        raise NotFound("This server gives no room that alias")
    return alias.room_id
