"""`homeserver admin user …`: accounts, from the shell.

Their sessions are in user_sessions.py, what is stored of them in user_export.py.
"""

import getpass
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, TextIO
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.one_by_one import for_each
from homeserver.cli.output import Output, Row, time_of
from homeserver.cli.switches import Switch, switch_command
from homeserver.cli.user_activity import activity, let_reset_keys
from homeserver.cli.user_export import export
from homeserver.cli.user_paths import user_path
from homeserver.cli.user_restraints import told_limit
from homeserver.cli.user_sessions import log_in_as, sessions, sign_out

USERS: Final = f"{ADMIN_API}/users"
COLUMNS: Final = ("User", "Name", "State", "Made", "Last seen")
PER_PAGE: Final = 500
MOST_SHOWN: Final = 20
ORDERS: Final = ("name", "displayname", "creation_ts", "last_seen_ts")
# What may be said of an account, by the field of the server's answer; whoever is none of it is active.
STATES: Final = {
    "admin": "admin",
    "is_guest": "guest",
    "deactivated": "closed",
    "erased": "erased",
    "locked": "locked",
    "suspended": "suspended",
    "shadow_banned": "shadow-banned",
}
ACTIVE: Final = "active"
# What the server can look for, so that not all accounts are read.
ASKED_OF_SERVER: Final[Mapping[str, Mapping[str, str]]] = {
    "admin": {"admins": "true"},
    "closed": {"deactivated": "true"},
    "erased": {"deactivated": "true"},
    ACTIVE: {"deactivated": "false", "locked": "false"},
}


SWITCHES: Final = (
    Switch(
        "suspend",
        "let users read and leave, and nothing else",
        "Suspend accounts: they read, leave rooms, and take back what they said, and nothing else.",
        "suspend",
        ("suspended", True),
        "is suspended",
    ),
    Switch(
        "unsuspend",
        "end a suspension",
        "End a suspension.",
        "suspend",
        ("suspended", False),
        "is suspended no more",
    ),
    Switch(
        "lock",
        "let accounts be of no use until they are unlocked",
        "Lock accounts: they can do nothing until they are unlocked. Their sessions stay.",
        "lock",
        ("locked", True),
        "is locked",
    ),
    Switch("unlock", "unlock accounts", "Unlock accounts.", "lock", ("locked", False), "is locked no more"),
    Switch(
        "make-admin",
        "make users administrators of the server",
        "Make users administrators of the server: their access tokens open the administrators' API.",
        "admin",
        ("admin", True),
        "is an administrator",
    ),
    Switch(
        "unmake-admin",
        "make users administrators no more",
        "Make users administrators no more.",
        "admin",
        ("admin", False),
        "is no administrator",
    ),
)


@click.group(short_help="accounts")
def user() -> None:
    """Look after accounts. A USER is a whole user ID, like @bob:example.org."""


