"""Rooms as commands are told them, and where the administrators' API has them."""

from urllib.parse import quote

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import parse_room_id


def room_path(room_id: str, *further: str) -> str:
    """Where a room is, or something of it. Raises CommandFailed for what is no room ID."""
    try:
        parse_room_id(room_id)
    except BadIdentifier as wrong:
        raise CommandFailed(
            f"{room_id} is no room ID, which begins with ! and is put in single quotes: `room list --search` finds it"
        ) from wrong
    return "/".join((f"{ADMIN_API}/rooms", *(quote(segment, safe="") for segment in (room_id, *further))))
