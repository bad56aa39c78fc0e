"""What all commands of `homeserver admin` have in common: where the server is, and how it is told what came of it.

The doors are in admin_client.py and remote_door.py, what is printed in output.py.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor
from homeserver.cli.configuration import CommandFailed, takes_configuration
from homeserver.cli.options import options
from homeserver.cli.output import Output

# Any, throughout: whatever a command takes.

# Opens the door to the server of a configuration file, or of a URL.
Opening = Callable[[Path | None, str | None], AbstractContextManager[AdminDoor]]


def at_door(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command speak with a server: it takes `-c`, `--url` and `--json`, and is called with a door and an output.

    It stands next to the function, below its other options. The context's object is an Opening.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts: an object a line.")
    @takes_configuration
    @click.option(
        "--url",
        metavar="URL",
        help="Speak with the server at https://… instead. The access token of an administrator is taken from the "
        "environment, COLUMBA_ADMIN_TOKEN, or from the keyring.",
    )
    @wraps(command)
    def opened(*, as_json: bool, config: Path | None, url: str | None, **given: Any) -> None:
        opening: Opening = click.get_current_context().obj
        with opening(config, url) as door:
            command(door, Output(as_json=as_json), **given)

    return opened


# Let a command that destroys something take `--dry-run` and `--yes`; see `is_meant`.
destroys: Final = options(
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
    click.option("--yes", is_flag=True, help="Do it without asking, for scripts."),
)


def is_meant(output: Output, what: str, answer: Any, *, dry_run: bool, yes: bool) -> bool:
    """Whether to do what `what` says ("delete the room !a:b"): asks at a terminal. `answer` is JSON that says the same.

    False for a dry run, which has been told of then. Raises CommandFailed when nobody says yes.
    """
    if dry_run:
        output.say(f"Would {what}. Nothing was changed.", {**answer, "dry_run": True})
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CommandFailed(f"there is nobody to ask whether to {what}: use --yes")
    if not click.confirm(f"{what[:1].upper()}{what[1:]}?", err=True):
        raise CommandFailed("nothing was changed")
    return True
