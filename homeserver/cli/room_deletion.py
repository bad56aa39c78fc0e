"""`homeserver admin room delete` and `shutdown`: the end of rooms, from the shell."""

from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.jobs import completed, may_be_left
from homeserver.cli.options import options
from homeserver.cli.output import Output, printable
from homeserver.cli.room_paths import room_path

NOT_FOUND: Final = 404
# Any, throughout: the server's JSON, and whatever a command takes.


# Let a command take how a room is to end.
_says_how: Final = options(
    click.option("--block", is_flag=True, help="Let nobody of this server come into the room again."),
    click.option(
        "--new-room-by",
        "new_room_user_id",
        metavar="USER",
        help="Bring everybody of this server into a new room of this user, which tells of it; aliases lead there.",
    ),
    click.option("--name", "room_name", metavar="NAME", help="The name of the new room."),
    click.option("--message", metavar="TEXT", help="What is said in the new room."),
    may_be_left,
)


@click.command(short_help="let everybody leave a room, and delete all of it")
@click.argument("room_id", metavar="ROOM")
@click.option("--force", "force_purge", is_flag=True, help="Also if the room is damaged, so that some cannot leave.")
@_says_how
@destroys
@at_door
def delete(door: AdminDoor, output: Output, room_id: str, **how: Any) -> None:
    """Let all users of this server leave ROOM, and delete all that is kept of it here.

    Clients see that their users left, also those that are away now; other servers are told. The room is in no directory
    of this server any more, and its aliases are gone. What others have of it stays theirs. It cannot be taken back.
    """
    _end(door, output, room_id, {**how, "purge": True}, "delete")


@click.command(short_help="let everybody leave a room")
@click.argument("room_id", metavar="ROOM")
@_says_how
@destroys
@at_door
def shutdown(door: AdminDoor, output: Output, room_id: str, **how: Any) -> None:
    """Let all users of this server leave ROOM, and keep what is known of it.

    The room is in no directory of this server any more, and its aliases are gone.
    """
    _end(door, output, room_id, {**how, "purge": False}, "shut down")


def _end(door: AdminDoor, output: Output, room_id: str, how: dict[str, Any], act: str) -> None:
    dry_run, yes, no_wait = (how.pop(name) for name in ("dry_run", "yes", "no_wait"))
    path = room_path(room_id)
    status, found = door.call("GET", path)
    if status == NOT_FOUND:
        known, described = None, f"the room {room_id}, which is not known here"
    else:
        known = ask(door, "GET", path) if status != 200 else found
        described = _described(known)
    wishes = {name: value for name, value in how.items() if value is not None}
    if not is_meant(output, f"{act} {described}", {"room": known, "wishes": wishes}, dry_run=dry_run, yes=yes):
        return
    begun = ask(door, "POST", f"{path}/delete", wishes)
    ended = completed(door, output, begun, f"{act} {room_id}", no_wait=no_wait)
    if ended is None:
        return
    outcome = ended["outcome"]
    told = [f"{outcome['left']} users left"]
    if outcome["events"]:
        told.append(f"{outcome['events']} events were deleted")
    if outcome["failed_to_kick_users"]:
        told.append(f"could not leave: {', '.join(outcome['failed_to_kick_users'])}")
    if outcome["new_room_id"]:
        told.append(f"they are in {outcome['new_room_id']} now")
    output.say(f"{room_id}: {'; '.join(told)}.", ended)


def _described(room: Any) -> str:
    name = "" if room["name"] is None else f" ({printable(room['name'])})"
    members, events = room["joined_local_members"], room["events"]
    return f"the room {room['room_id']}{name} with {members} members of this server and {events} events"
