"""`homeserver admin room list`, `show`, `members`, `state`, `messages`: looking at rooms from the shell."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output, Row, printable, time_of
from homeserver.cli.room_paths import room_path

PER_PAGE: Final = 100
# What rooms are sorted by, and what the server calls it.
ORDERS: Final[Mapping[str, str]] = {
    "name": "name",
    "members": "joined_members",
    "local": "joined_local_members",
    "events": "events",
    "state": "state_events",
    "complexity": "complexity",
    "size": "size_bytes",
    "version": "version",
}
ROOM_COLUMNS: Final = ("Room", "Name", "Members", "Here", "Events", "State", "Complexity", "Size")
STATE_COLUMNS: Final = ("Type", "State key", "Sender", "Content")
EVENT_COLUMNS: Final = ("Time", "Event", "Sender", "Type", "Content")
UNITS: Final = ("kB", "MB", "GB", "TB")


@click.command("list", short_help="print rooms")
@click.option("--search", metavar="TEXT", help="Only rooms with this in their name or an alias, or with this ID.")
@click.option("--sort", type=click.Choice(tuple(ORDERS)), default="name", help="By what they are sorted (name).")
@click.option("--reverse", is_flag=True, help="The other way round: numbers begin with the largest otherwise.")
@click.option("--public/--private", "is_public", default=None, help="Only those in the public directory, or others.")
@click.option(
    "--empty/--inhabited", "is_empty", default=None, help="Only rooms without a user of this server, or others."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="NUMBER", help="So many at most (all).")
@click.option("--skip", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Not the first so many.")
@at_door
def list_rooms(
    door: AdminDoor,
    output: Output,
    *,
    search: str | None,
    sort: str,
    reverse: bool,
    is_public: bool | None,
    is_empty: bool | None,
    limit: int | None,
    skip: int,
) -> None:
    """Print the rooms that this server knows: who is in them, and what they take up.

    Members are those of all servers, `Here` those of this one. Complexity is how much state a room has, as servers tell
    each other; size is that of its events.
    """
    query = {"order_by": ORDERS[sort], "dir": "b" if reverse else "f", "limit": str(min(limit or PER_PAGE, PER_PAGE))}
    if search is not None:
        query["search_term"] = search
    for name, wanted in (("public_rooms", is_public), ("empty_rooms", is_empty)):
        if wanted is not None:
            query[name] = json.dumps(wanted)
    output.tell(ROOM_COLUMNS, (_room_row(each) for each in islice(_rooms(door, query, skip), limit)))


@click.command(short_help="print what is known of one room")
@click.argument("room_id", metavar="ROOM")
@at_door
def show(door: AdminDoor, output: Output, room_id: str) -> None:
    """Print what is known of one room: what it says of itself, its size, its aliases here, whether it is blocked."""
    found = ask(door, "GET", room_path(room_id))
    aliases = ask(door, "GET", room_path(room_id, "aliases"))["aliases"]
    block = ask(door, "GET", room_path(room_id, "block"))
    successor = f"by {found['replacement_room']}" if found["replacement_room"] else "yes"
    fields = (
        ("Room", found["room_id"]),
        ("Name", found["name"] or ""),
        ("Topic", found["topic"] or ""),
        ("Kind", found["room_type"] or ""),
        ("Aliases", ", ".join(aliases)),
        ("Main alias", found["canonical_alias"] or ""),
        ("Version", found["version"]),
        ("Made by", found["creator"] or ""),
        ("Members", f"{found['joined_members']}, of which {found['joined_local_members']} are of this server"),
        ("Devices here", str(found["joined_local_devices"])),
        ("Who may join", found["join_rules"] or ""),
        ("Who may read", found["history_visibility"]),
        ("Guests", found["guest_access"] or ""),
        ("Encryption", found["encryption"] or ""),
        ("In the directory", "yes" if found["public"] else ""),
        ("Other servers", "" if found["federatable"] else "may not take part"),
        ("Blocked", f"since {time_of(block['blocked_ts'])}" if block["block"] else ""),
        ("Replaced", successor if found["tombstoned"] else ""),
        ("Events", str(found["events"])),
        ("State", f"{found['state_events']} events, complexity {found['complexity']}"),
        ("Size", size_of(found["size_bytes"])),
        ("Not all known", "the members are still being fetched" if found["is_partial"] else ""),
    )
    output.describe(fields, {**found, "aliases": aliases, "block": block})


@click.command(short_help="print who is in a room")
@click.argument("room_id", metavar="ROOM")
@at_door
def members(door: AdminDoor, output: Output, room_id: str) -> None:
    """Print who is in a room, of this server and others."""
    found = ask(door, "GET", room_path(room_id, "members"))["members"]
    rows = (Row({"user_id": user_id}, printable(user_id), (user_id,)) for user_id in found)
    output.tell(("User",), rows)


@click.command(short_help="print the state of a room")
@click.argument("room_id", metavar="ROOM")
@click.option("--type", "event_type", metavar="TYPE", help="Only state of this type, like m.room.power_levels.")
@at_door
def state(door: AdminDoor, output: Output, room_id: str, event_type: str | None) -> None:
    """Print the current state of a room: its name, its rules, who has power, who is in it."""
    query = "" if event_type is None else f"?{urlencode({'type': event_type})}"
    found = ask(door, "GET", room_path(room_id, "state") + query)["state"]
    found.sort(key=lambda event: (event["type"], event["state_key"]))
    output.tell(STATE_COLUMNS, (_state_row(event) for event in found))


@click.command(short_help="print what was said in a room")
@click.argument("room_id", metavar="ROOM")
@click.option("--by", "senders", metavar="USER", multiple=True, help="Only what this user sent; may be given again.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only events of this type; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), default=20, metavar="NUMBER", help="So many at most (20).")
@click.option("--oldest", is_flag=True, help="From the beginning, and not from the newest back.")
@at_door
def messages(
    door: AdminDoor,
    output: Output,
    room_id: str,
    *,
    senders: tuple[str, ...],
    types: tuple[str, ...],
    limit: int,
    oldest: bool,
) -> None:
    """Print a room's history, the newest first, whoever may read it otherwise: look only for a reason.

    Nobody in the room learns of it. What is encrypted stays so.
    """
    query = {"dir": "f" if oldest else "b", "limit": str(min(limit, PER_PAGE))}
    wanted = {name: list(values) for name, values in (("senders", senders), ("types", types)) if values}
    if wanted:
        query["filter"] = json.dumps(wanted)
    output.tell(EVENT_COLUMNS, (_event_row(each) for each in islice(_history(door, room_id, query), limit)))


def size_of(size_bytes: int) -> str:
    """A number of bytes for people."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    size = size_bytes / 1_000
    for unit in UNITS:
        if size < 1_000 or unit == UNITS[-1]:
            break
        size /= 1_000
    return f"{size:.1f} {unit}"


