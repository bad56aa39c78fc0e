"""`homeserver admin server status`: how the server is, from the shell."""

from collections.abc import Iterator
from typing import Any, Final

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask, is_running
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row, printable

COLUMNS: Final = ("What", "How it is")
LEAST_TOLD_BYTES: Final = 1 << 20
KIB: Final = 1024


@click.command(short_help="how the server is: sizes, queues, caches, rooms")
@at_door
def status(door: AdminDoor, output: Output) -> None:
    """Say how the server is.

    What runs, what it takes up, what waits to be done, what its background work and its caches do, which rooms are
    large, and on which most time is spent. Sizes with ~ are estimates. The exit code is 1 if no server runs.
    """
    answer = ask(door, "GET", f"{ADMIN_API}/status")
    if output.is_json:
        output.say("", answer)
    else:
        output.tell(COLUMNS, (Row({}, f"{what}: {how}", (what, how)) for what, how in _told(answer)))
    if not is_running(door):
        raise CommandFailed("the server does not run; this is what its files say")


# Any: the server's JSON, here and below
def _told(answer: Any) -> Iterator[tuple[str, str]]:
    about, process = answer["about"], answer["process"]
    yield "server", f"{about['server_name']}, Columba {about['version']} on Python {about['python']}"
    yield "process", _process(process)
    yield "connections", f"{answer['connections']}, {answer['requests_in_flight']} requests being answered"
    yield from _database(answer["database"])
    streams = answer["streams"]
    yield "log", f"at {streams['log']}, looked through for other servers up to {streams['federation']}"
    for name, number in answer["queues"].items():
        if number:
            more = " or more" if number >= answer["most_counted"] else ""
            yield name.replace("_", " "), f"{number}{more} waiting"
    for name, counts in answer["loops"].items():
        if counts["failures"]:
            yield f"background: {name}", f"{counts['failures']} of {counts['runs']} runs failed"
    yield from _caches(answer)
    for room in answer["largest_rooms"]:
        told = f"~{room['events']} events, ~{_size(room['size_bytes'])}, {room['joined_members']} members"
        yield "large room", f"{room['room_id']}{_named(room['name'])}: {told}"
    for cost in answer["slowest_rooms"]:
        told = f"{cost['wall_s']:.1f} s in {cost['requests']} requests, {cost['cpu_s']:.1f} s of computing"
        yield "slow room", f"{printable(cost['name'])}: {told}"


def _process(process: Any) -> str:
    up = f"up {_duration(process['uptime_s'])}, {process['cpu_s']:.0f} s of computing"
    memory = process["memory_bytes"]
    kept = "" if memory is None else f", {_size(memory)} of memory"
    files = "" if process["open_files"] is None else f", {process['open_files']} files"
    return f"{up}{kept} ({_size(process['most_memory_bytes'])} at most){files} of {process['open_files_limit']} open"


def _database(database: Any) -> Iterator[tuple[str, str]]:
    unused = database["size"]["unused_bytes"]
    rest = f", {_size(unused)} of it unused" if unused else ""
    yield "database", f"{database['kind']}, {_size(database['size']['size_bytes'])}{rest}"
    for family in database["families"]:
        if family["size_bytes"] >= LEAST_TOLD_BYTES:
            sign = "~" if family["is_estimate"] else ""
            yield f"database: {family['family']}", f"{sign}{_size(family['size_bytes'])}"


def _caches(answer: Any) -> Iterator[tuple[str, str]]:
    used = sum(cache["size_bytes"] for cache in answer["caches"])
    yield "caches", f"{_size(used)} of {_size(answer['cache_limit_bytes'])}"
    for cache in answer["caches"]:
        lookups = cache["hits"] + cache["misses"]
        if lookups:
            found = f"{100 * cache['hits'] / lookups:.0f} % of {lookups} lookups found"
            yield f"cache: {cache['name']}", f"{_size(cache['size_bytes'])}, {cache['entries']} entries, {found}"


def _named(name: str | None) -> str:
    return "" if name is None else f" ({printable(name)})"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < KIB:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= KIB
    return f"{size_bytes:.1f} TiB"
