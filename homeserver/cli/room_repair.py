"""`homeserver admin room compare` and `repair`: a room beside what other servers say of it, from the shell."""

from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.jobs import completed, may_be_left
from homeserver.cli.output import Output, printable
from homeserver.cli.room_paths import room_path

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
        answer = ask(door, "POST", room_path(room_id, "comparison"), {"servers": servers})
    output.say("\n".join(printable(sentence) for sentence in answer["explanation"]), answer)
    answered = [view for view in answer["servers"] if view["finding"] not in SILENT]
    if answer["servers"] and not answered:
        raise CommandFailed("no server answered")
    if any(_is_apart(view) for view in answered):
        raise CommandFailed("this server and others do not have the same of the room: see room repair")


@click.command(short_help="put right what is stored of a room, and fetch what is missing")
@click.argument("room_id", metavar="ROOM")
@may_be_left
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@at_door
def repair(door: AdminDoor, output: Output, room_id: str, *, no_wait: bool, dry_run: bool) -> None:
    """Put right what is stored of ROOM and follows from its events, and have other servers give what is missing.

    Events that were lost or damaged here are put back, if some server has them.

    Says what was done, and what could not be done and why. Ends with exit code 1 if the room is not sound afterwards.
    """
    begun = ask(door, "POST", room_path(room_id, "repair"), {"dry_run": dry_run})
    ended = completed(door, output, begun, f"repair {room_id}", no_wait=no_wait)
    if ended is None:
        return
    output.say("\n".join(printable(sentence) for sentence in _told(ended["outcome"])), ended)
    if ended["outcome"]["remaining_fault"] is not None:
        raise CommandFailed("the room is not sound")


def _told(outcome: Any) -> list[str]:  # Any: the server's JSON
    fault, remaining = outcome["fault"], outcome["remaining_fault"]
    told = ["What is stored here was sound." if fault is None else f"Not sound: {fault}"]
    told += [f"Done: {sentence}" for sentence in outcome["done"]] if not outcome["dry_run"] else outcome["done"]
    told += [f"Not done: {sentence}" for sentence in outcome["not"]]
    if outcome["dry_run"]:
        told.append("Nothing was changed.")
    elif remaining is not None:
        told.append(f"Still not sound: {remaining}")
    elif fault is not None:
        told.append("It is sound now.")
    return told


def _is_apart(view: Any) -> bool:  # Any: the server's JSON
    return bool(view["finding"] != "agrees" or view["newer"])
