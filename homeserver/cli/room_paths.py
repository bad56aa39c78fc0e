"""Rooms and what is in them as commands are told them, and where the administrators' API has rooms."""

from urllib.parse import quote

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import parse_room_alias, parse_room_id


def room_path(room_id: str, *further: str) -> str:
    """Where a room is, or something of it. Raises CommandFailed for what is no room ID."""
    try:
        parse_room_id(room_id)
    except BadIdentifier as wrong:
        raise CommandFailed(
            f"{room_id} is no room ID, which begins with ! and is put in single quotes: `room list --search` finds it"
        ) from wrong
    return "/".join((f"{ADMIN_API}/rooms", *(quote(segment, safe="") for segment in (room_id, *further))))


def checked_event_id(event_id: str) -> str:
    """What may be an event's ID. Raises CommandFailed for what is none, as what a shell makes of one without quotes."""
    if len(event_id) < 2 or not event_id.startswith("$"):
        raise CommandFailed(f"{event_id or 'nothing'} is no event ID, which begins with $ and is put in single quotes")
    return event_id


def checked_alias(name: str) -> str:
    """A room's alias. Raises CommandFailed for what is none."""
    try:
        return parse_room_alias(name)
    except BadIdentifier as wrong:
        raise CommandFailed(f"{name} is no alias: write it whole, like '#salon:example.org'") from wrong
