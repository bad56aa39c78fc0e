"""`homeserver admin room purge-history`: what was said in a room is deleted, from the shell."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.durations import Duration
from homeserver.cli.jobs import completed, may_be_left
from homeserver.cli.output import Output, time_of
from homeserver.cli.room_paths import checked_event_id, room_path

NEITHER: Final = "say up to where: --upto EVENT, or --older-than 30d"


@click.command(short_help="delete what was said in a room long ago")
@click.argument("room_id", metavar="ROOM")
@click.option("--upto", "event_id", metavar="EVENT", help="What came before this event.")
@click.option("--older-than", type=Duration(), metavar="DURATION", help="What was sent longer ago, like 30d.")
@click.option(
    "--local", "with_local", is_flag=True, help="Also what users of this server said: others may not have it."
)
@may_be_left
@destroys
@at_door
def purge_history(
    door: AdminDoor,
    output: Output,
    room_id: str,
    event_id: str | None,
    older_than: timedelta | None,
    *,
    with_local: bool,
    no_wait: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete the messages of ROOM up to an event, or those older than some time, and keep what the room is.

    State stays, and what this server has yet to send. Other servers have what they have: whoever reads back that far
    may be given it again by them.
    """
    if (event_id is None) == (older_than is None):
        raise CommandFailed(NEITHER)
    if event_id is not None:
        checked_event_id(event_id)
    path = room_path(room_id)
    known = ask(door, "GET", path)
    wishes: dict[str, Any] = {"delete_local_events": with_local}  # Any: JSON
    if older_than is None:
        wishes["purge_up_to_event_id"], until = event_id, f"before {event_id}"
    else:
        before_ms = int((datetime.now(UTC) - older_than).timestamp() * 1000)
        wishes["purge_up_to_ts"], until = before_ms, f"before {time_of(before_ms)}"
    whose = "messages" if with_local else "messages of other servers' users"
    what = f"delete the {whose} in {room_id}, which has {known['events']} events, {until}"
    if not is_meant(output, what, {"room": known, "wishes": wishes}, dry_run=dry_run, yes=yes):
        return
    begun = ask(door, "POST", f"{path}/purge_history", wishes)
    ended = completed(door, output, begun, f"delete history of {room_id}", no_wait=no_wait)
    if ended is None:
        return
    output.say(f"{room_id}: {ended['outcome']['events']} events were deleted.", ended)
