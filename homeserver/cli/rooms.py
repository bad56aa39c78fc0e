"""`homeserver admin room …`: rooms, from the shell."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any, Final
from urllib.parse import quote, urlencode

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.configuration import CommandFailed, add_configuration_option
from homeserver.core.graph_drawing import DrawnEvent, graph_begin, graph_end, graph_event

GRAPHVIZ: Final = "dot"


def add_room(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the topic `room` with its commands."""
    parser = topics.add_parser("room", help="rooms")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verify = commands.add_parser(
        "verify",
        help="check that what is stored of a room is sound",
        description="Recomputes what is stored of a room: every event's hash, ID, signatures and authorisation, every "
        "state, every membership. Names the first thing that does not hold, and ends with exit code 1 then.",
    )
    verify.add_argument("room", metavar="ROOM", nargs="?", help="the room's ID")
    verify.add_argument("--all", action="store_true", help="check every room of the server, one after another")
    verify.add_argument("--json", action="store_true", help="print the server's last answer on each room as JSON")
    add_configuration_option(verify)
    verify.set_defaults(command_at_door=_verify)
    graph = commands.add_parser(
        "graph",
        help="draw the graph of a room's events",
        description="Prints which event is built on which, as DOT, the language of Graphviz.",
    )
    graph.add_argument("room", metavar="ROOM", help="the room's ID")
    graph.add_argument("--svg", metavar="FILE", type=Path, help="also draw it into FILE, by Graphviz's `dot`")
    add_configuration_option(graph)
    graph.set_defaults(command_at_door=_graph)


def _verify(options: argparse.Namespace, door: AdminDoor) -> None:
    if options.all == (options.room is not None):
        raise CommandFailed("name one room, or say --all: homeserver admin room verify ROOM")
    room_ids = _all_rooms(door) if options.all else iter([options.room])
    checked, unsound = 0, 0
    for room_id in room_ids:
        answer = _audit(door, room_id)
        checked += 1
        unsound += answer["fault"] is not None
        print(json.dumps(answer) if options.json else _told(answer), flush=True)
    if unsound:
        raise CommandFailed(f"{unsound} of {checked} rooms are not sound" if options.all else "the room is not sound")


def _all_rooms(door: AdminDoor) -> Iterator[str]:
    after = ""
    while page := ask(door, "GET", f"{ADMIN_API}/verifiable_rooms?{urlencode({'after': after})}")["room_ids"]:
        yield from page
        after = page[-1]


# Any: the server's JSON, here and below
def _audit(door: AdminDoor, room_id: str) -> Any:
    """The server's last answer on a room, which it may take many requests to come to."""
    path = f"{_path(room_id)}/verify"
    answer = ask(door, "GET", path)
    while not answer["finished"]:
        answer = ask(door, "GET", f"{path}?{urlencode({'audit': answer['audit']})}")
    return answer


def _told(answer: Any) -> str:
    fault, checked = answer["fault"], answer["checked"]
    if fault is not None:
        return f"{answer['room_id']}: NOT SOUND: {fault['subject']}: {fault['reason']}"
    told = f"{answer['room_id']}: sound: {checked['events']} events, {checked['members']} members"
    if checked["unverified"]:
        told += f"; {checked['unverified']} signatures by keys that this server does not have"
    if answer["partial"]:
        told += "; not all members are known here yet"
    return told


def _graph(options: argparse.Namespace, door: AdminDoor) -> None:
    if options.svg is not None and which(GRAPHVIZ) is None:
        raise CommandFailed(
            "to draw into a file, Graphviz's `dot` is needed, which is not installed here (on Debian: apt install "
            "graphviz); without --svg the graph is printed as text"
        )
    drawn: list[str] = []
    for piece in _drawing(options.room, door):
        sys.stdout.write(piece)
        if options.svg is not None:
            drawn.append(piece)
    if options.svg is not None:
        _draw("".join(drawn), options.svg)


def _drawing(room_id: str, door: AdminDoor) -> Iterator[str]:
    path = f"{_path(room_id)}/graph"
    page = ask(door, "GET", path)
    yield graph_begin(room_id)
    while True:
        for event in page["events"]:
            yield graph_event(DrawnEvent(**event))
        if page["after"] is None:
            break
        page = ask(door, "GET", f"{path}?{urlencode({'after': page['after']})}")
    yield graph_end()


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


def _path(room_id: str) -> str:
    return f"{ADMIN_API}/rooms/{quote(room_id, safe='')}"
