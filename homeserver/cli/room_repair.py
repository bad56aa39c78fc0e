"""`homeserver admin room compare`: a room beside what other servers say of it, from the shell."""

from typing import Any, Final
from urllib.parse import quote

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, printable

SILENT: Final = ("unreachable", "refused", "nonsense")  # findings that are none


@click.command(short_help="compare a room with what other servers have of it")
@click.argument("room_id", metavar="ROOM")
@click.option(
    "--server", "servers", multiple=True, metavar="NAME", help="Ask this one (more than once: these). Else the largest."
)
@at_door
def compare(door: AdminDoor, output: Output, room_id: str, servers: tuple[str, ...]) -> None:
    """Ask other servers what they have of ROOM, and say in which they differ from this one. Changes nothing.

    Ends with exit code 1 if somebody differs, or lacks something, or has something that is not here; and if nobody
    answers.
    """
    with output.progress("Asking") as show:
        show(room_id)
        answer = ask(door, "POST", f"{ADMIN_API}/rooms/{quote(room_id, safe='')}/comparison", {"servers": servers})
    output.say("\n".join(printable(sentence) for sentence in answer["explanation"]), answer)
    answered = [view for view in answer["servers"] if view["finding"] not in SILENT]
    if answer["servers"] and not answered:
        raise CommandFailed("no server answered")
    if any(_is_apart(view) for view in answered):
        raise CommandFailed("this server and others do not have the same of the room")


def _is_apart(view: Any) -> bool:  # Any: the server's JSON
    return bool(view["finding"] != "agrees" or view["newer"])
