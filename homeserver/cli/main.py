"""The command `homeserver`: the list of its subcommands.

What each does is in the file of its name.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask, open_door
from homeserver.cli.at_door import at_door
from homeserver.cli.backups import backup, backups, export, restore
from homeserver.cli.backups import check as check_backup
from homeserver.cli.check import check
from homeserver.cli.configuration import (
    BAD_CONFIGURATION,
    FAILED,
    CommandFailed,
    configuration_file,
    read_settings,
    takes_configuration,
)
from homeserver.cli.federation import federation
from homeserver.cli.history_purge import purge_history
from homeserver.cli.jobs import job
from homeserver.cli.keys import keys
from homeserver.cli.output import Output
from homeserver.cli.policies import policy
from homeserver.cli.remote_door import remote_door
from homeserver.cli.reports import report
from homeserver.cli.retention import room_retention, server_retention
from homeserver.cli.room_deletion import delete, shutdown
from homeserver.cli.room_events import event
from homeserver.cli.room_repair import compare, repair
from homeserver.cli.rooms import room
from homeserver.cli.server import server
from homeserver.cli.setup import init
from homeserver.cli.user_redactions import redact_all
from homeserver.cli.user_restraints import rate_limit, shadow_ban
from homeserver.cli.users import user
from homeserver.settings.reading import SettingsError
from homeserver.settings.sections import Settings

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (or else the command line) name; its exit code."""
    try:
        return int(commands.main(arguments, "homeserver", standalone_mode=False, obj=_open) or 0)
    except CommandFailed as failure:
        print(f"homeserver: {failure.reason}", file=sys.stderr)
        return failure.exit_code
    except SettingsError as error:
        for mistake in error.mistakes:
            print(mistake, file=sys.stderr)
        count = len(error.mistakes)
        print(f"homeserver: the configuration has {count} mistake{'s' if count > 1 else ''}", file=sys.stderr)
        return BAD_CONFIGURATION
    except click.ClickException as misuse:
        misuse.show()
        return misuse.exit_code
    except click.Abort as aborted:
        if not isinstance(aborted.__cause__, EOFError):
            return INTERRUPTED
        print("homeserver: there was no answer", file=sys.stderr)
        return FAILED


class Commands(click.Group):
    """The outermost list of commands."""

    # Any: what a command returns
    def invoke(self, ctx: click.Context) -> Any:
        """Run what was named. Whoever reads what is printed may have gone: that has an exit code of its own."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still to be printed goes nowhere: Python would complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE


def _print_version(context: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted and not context.resilient_parsing:
        print(f"columba {_version()}")
        context.exit()


@click.group(cls=Commands)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Say which.")
def commands() -> None:
    """Columba, a Matrix homeserver."""


@commands.command(short_help="start the server")
@takes_configuration
def run(config: Path | None) -> int:
    """Start the server in the foreground; Ctrl-C or SIGTERM stops it.

    Without -c it uses ./columba-data, and makes it on first use: a server for trying out, on this computer alone.
    """
    return int(_running().run(config))


@commands.group(short_help="look after a server: accounts, rooms and more")
def admin() -> None:
    """Look after a server: accounts, rooms and more.

    Speaks with the running server over its socket in the data folder, or over HTTPS with --url. When no server runs,
    works on the data folder itself.
    """


class _Json(click.ParamType[Any]):  # Any: JSON
    """An argument that is JSON."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What was written. Fails for what is no JSON."""
        try:
            return json.loads(value)
        except ValueError:
            self.fail("it is no JSON", param, ctx)


@admin.command(short_help="any request of the administrators' API")
@click.argument("method", metavar="METHOD", type=click.Choice(["GET", "PUT", "POST", "DELETE", "PATCH"]))
@click.argument("path", metavar="PATH")
@click.argument("body", metavar="[BODY]", required=False, type=_Json())
@at_door
def call(door: AdminDoor, output: Output, method: str, path: str, body: Any) -> None:  # Any: JSON
    """Send one request of the administrators' API and print the answer.

    For example: homeserver admin call GET /_columba/admin/v1/keys
    """
    answer = ask(door, method, path, body)
    output.say(json.dumps(answer, indent=2, ensure_ascii=False), answer)


for act in (rate_limit, redact_all, shadow_ban):
    user.add_command(act)
for act in (compare, delete, purge_history, repair, room_retention, shutdown):
    room.add_command(act)
for act in (backup, backups, check_backup, restore, export, server_retention):
    server.add_command(act)
room.add_command(event)
for topic in (init, check):
    commands.add_command(topic)
for topic in (user, room, federation, job, keys, policy, report, server):
    admin.add_command(topic)


def _open(config: Path | None, url: str | None) -> AbstractContextManager[AdminDoor]:
    """The door to the server of a configuration file, or of a URL."""
    if url is None:
        path = configuration_file(config)
        if not path.exists():
            raise CommandFailed(f"there is no configuration in {path}: name it by -c FILE", BAD_CONFIGURATION)
        return open_door(read_settings(path), _local_door)
    if config is not None:
        raise click.UsageError("-c names a server here and --url one elsewhere: give one of them.")
    return nullcontext(remote_door(url, os.environ))


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
