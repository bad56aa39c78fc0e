"""`homeserver admin room alias …`: names of rooms, from the shell."""

from typing import Any

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.output import Output, Row, printable
from homeserver.cli.room_paths import checked_alias, room_path


@click.group(short_help="names of rooms")
def alias() -> None:
    """Look after the names of rooms on this server, like #salon:example.org."""


@alias.command("list", short_help="print the aliases of a room")
@click.argument("room_id", metavar="ROOM")
@at_door
def list_aliases(door: AdminDoor, output: Output, room_id: str) -> None:
    """Print the aliases that a room has on this server, and which of them it says is its main one."""
    names = ask(door, "GET", room_path(room_id, "aliases"))
    output.tell(("Alias", ""), (_row(each, names["canonical_alias"]) for each in names["aliases"]))


@alias.command(short_help="name a room")
@click.argument("room_id", metavar="ROOM")
@click.argument("name", metavar="ALIAS")
@click.option("--main", "is_main", is_flag=True, help="Let the room say that this is its main alias.")
@at_door
def add(door: AdminDoor, output: Output, room_id: str, name: str, *, is_main: bool) -> None:
    """Give a room an alias of this server."""
    ask(door, "PUT", room_path(room_id, "aliases", checked_alias(name)), {"main": is_main})
    told = f"{name} leads to {room_id}{', as its main alias' if is_main else ''}."
    output.say(told, {"room_id": room_id, "alias": name, "main": is_main})


@alias.command(short_help="take a name from a room")
@click.argument("room_id", metavar="ROOM")
@click.argument("name", metavar="ALIAS")
@destroys
@at_door
def remove(door: AdminDoor, output: Output, room_id: str, name: str, *, dry_run: bool, yes: bool) -> None:
    """Take an alias from a room. Links to it lead nowhere then, and anybody may give it to another room."""
    about = {"room_id": room_id, "alias": name}
    path = room_path(room_id, "aliases", checked_alias(name))
    if is_meant(output, f"take {name} from {room_id}", about, dry_run=dry_run, yes=yes):
        ask(door, "DELETE", path)
        output.say(f"{name} leads to no room any more.", about)


def _row(name: str, main: Any) -> Row:  # Any: the server's JSON
    told = "main" if name == main else ""
    return Row({"alias": name, "main": name == main}, printable(f"{name}{' (main)' if told else ''}"), (name, told))
