"""`homeserver admin user …`: accounts, from the shell."""

import argparse
import getpass
import json
import sys
from typing import TextIO

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.configuration import CommandFailed, add_configuration_option


def add_user(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the topic `user` with its commands."""
    parser = topics.add_parser("user", help="accounts")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    register = commands.add_parser(
        "register",
        help="make an account",
        description="Makes an account, whether registration is open or not. Asks for what is not given.",
    )
    register.add_argument("name", metavar="NAME", nargs="?", help="the part between @ and : of the user ID")
    register.add_argument("--admin", action="store_true", help="make the account a server administrator")
    register.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")
    register.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    add_configuration_option(register)
    register.set_defaults(command_at_door=_register)


def _register(options: argparse.Namespace, door: AdminDoor) -> None:
    name = options.name or _ask_name(sys.stdin)
    password = read_password(sys.stdin) if options.password_stdin else _ask_password(sys.stdin)
    body = {"username": name, "password": password, "admin": bool(options.admin)}
    answer = ask(door, "POST", f"{ADMIN_API}/users", body)
    if options.json:
        print(json.dumps(answer))
    else:
        print(f"Registered {answer['user_id']}{' as an administrator' if options.admin else ''}.")


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
