"""`homeserver admin keys …`: the server's signing keys, from the shell."""

from collections.abc import Iterator
from typing import Any

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output, Row, time_of

COLUMNS = ("Key", "Public half", "State")


@click.group(short_help="the keys by which the server signs")
def keys() -> None:
    """Look at and replace the keys by which the server signs."""


@keys.command(short_help="print the keys that other servers are told")
@at_door
def show(door: AdminDoor, output: Output) -> None:
    """Print the keys that other servers are told.

    The public half of the key in use, and of those before it with the time at which they were replaced.
    """
    _tell(output, ask(door, "GET", f"{ADMIN_API}/keys"))


@keys.command(short_help="make a new key and sign by it from now on")
@at_door
def rotate(door: AdminDoor, output: Output) -> None:
    """Make a new key and sign by it from now on, also while the server runs.

    What the old one has signed stays valid, and its secret half is deleted. Keep a copy of the new key file in a safe
    place. The server's owner alone may do this: by the socket, not by --url.
    """
    _tell(output, ask(door, "POST", f"{ADMIN_API}/keys/rotate"))
    if not output.is_json:
        print("The key was replaced. Keep a copy of the new key file in a safe place.")


def _tell(output: Output, answer: Any) -> None:  # Any: the server's JSON, here and below
    output.tell(COLUMNS, _rows(answer))


def _rows(answer: Any) -> Iterator[Row]:
    for key in (answer["current"], *reversed(answer["old"])):
        state = f"until {time_of(key['expired_ts'])}" if "expired_ts" in key else "in use"
        yield Row(key, f"{key['key_id']} {key['key']} {state}", (key["key_id"], key["key"], state))
