"""Commands by which something is said to be so of users or rooms, or not to be: each is a row of a table.

The tables are in users.py and room_settings.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.one_by_one import for_each
from homeserver.cli.output import Output


@dataclass(frozen=True, slots=True)
class Switch:
    """A verb: what the server is told by it, where, and what is true of whom it was said then."""

    name: str
    short_help: str
    help: str
    path: str  # below that of the user or the room
    says: tuple[str, bool]  # by this name in the body
    told: str


def switch_command(switch: Switch, thing: str, path_of: Callable[[str], str]) -> click.Command:
    """The command of a verb, which takes one or more of a `thing` ("user"); `path_of` says where one is."""

    @click.command(switch.name, short_help=switch.short_help, help=switch.help)
    @click.argument("targets", metavar=f"{thing.upper()}...", nargs=-1, required=True)
    @at_door
    def command(door: AdminDoor, output: Output, targets: tuple[str, ...]) -> None:
        paths = {target: f"{path_of(target)}/{switch.path}" for target in targets}
        body = dict([switch.says])

        def act(target: str) -> tuple[Any, str]:  # Any: JSON
            ask(door, "PUT", paths[target], body)
            return {f"{thing}_id": target, **body}, switch.told

        for_each(output, targets, act)

    return command
