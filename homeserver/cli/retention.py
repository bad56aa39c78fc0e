"""`homeserver admin server retention` and `room retention`: for how long rooms keep what is said in them."""

from datetime import timedelta
from typing import Any

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.durations import Duration
from homeserver.cli.output import Output
from homeserver.cli.room_paths import room_path

DAY_S = 86_400
MS = 1000


@click.command("retention", short_help="for how long rooms keep what is said, and what was removed")
@at_door
def server_retention(door: AdminDoor, output: Output) -> None:
    """Say for how long rooms keep what is said in them, and how much was removed.

    The policy is in the settings: retention.
    """
    answer = ask(door, "GET", f"{ADMIN_API}/retention")
    policy = answer["policy"]
    if not policy["is_enabled"]:
        told = "Rooms keep what is said in them for ever: retention.enabled is false."
    else:
        longest = "" if policy["longest_ms"] is None else f", and for {_time(policy['longest_ms'])} at most"
        told = (
            f"Rooms keep what is said in them for {_time(policy['default_ms'])}; {answer['rooms']} rooms say something "
            f"else, which counts for {_time(policy['shortest_ms'])} at least{longest}."
        )
    output.say(f"{told} {answer['removed']} events were removed so far.", answer)


@click.command("retention", short_help="for how long a room keeps what is said in it")
@click.argument("room_id", metavar="ROOM")
@click.option("--max-lifetime", type=Duration(), metavar="TIME", help="Keep it for so long, like 12h or 30d.")
@click.option("--clear", is_flag=True, help="Let the room say nothing of it: the server's default holds.")
@at_door
def room_retention(
    door: AdminDoor, output: Output, room_id: str, *, max_lifetime: timedelta | None, clear: bool
) -> None:
    """Set for how long the room with the ID ROOM keeps what is said in it; without an option, show it.

    It is written into the room's state, in the name of a user of this server who may: other servers heed it, too, if
    they do such a thing. Here it holds if retention.enabled is true.
    """
    if clear and max_lifetime is not None:
        raise click.UsageError("Give --max-lifetime or --clear.")
    if max_lifetime == timedelta():
        raise CommandFailed("a room keeps what is said for some time")
    path = room_path(room_id, "retention")
    if clear or max_lifetime is not None:
        wanted_ms = None if max_lifetime is None else int(max_lifetime.total_seconds()) * MS
        ask(door, "PUT", path, {"max_lifetime": wanted_ms})
    answer = ask(door, "GET", path)
    said = "does not say for how long" if answer["said_ms"] is None else f"says {_time(answer['said_ms'])}"
    holds = f"here it keeps what is said for {_time(answer['lifetime_ms'])}"
    output.say(f"{room_id} {said}; {holds}. {answer['removed']} events were removed so far.", answer)


def _time(milliseconds: Any) -> str:  # Any: the server's JSON
    if milliseconds is None:
        return "ever"
    seconds = milliseconds // MS
    for unit, name in ((DAY_S, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"
