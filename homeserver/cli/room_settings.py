"""`homeserver admin room set-power`, `mute`, `join`, `block`, `upgrade` and such: what rooms are, from the shell."""

from typing import Any, Final
from urllib.parse import quote

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.one_by_one import for_each
from homeserver.cli.output import Output, printable
from homeserver.cli.room_paths import room_path
from homeserver.cli.switches import Switch
from homeserver.cli.user_paths import user_path

DEFAULT: Final = "default"
# Any, throughout: the server's JSON, and what click hands over.


SWITCHES: Final = (
    Switch(
        "block",
        "take no part in rooms",
        "Take no part in rooms: nobody of this server comes in or says anything there, who is there can only leave.",
        "block",
        ("block", True),
        "is blocked",
    ),
    Switch(
        "unblock",
        "open blocked rooms again",
        "Open blocked rooms again.",
        "block",
        ("block", False),
        "is blocked no more",
    ),
    Switch(
        "publish",
        "show rooms in the public directory",
        "Show rooms in the public directory of this server.",
        "directory",
        ("published", True),
        "is in the directory",
    ),
    Switch(
        "unpublish",
        "hide rooms from the public directory",
        "Hide rooms from the public directory of this server. Who knows them finds them as before.",
        "directory",
        ("published", False),
        "is not in the directory any more",
    ),
)


class _Level(click.ParamType[Any]):
    """A power level, or none of one's own."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; None for the level of everybody. Fails for anything else."""
        if value == DEFAULT:
            return None
        try:
            return int(value)
        except ValueError:
            self.fail(f"write a number, or {DEFAULT}", param, ctx)


@click.command(short_help="let users read and say nothing")
@click.argument("room_id", metavar="ROOM")
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@at_door
def mute(door: AdminDoor, output: Output, room_id: str, user_ids: tuple[str, ...]) -> None:
    """Give users in a room so little power that they can send nothing there. `set-power … default` takes it back."""

    def act(user_id: str) -> tuple[Any, str]:
        user_path(user_id)
        level = ask(door, "POST", room_path(room_id, "members", user_id, "mute"))["level"]
        return {"room_id": room_id, "user_id": user_id, "level": level}, f"is muted, at power level {level}"

    for_each(output, user_ids, act)


# A level may be below zero, which is no option then.
@click.command("set-power", short_help="give a user a power level", context_settings={"ignore_unknown_options": True})
@click.argument("room_id", metavar="ROOM")
@click.argument("user_id", metavar="USER")
@click.argument("level", metavar="LEVEL", type=_Level())
@at_door
def set_power(door: AdminDoor, output: Output, room_id: str, user_id: str, level: int | None) -> None:
    """Give a user a power level in a room: 50 is usual for moderators, 100 for administrators; or `default`.

    Nobody of this server can give more than they have themselves.
    """
    user_path(user_id)
    answer = ask(door, "PUT", room_path(room_id, "members", user_id, "power"), {"level": level})
    output.say(
        f"{user_id} has power level {answer['level']} in {room_id}.",
        {"room_id": room_id, "user_id": user_id, "level": answer["level"]},
    )


@click.command("make-admin", short_help="recover a room whose moderators are gone")
@click.argument("room_id", metavar="ROOM")
@click.argument("user_id", metavar="USER")
@at_door
def make_admin(door: AdminDoor, output: Output, room_id: str, user_id: str) -> None:
    """Give USER of this server as much power in ROOM as anybody of this server has there, and an invite if need be."""
    user_path(user_id)
    ask(door, "POST", room_path(room_id, "make_room_admin"), {"user_id": user_id})
    output.say(f"{user_id} looks after {room_id} now.", {"room_id": room_id, "user_id": user_id})


@click.command(short_help="let users join a room")
@click.argument("room", metavar="ROOM")
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@click.option("--via", "servers", metavar="SERVER", multiple=True, help="Through this server; may be given again.")
@at_door
def join(door: AdminDoor, output: Output, room: str, user_ids: tuple[str, ...], servers: tuple[str, ...]) -> None:
    """Let users of this server join a room, by its ID or an alias. Who needs an invite is given one if possible."""
    query = f"?{'&'.join(f'via={quote(server)}' for server in servers)}" if servers else ""
    path = f"{ADMIN_API}/join/{quote(room, safe='')}{query}"

    def act(user_id: str) -> tuple[Any, str]:
        answer = ask(door, "POST", path, {"user_id": user_id})
        return {"room_id": answer["room_id"], "user_id": user_id}, f"is in {answer['room_id']}"

    for_each(output, user_ids, act)


@click.command(short_help="replace a room by one of another version")
@click.argument("room_id", metavar="ROOM")
@click.argument("version", metavar="VERSION")
@click.option("--creator", "creators", metavar="USER", multiple=True, help="A creator besides; may be given again.")
@destroys
@at_door
def upgrade(
    door: AdminDoor,
    output: Output,
    room_id: str,
    version: str,
    *,
    creators: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> None:
    """Replace a room by a new one of another room version, to which its name, rules, bans and aliases move.

    The most powerful user of this server in the room creates the new one. The old room says where it is, and members
    follow by themselves.
    """
    found = ask(door, "GET", room_path(room_id))
    what = f"replace {_described(found)} of version {found['version']} by one of version {version}"
    if is_meant(output, what, {"room": found, "new_version": version}, dry_run=dry_run, yes=yes):
        body = {"new_version": version, "additional_creators": list(creators)}
        new_room = ask(door, "POST", room_path(room_id, "upgrade"), body)["replacement_room"]
        output.say(f"{room_id} is replaced by {new_room}.", {"room_id": room_id, "replacement_room": new_room})


@click.command(short_help="close a room in favour of another one")
@click.argument("room_id", metavar="ROOM")
@click.argument("replacement", metavar="OTHER")
@click.option("--reason", metavar="TEXT", help="What is said of it in the room.")
@destroys
@at_door
def tombstone(
    door: AdminDoor, output: Output, room_id: str, replacement: str, *, reason: str | None, dry_run: bool, yes: bool
) -> None:
    """Close ROOM in favour of OTHER, a room that is there already, here or elsewhere: clients lead there then."""
    found = ask(door, "GET", room_path(room_id))
    room_path(replacement)
    about = {"room": found, "replacement_room": replacement}
    if is_meant(output, f"close {_described(found)} in favour of {replacement}", about, dry_run=dry_run, yes=yes):
        body = {"replacement_room": replacement, **({} if reason is None else {"reason": reason})}
        answer = ask(door, "POST", room_path(room_id, "tombstone"), body)
        output.say(f"{room_id} is replaced by {replacement}.", {**answer, "replacement_room": replacement})


def _described(room: Any) -> str:
    name = room["name"] or room["canonical_alias"]
    named = f"{room['room_id']} ({printable(name)})" if name else room["room_id"]
    return f"the room {named} with {room['joined_members']} members"
