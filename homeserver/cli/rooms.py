"""`homeserver admin room …`: rooms, from the shell.

Here is whether they are sound. Looking at them is in room_reading.py, users and what they said in room_removals.py,
what rooms are in room_settings.py, room_names.py and room_acls.py.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any, Final
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row
from homeserver.cli.room_acls import acl
from homeserver.cli.room_heads import heads
from homeserver.cli.room_hierarchy import hierarchy
from homeserver.cli.room_names import alias
from homeserver.cli.room_paths import room_path
from homeserver.cli.room_reading import list_rooms, members, messages, show, state
from homeserver.cli.room_removals import ban, kick, redact, unban
from homeserver.cli.room_settings import SWITCHES, join, make_admin, mute, set_power, tombstone, upgrade
from homeserver.cli.switches import switch_command
from homeserver.core.graph_drawing import DrawnEvent, graph_begin, graph_end, graph_event

GRAPHVIZ: Final = "dot"
COLUMNS: Final = ("Room", "State")


@click.group(short_help="rooms")
def room() -> None:
    """Look after rooms. A ROOM is a room ID, in single quotes because shells have a meaning for !."""


@room.command(short_help="check that what is stored of a room is sound")
@click.argument("room_id", metavar="[ROOM]", required=False)
@click.option("--all", "all_rooms", is_flag=True, help="Check every room of the server, one after another.")
@at_door
def verify(door: AdminDoor, output: Output, room_id: str | None, *, all_rooms: bool) -> None:
    """Check that what is stored of a room is sound.

    Recomputes what is stored of the room with the ID ROOM: every event's hash, ID, signatures and authorisation, every
    state, every membership. Names the first thing that does not hold, and ends with exit code 1 then.
    """
    if all_rooms == (room_id is not None):
        raise CommandFailed("name one room, or say --all: homeserver admin room verify ROOM")
    faults: list[bool] = []
    with output.progress("Verifying") as show:
        answers = (_audit(door, each, show) for each in (_all_rooms(door) if room_id is None else [room_id]))
        output.tell(COLUMNS, (_row(answer, faults) for answer in answers))
    if any(faults):
        raise CommandFailed(
            f"{sum(faults)} of {len(faults)} rooms are not sound" if all_rooms else "the room is not sound"
        )


@room.command(short_help="draw the graph of a room's events")
@click.argument("room_id", metavar="ROOM")
@click.option("--svg", metavar="FILE", type=click.Path(path_type=Path), help="Also draw it into FILE, by Graphviz.")
@at_door
def graph(door: AdminDoor, output: Output, room_id: str, svg: Path | None) -> None:
    """Print which event of a room is built on which, as DOT, the language of Graphviz, or else as JSON."""
    if svg is not None and which(GRAPHVIZ) is None:
        raise CommandFailed(
            "to draw into a file, Graphviz's `dot` is needed, which is not installed here (on Debian: apt install "
            "graphviz); without --svg the graph is printed as text"
        )
    drawn: list[str] = []
    for event, piece in _drawing(room_id, door):
        if not output.is_json:
            sys.stdout.write(piece)
        elif event is not None:
            output.say("", event)
        if svg is not None:
            drawn.append(piece)
    if svg is not None:
        _draw("".join(drawn), svg)


for command in (list_rooms, show, members, state, messages, heads, hierarchy):
    room.add_command(command)
for command in (kick, ban, unban, redact, mute, set_power, make_admin, join):
    room.add_command(command)
for command in (upgrade, tombstone, alias, acl):
    room.add_command(command)
for switch in SWITCHES:
    room.add_command(switch_command(switch, "room", room_path))


def _all_rooms(door: AdminDoor) -> Iterator[str]:
    after = ""
    while page := ask(door, "GET", f"{ADMIN_API}/verifiable_rooms?{urlencode({'after': after})}")["room_ids"]:
        yield from page
        after = page[-1]


# Any: the server's JSON, here and below
def _audit(door: AdminDoor, room_id: str, show: Callable[[str], None]) -> Any:
    """The server's last answer on a room, which it may take many requests to come to."""
    path = room_path(room_id, "verify")
    answer = ask(door, "GET", path)
    while not answer["finished"]:
        show(f"{room_id}, {answer['checked']['events']} events")
        answer = ask(door, "GET", f"{path}?{urlencode({'audit': answer['audit']})}")
    return answer


def _row(answer: Any, faults: list[bool]) -> Row:
    """What came of one room; whether it has a fault is added to `faults`."""
    fault, checked = answer["fault"], answer["checked"]
    faults.append(fault is not None)
    told = f"sound: {checked['events']} events, {checked['members']} members"
    if checked["unverified"]:
        told += f"; {checked['unverified']} signatures by keys that this server does not have"
    if answer["partial"]:
        told += "; not all members are known here yet"
    if fault is not None:
        told = f"NOT SOUND: {fault['subject']}: {fault['reason']}"
    return Row(answer, f"{answer['room_id']}: {told}", (answer["room_id"], told))


def _drawing(room_id: str, door: AdminDoor) -> Iterator[tuple[Any, str]]:
    """The pieces of the drawing, each with the event that it draws, if it does."""
    path = room_path(room_id, "graph")
    page = ask(door, "GET", path)
    yield None, graph_begin(room_id)
    while True:
        for event in page["events"]:
            yield event, graph_event(DrawnEvent(**event))
        if page["after"] is None:
            break
        page = ask(door, "GET", f"{path}?{urlencode({'after': page['after']})}")
    yield None, graph_end()


def _draw(dot: str, target: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are constants
            [GRAPHVIZ, "-Tsvg"], input=dot, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise CommandFailed(f"Graphviz could not draw the graph: {done.stderr.strip()}")
        target.write_text(done.stdout, "utf-8")
    except OSError as wrong:
        raise CommandFailed(f"the graph could not be drawn into {target}: {wrong}") from wrong