# Any: the server's JSON, here and below
def _rooms(door: AdminDoor, query: Mapping[str, str], skipped: int) -> Iterator[Any]:
    begin: int | None = skipped
    while begin is not None:
        page = ask(door, "GET", f"{ADMIN_API}/rooms?{urlencode({**query, 'from': begin})}")
        yield from page["rooms"]
        begin = page.get("next_batch")


def _history(door: AdminDoor, room_id: str, query: Mapping[str, str]) -> Iterator[Any]:
    begin: str | None = ""
    while begin is not None:
        more = {"from": begin} if begin else {}
        page = ask(door, "GET", f"{room_path(room_id, 'messages')}?{urlencode({**query, **more})}")
        yield from page["chunk"]
        begin = page.get("end")


def _room_row(room: Any) -> Row:
    name = room["name"] or room["canonical_alias"] or ""
    size = size_of(room["size_bytes"])
    told = (
        f"{room['joined_members']} members ({room['joined_local_members']} here), {room['events']} events, "
        f"{room['state_events']} of state (complexity {room['complexity']}), {size}"
    )
    line = f"{room['room_id']}{f' {json.dumps(name)}' if name else ''}: {told}"
    numbers = (room["joined_members"], room["joined_local_members"], room["events"], room["state_events"])
    return Row(room, line, (room["room_id"], name, *map(str, (*numbers, room["complexity"])), size))


def _state_row(event: Any) -> Row:
    content = json.dumps(event["content"])
    cells = (event["type"], event["state_key"], event["sender"], content)
    key = f" {event['state_key']}" if event["state_key"] else ""
    return Row(event, f"{printable(event['type'] + key)} by {printable(event['sender'])}: {content}", cells)


def _event_row(event: Any) -> Row:
    time, content = time_of(event["origin_server_ts"]), _said(event)
    cells = (time, event["event_id"], event["sender"], event["type"], content)
    line = f"{time} {event['event_id']} {printable(event['sender'])} {printable(event['type'])}: {content}"
    return Row(event, line, cells)


def _said(event: Any) -> str:
    """What a message says, or else its content; as JSON, which cannot speak to a terminal."""
    content = event["content"]
    body = content.get("body") if event["type"] == "m.room.message" else None
    return json.dumps(body if isinstance(body, str) else content)
