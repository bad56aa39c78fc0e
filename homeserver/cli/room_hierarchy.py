"""`homeserver admin room hierarchy`: the rooms of a space, from the shell."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output, Row, printable
from homeserver.cli.room_paths import room_path

COLUMNS: Final = ("Room", "Name", "Members", "Who may join")
INDENT: Final = "  "

# Any: the server's JSON, throughout.


@click.command(short_help="print the rooms of a space")
@click.argument("room_id", metavar="ROOM")
@click.option("--depth", type=click.IntRange(min=0), metavar="NUMBER", help="Not those that lie deeper (all).")
@at_door
def hierarchy(door: AdminDoor, output: Output, room_id: str, *, depth: int | None) -> None:
    """Print the rooms of the space ROOM that this server knows, each once, below the space that holds it.

    Rooms that this server has never been in are left out: nobody else is asked.
    """
    depths: dict[str, int] = {}
    output.tell(COLUMNS, (_row(each, depths) for each in _rooms(door, room_id, depth)))


def _rooms(door: AdminDoor, room_id: str, depth: int | None) -> Iterator[Any]:
    path = room_path(room_id, "hierarchy")
    query = {} if depth is None else {"max_depth": str(depth)}
    while True:
        page = ask(door, "GET", f"{path}?{urlencode(query)}" if query else path)
        yield from page["rooms"]
        if "next_batch" not in page:
            return
        query["from"] = page["next_batch"]


def _row(room: Any, depths: dict[str, int]) -> Row:
    """A room, indented as deep as it lies; how deep those in it lie is added to `depths`."""
    depth = depths.setdefault(room["room_id"], 0)
    for child in room["children_state"]:
        depths.setdefault(child["state_key"], depth + 1)
    told = (printable(room.get("name", "")), str(room["num_joined_members"]), printable(room["join_rule"]))
    shown = INDENT * depth + room["room_id"]
    return Row(room, f"{shown}: {told[0] or 'without a name'}, {told[1]} members, {told[2]}", (shown, *told))
