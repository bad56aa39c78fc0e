"""`homeserver admin room event`: one event, by its ID."""

import json
from urllib.parse import quote

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output
from homeserver.cli.room_paths import checked_event_id


@click.command(short_help="print one event")
@click.argument("event_id", metavar="EVENT")
@at_door
def event(door: AdminDoor, output: Output, event_id: str) -> None:
    """Print the event with the ID EVENT, of whatever room, as this server has it."""
    found = ask(door, "GET", f"{ADMIN_API}/events/{quote(checked_event_id(event_id), safe='')}")["event"]
    output.say(json.dumps(found, indent=2), found)
