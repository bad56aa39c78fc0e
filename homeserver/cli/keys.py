"""`homeserver admin keys …`: the server's signing keys, from the shell."""

import argparse
from datetime import UTC, datetime
from typing import Any

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.configuration import add_configuration_option


def add_keys(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the topic `keys` with its commands."""
    parser = topics.add_parser("keys", help="the keys by which the server signs")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show",
        help="print the keys that other servers are told",
        description="Prints the public half of the key in use, and of those before it with the time at which they "
        "were replaced.",
    )
    add_configuration_option(show)
    show.set_defaults(command_at_door=_show)
    rotate = commands.add_parser(
        "rotate",
        help="make a new key and sign by it from now on",
        description="Replaces the signing key, also while the server runs. What the old one has signed stays valid, "
        "and its secret half is deleted. Keep a copy of the new key file in a safe place.",
    )
    add_configuration_option(rotate)
    rotate.set_defaults(command_at_door=_rotate)


def _show(_: argparse.Namespace, door: AdminDoor) -> None:
    _print(ask(door, "GET", f"{ADMIN_API}/keys"))


def _rotate(_: argparse.Namespace, door: AdminDoor) -> None:
    _print(ask(door, "POST", f"{ADMIN_API}/keys/rotate"))
    print("The key was replaced. Keep a copy of the new key file in a safe place.")


def _print(keys: Any) -> None:  # Any: the server's JSON
    print(f"{keys['current']['key_id']} {keys['current']['key']} in use")
    for old in reversed(keys["old"]):
        expired = datetime.fromtimestamp(old["expired_ts"] // 1000, UTC)
        print(f"{old['key_id']} {old['key']} until {expired:%Y-%m-%d %H:%M:%S} UTC")
