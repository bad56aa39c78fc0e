"""`homeserver admin user export`: all that is stored of a user, to be given to them."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output
from homeserver.cli.user_paths import user_path


@click.command(short_help="print all that is stored of somebody")
@click.argument("user_id", metavar="USER")
@click.option("--file", "target", metavar="FILE", type=click.Path(path_type=Path), help="Write it into a new FILE.")
@at_door
def export(door: AdminDoor, output: Output, user_id: str, target: Path | None) -> None:
    """Print all that is stored of USER, as JSON: an object a line, in which `part` says what it is.

    That is the account, profile, devices, public keys and encrypted backups, account data, rooms, and what the user
    sent in each of them. Passwords and tokens are not in it. That you did is written down.
    """
    path = user_path(user_id)
    pages = _pages(door, path)
    if target is None:
        for lines in pages:
            _write(lines, sys.stdout)
        return
    ask(door, "GET", path)  # for a user who is not there no file is made
    with output.progress("Exporting") as show:
        written = _write_file(pages, target, show)
    output.say(f"Wrote {written} lines into {target}.", {"user_id": user_id, "lines": written, "file": str(target)})


def _pages(door: AdminDoor, path: str) -> Iterator[Any]:  # Any: the server's JSON, here and below
    page = ask(door, "POST", f"{path}/export")
    while True:
        yield page["lines"]
        if page["next"] is None:
            return
        page = ask(door, "GET", f"{path}/export?{urlencode({'from': page['next']})}")


def _write(lines: Any, target: TextIO) -> None:
    for line in lines:
        target.write(json.dumps(line) + "\n")


def _write_file(pages: Iterator[Any], target: Path, show: Callable[[str], None]) -> int:
    """How many lines were written into a new file, which only its owner may read."""
    written = 0
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            for lines in pages:
                _write(lines, file)
                written += len(lines)
                show(f"{written} lines")
    except OSError as wrong:
        raise CommandFailed(f"{target} could not be written: {wrong.strerror}") from wrong
    return written
