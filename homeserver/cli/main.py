"""The command `homeserver`: the list of its subcommands.

What each does is in the file of its name.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask, open_door
from homeserver.cli.check import add_check
from homeserver.cli.configuration import (
    BAD_CONFIGURATION,
    CommandFailed,
    add_configuration_option,
    configuration_file,
    read_settings,
)
from homeserver.cli.federation import add_federation
from homeserver.cli.keys import add_keys
from homeserver.cli.reports import add_report
from homeserver.cli.rooms import add_room
from homeserver.cli.setup import add_init
from homeserver.cli.users import add_user
from homeserver.settings.reading import SettingsError
from homeserver.settings.sections import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (or else the command line) name; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except CommandFailed as failure:
        print(f"homeserver: {failure.reason}", file=sys.stderr)
        return failure.exit_code
    except SettingsError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        count = len(error.mistakes)
        print(f"homeserver: the configuration has {count} mistake{'s' if count > 1 else ''}", file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="homeserver", description="Columba, a Matrix homeserver.")
    parser.add_argument("--version", action="version", version=f"columba {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_init(commands)
    run = commands.add_parser(
        "run",
        help="start the server",
        description="Starts the server in the foreground; Ctrl-C or SIGTERM stops it. Without -c it uses "
        "./columba-data, and makes it on first use: a server for trying out, on this computer alone.",
    )
    add_configuration_option(run)
    run.set_defaults(command=_run)
    add_check(commands)
    admin = commands.add_parser(
        "admin",
        help="look after a server: accounts, rooms and more",
        description="Speaks with the running server over its socket in the data folder. When no server runs, works "
        "on the data folder itself.",
    )
    topics = admin.add_subparsers(title="topics", metavar="TOPIC", required=True)
    add_user(topics)
    add_room(topics)
    add_federation(topics)
    add_keys(topics)
    add_report(topics)
    _add_call(topics)
    admin.set_defaults(command=_admin)
    return parser


def _add_call(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = topics.add_parser(
        "call",
        help="any request of the administrators' API",
        description=f"Sends one request and prints the answer: homeserver admin call GET {ADMIN_API}/users",
    )
    parser.add_argument("method", metavar="METHOD", choices=["GET", "PUT", "POST", "DELETE", "PATCH"])
    parser.add_argument("path", metavar="PATH", help=f"{ADMIN_API}/…")
    parser.add_argument("body", metavar="BODY", nargs="?", type=json.loads, help="JSON")
    add_configuration_option(parser)
    parser.set_defaults(command_at_door=_call)


def _call(options: argparse.Namespace, door: AdminDoor) -> None:
    print(json.dumps(ask(door, options.method, options.path, options.body), indent=2, ensure_ascii=False))


def _admin(options: argparse.Namespace) -> int:
    settings = read_settings(configuration_file(options))
    with open_door(settings, _local_door) as door:
        options.command_at_door(options, door)
    return 0


def _run(options: argparse.Namespace) -> int:
    return int(_running().run(options.config))


def _local_door(settings: Settings) -> AbstractContextManager[AdminDoor]:
    door: AbstractContextManager[AdminDoor] = _running().offline(settings)
    return door


def _running() -> Any:  # Any: a module
    """The module run.py: loaded when it is wanted, because to import it is to install the reactor."""
    return importlib.import_module("homeserver.cli.run")


def _version() -> str:
    try:
        return version("columba")
    except PackageNotFoundError:
        return "(not installed)"
