"""`homeserver admin room heads`: the events on which nothing is built yet, from the shell."""

from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output, Row, time_of
from homeserver.cli.room_paths import room_path

COLUMNS: Final = ("Event", "Depth", "Time")


@click.command(short_help="print a room's heads, or make them one")
@click.argument("room_id", metavar="ROOM")
@click.option("--join", "is_joined", is_flag=True, help="Have something built on all of them.")
@at_door
def heads(door: AdminDoor, output: Output, room_id: str, *, is_joined: bool) -> None:
    """Print a room's heads: the events on which nothing is built yet.

    Each makes the room dearer for every server in it. --join has one of this server's users build an event on all of
    them that says nothing, so that it is the only one.
    """
    path = room_path(room_id, "forward_extremities")
    if is_joined:
        answer = ask(door, "DELETE", path)
        output.say(f"{room_id} has {answer['deleted']} heads fewer.", answer)
        return
    output.tell(COLUMNS, (_row(head) for head in ask(door, "GET", path)["results"]))


def _row(head: Any) -> Row:  # Any: the server's JSON
    told = (str(head["depth"]), time_of(head["origin_server_ts"]))
    return Row(head, f"{head['event_id']}: depth {told[0]}, {told[1]}", (head["event_id"], *told))
