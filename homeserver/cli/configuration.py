"""Which configuration a command is about, how a command fails, and the exit codes.

What stands in a configuration file is in settings/.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import parse_server_name
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.settings.load import load_settings
from homeserver.settings.reading import Rules
from homeserver.settings.sections import Settings

FILE_NAME: Final = "homeserver.yaml"
DEFAULT_FOLDER: Final = Path("columba-data")

FAILED: Final = 1  # what was asked for could not be done, or was refused; 2 is click's, for a command that is none
CANNOT_START: Final = 69  # EX_UNAVAILABLE: trying again may help, once something else has changed
BROKEN: Final = 70  # EX_SOFTWARE: a fault of this program
BAD_CONFIGURATION: Final = 78  # EX_CONFIG: trying again does not help


class CommandFailed(Exception):  # noqa: N818 - an answer to whoever typed the command
    """A command cannot do what it was asked; `reason` is a sentence for whoever typed it."""

    def __init__(self, reason: str, exit_code: int = FAILED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code


# Any: whatever a command takes and returns
def takes_configuration(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take `-c FILE`; it is given `config`, which is None without."""
    decorate = click.option(
        "-c",
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help=f"The configuration file (without: {DEFAULT_FOLDER / FILE_NAME} in the current folder).",
    )
    return decorate(command)


def configuration_file(config: Path | None) -> Path:
    """The configuration file that a command is about; it may not be there."""
    return DEFAULT_FOLDER / FILE_NAME if config is None else config


def read_settings(path: Path) -> Settings:
    """The settings in a configuration file. Raises SettingsError."""
    return load_settings(path, Rules(is_server_name, tuple(ROOM_VERSIONS)))


def is_server_name(value: str) -> bool:
    """True if `value` can be the name of a server."""
    try:
        parse_server_name(value)
    except BadIdentifier:
        return False
    return True
