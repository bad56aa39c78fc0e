"""`homeserver admin user …`: accounts, from the shell."""

import getpass
import sys
from typing import TextIO

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output


@click.group(short_help="accounts")
def user() -> None:
    """Look after accounts."""


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
    password = read_password(sys.stdin) if password_stdin else _ask_password(sys.stdin)
    body = {"username": name, "password": password, "admin": is_admin}
    answer = ask(door, "POST", f"{ADMIN_API}/users", body)
    output.say(f"Registered {answer['user_id']}{' as an administrator' if is_admin else ''}.", answer)


def read_password(source: TextIO) -> str:
    """The first line of `source`. Raises CommandFailed when it is empty."""
    password = source.readline().rstrip("\r\n")
    if not password:
        raise CommandFailed("the standard input holds no password")
    return password


def _ask_name(terminal: TextIO) -> str:
    if not terminal.isatty():
        raise CommandFailed("name the user: homeserver admin user register NAME")
    name = input("Name of the new user: ").strip()
    if not name:
        raise CommandFailed("no name, no account")
    return name


def _ask_password(terminal: TextIO) -> str:
    if not terminal.isatty():
        raise CommandFailed("there is nobody to ask for a password: use --password-stdin")
    password = getpass.getpass("Password: ")
    if not password:
        raise CommandFailed("an account needs a password")
    if getpass.getpass("The password again: ") != password:
        raise CommandFailed("the two passwords differ; no account was made")
    return password