@user.command("list", short_help="print accounts")
@click.option("--name", metavar="TEXT", help="Only those with this in their ID or name.")
@click.option("--state", type=click.Choice([ACTIVE, *STATES.values()]), help="Only those of which this is true.")
@click.option("--sort", type=click.Choice(ORDERS), default="name", help="By what they are sorted (name).")
@click.option("--reverse", is_flag=True, help="The last first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="NUMBER", help="So many at most (all).")
@at_door
def list_users(
    door: AdminDoor,
    output: Output,
    *,
    name: str | None,
    state: str | None,
    sort: str,
    reverse: bool,
    limit: int | None,
) -> None:
    """Print the accounts of this server, with what is true of each: active, admin, guest, closed, locked and so on."""
    query = {"order_by": sort, "dir": "b" if reverse else "f", "locked": "true", "limit": str(PER_PAGE)}
    if name is not None:
        query["name"] = name
    query |= ASKED_OF_SERVER.get(state or "", {})
    found = (each for each in _all(door, query) if state is None or state in _states(each))
    output.tell(COLUMNS, (_row(each) for each in islice(found, limit)))


@user.command(short_help="print what is known of one account")
@click.argument("user_id", metavar="USER")
@at_door
def show(door: AdminDoor, output: Output, user_id: str) -> None:
    """Print what is known of one account, with its rooms and how many sessions it has."""
    path = user_path(user_id)
    shown = ask(door, "GET", path)
    rooms = ask(door, "GET", f"{path}/joined_rooms")["joined_rooms"]
    devices = ask(door, "GET", f"{path}/devices")["total"]
    more = f" and {len(rooms) - MOST_SHOWN} more" if len(rooms) > MOST_SHOWN else ""
    fields = (
        ("User", shown["name"]),
        ("Name", shown["displayname"] or ""),
        ("Avatar", shown["avatar_url"] or ""),
        ("State", ", ".join(_states(shown))),
        ("Rate limit", told_limit(shown["own_rate_limit"])),
        ("On probation until", time_of(shown["probation_until_ts"])),
        ("Made", time_of(shown["creation_ts"])),
        ("Made by", shown["appservice_id"] or ""),
        ("Last seen", time_of(shown["last_seen_ts"])),
        ("Sessions", str(devices)),
        ("Rooms", f"{len(rooms)}"),
        ("Is in", ", ".join(rooms[:MOST_SHOWN]) + more),
    )
    output.describe(fields, {**shown, "sessions": devices, "joined_rooms": rooms})


@user.command(short_help="make an account")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--admin", "is_admin", is_flag=True, help="Make the account a server administrator.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@at_door
def register(door: AdminDoor, output: Output, name: str | None, *, is_admin: bool, password_stdin: bool) -> None:
    """Make an account, whether registration is open or not.

    NAME is the part between @ and : of the user ID. Asks for what is not given.
    """
    name = name or _ask_name(sys.stdin)
    password = _new_password("no account was made", is_from_stdin=password_stdin)
    body = {"username": name, "password": password, "admin": is_admin}
    answer = ask(door, "POST", USERS, body)
    output.say(f"Registered {answer['user_id']}{' as an administrator' if is_admin else ''}.", answer)


@user.command(short_help="give somebody another password")
@click.argument("user_id", metavar="USER")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--keep-sessions", is_flag=True, help="Do not sign their devices out.")
@at_door
def password(door: AdminDoor, output: Output, user_id: str, *, password_stdin: bool, keep_sessions: bool) -> None:
    """Give USER another password, and sign all their devices out.

    Asks for the password; it is never an argument, where others on this computer could read it.
    """
    path = user_path(user_id)
    chosen = _new_password("nothing was changed", is_from_stdin=password_stdin)
    ask(door, "POST", f"{path}/reset_password", {"new_password": chosen, "logout_devices": not keep_sessions})
    told = "" if keep_sessions else ", and all their devices are signed out"
    output.say(f"{user_id} has another password{told}.", {"user_id": user_id, "logout_devices": not keep_sessions})


@user.command(short_help="close accounts for good")
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@click.option("--erase", is_flag=True, help="Show what they sent as redacted to whoever was not there then.")
@destroys
@at_door
def deactivate(
    door: AdminDoor, output: Output, user_ids: tuple[str, ...], *, erase: bool, dry_run: bool, yes: bool
) -> None:
    """Close accounts for good: they leave all rooms, are signed out, and their names stay taken."""
    paths = {user_id: user_path(user_id) for user_id in user_ids}
    found = [ask(door, "GET", path) for path in paths.values()]
    rooms = sum(ask(door, "GET", f"{path}/joined_rooms")["total"] for path in paths.values())
    leaving = f", and have them leave {rooms} room{'' if rooms == 1 else 's'}" if rooms else ""
    what = f"close {_named(user_ids)}{' with erasure' if erase else ''}{leaving}"
    if not is_meant(output, what, {"users": found, "erase": erase, "rooms": rooms}, dry_run=dry_run, yes=yes):
        return

    def close(user_id: str) -> tuple[Any, str]:
        ask(door, "POST", f"{paths[user_id]}/deactivate", {"erase": erase})
        return {"user_id": user_id, "erase": erase}, f"is closed{' and erased' if erase else ''}"

    for_each(output, user_ids, close)


for switch in SWITCHES:
    user.add_command(switch_command(switch, "user", user_path))
for command in (sessions, sign_out, log_in_as, export, activity, let_reset_keys):
    user.add_command(command)


def read_password(source: TextIO) -> str:
    """The first line of `source`. Raises CommandFailed when it is empty."""
    password = source.readline().rstrip("\r\n")
    if not password:
        raise CommandFailed("the standard input holds no password")
    return password


def _all(door: AdminDoor, query: Mapping[str, str]) -> Iterator[Any]:  # Any: the server's JSON, here and below
    begin: str | None = "0"
    while begin is not None:
        page = ask(door, "GET", f"{USERS}?{urlencode({**query, 'from': begin})}")
        yield from page["users"]
        begin = page.get("next_token")


def _states(shown: Any) -> list[str]:
    return [told for field, told in STATES.items() if shown[field]] or [ACTIVE]


def _row(shown: Any) -> Row:
    state, made, seen = ", ".join(_states(shown)), time_of(shown["creation_ts"]), time_of(shown["last_seen_ts"])
    line = f"{shown['name']}: {state}, made {made}{f', last seen {seen}' if seen else ''}"
    return Row(shown, line, (shown["name"], shown["displayname"] or "", state, made, seen))


def _named(user_ids: tuple[str, ...]) -> str:
    return user_ids[0] if len(user_ids) == 1 else f"{len(user_ids)} accounts"


def _ask_name(terminal: TextIO) -> str:
    if not terminal.isatty():
        raise CommandFailed("name the user: homeserver admin user register NAME")
    name = input("Name of the new user: ").strip()
    if not name:
        raise CommandFailed("no name, no account")
    return name


def _new_password(otherwise: str, *, is_from_stdin: bool) -> str:
    """A password from the standard input or from somebody at the terminal; `otherwise`: what follows if it fails."""
    if is_from_stdin:
        return read_password(sys.stdin)
    if not sys.stdin.isatty():
        raise CommandFailed("there is nobody to ask for a password: use --password-stdin")
    password = getpass.getpass("Password: ")
    if not password:
        raise CommandFailed("an account needs a password")
    if getpass.getpass("The password again: ") != password:
        raise CommandFailed(f"the two passwords differ; {otherwise}")
    return password
