"""`homeserver admin server …`: who may register, and what the server says to its users, from the shell."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import click

from homeserver.cli.admin_audit import audit
from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.doctor import doctor
from homeserver.cli.durations import Duration
from homeserver.cli.jobs import completed, may_be_left
from homeserver.cli.output import Output, Row, time_of
from homeserver.cli.server_status import status

ANNOUNCEMENTS: Final = f"{ADMIN_API}/server_announcements"
TOKENS: Final = "/_synapse/admin/v1/registration_tokens"
COLUMNS: Final = ("Token", "Accounts", "Ends")


@click.group(short_help="the server as a whole")
def server() -> None:
    """Look after the server as a whole."""


for command in (status, doctor, audit):
    server.add_command(command)


@server.group(short_help="tokens by which others may register")
def tokens() -> None:
    """Look after the tokens by which others may make an account."""


@tokens.command("list", short_help="print the tokens")
@click.option("--valid/--used-up", default=None, help="Only those that are good for another account, or the others.")
@at_door
def list_tokens(door: AdminDoor, output: Output, *, valid: bool | None) -> None:
    """Print the tokens: how many accounts were made with each, of how many, and until when it counts."""
    query = "" if valid is None else f"?valid={'true' if valid else 'false'}"
    output.tell(COLUMNS, _rows(ask(door, "GET", TOKENS + query)["registration_tokens"]))


@tokens.command(short_help="make a token")
@click.argument("token", metavar="[TOKEN]", required=False)
@click.option("--uses", type=click.IntRange(min=1), metavar="NUMBER", help="Good for so many accounts (without: any).")
@click.option("--expires-in", type=Duration(), metavar="TIME", help="Counts for so long, like 12h or 7d.")
@at_door
def create(door: AdminDoor, output: Output, token: str | None, uses: int | None, expires_in: timedelta | None) -> None:
    """Make a token by which others may make an account: TOKEN, or a random one."""
    expires_ms = None if expires_in is None else int((datetime.now(UTC) + expires_in).timestamp() * 1000)
    body = {"token": token, "uses_allowed": uses, "expiry_time": expires_ms}
    output.tell(COLUMNS, _rows([ask(door, "POST", f"{TOKENS}/new", body)]))


@tokens.command(short_help="take a token back")
@click.argument("token", metavar="TOKEN")
@destroys
@at_door
def revoke(door: AdminDoor, output: Output, token: str, *, dry_run: bool, yes: bool) -> None:
    """Take a token back. Accounts that were made with it stay."""
    path = f"{TOKENS}/{quote(token, safe='')}"
    found = ask(door, "GET", path)
    if is_meant(output, f"revoke the registration token {token}", found, dry_run=dry_run, yes=yes):
        ask(door, "DELETE", path)
        output.say(f"{token} is good for no account any more.", found)


@server.command(short_help="let the server say something to a user")
@click.argument("user_id", metavar="USER")
@click.argument("text", metavar="TEXT")
@at_door
def notice(door: AdminDoor, output: Output, user_id: str, text: str) -> None:
    """Let the server say TEXT to the user USER (@bob:example.org), in the room that it has for that."""
    if not text.strip():
        raise CommandFailed("there is nothing to say")
    # Named, so that it is said once although the answer may get lost.
    path = f"{ADMIN_API}/server_notices/{secrets.token_urlsafe(16)}"
    said = {"msgtype": "m.text", "body": text}
    answer = ask(door, "PUT", path, {"user_id": user_id, "content": said})
    output.say(f"{user_id} was told.", {"user_id": user_id, **answer})


@server.command(short_help="let the server say something to all users")
@click.argument("text", metavar="TEXT")
@may_be_left
@destroys
@at_door
def announce(door: AdminDoor, output: Output, text: str, *, no_wait: bool, dry_run: bool, yes: bool) -> None:
    """Let the server say TEXT to each of its users, in the room that it has for that.

    All are told who have an account here that is not closed; guests are not. It cannot be taken back, and takes a while
    where there are many: the server goes on with it, also after a restart.
    """
    if not text.strip():
        raise CommandFailed("there is nothing to say")
    content = {"msgtype": "m.text", "body": text}
    if not is_meant(output, "say this to all users of the server", {"content": content}, dry_run=dry_run, yes=yes):
        return
    job = ask(door, "POST", ANNOUNCEMENTS, {"content": content})
    ended = completed(door, output, job, "tell all users", no_wait=no_wait)
    if ended is None:
        return
    outcome = ended["outcome"]
    failed = f", {outcome['failed']} could not be" if outcome["failed"] else ""
    output.say(f"{outcome['told']} users were told{failed}.", ended)


@server.command(short_help="what administrators can ask a server for, as OpenAPI")
@at_door
def openapi(door: AdminDoor, output: Output) -> None:
    """Print the OpenAPI document of the administrators' API, from which programs make requests."""
    document = ask(door, "GET", f"{ADMIN_API}/openapi.json")
    output.say(json.dumps(document, indent=2, ensure_ascii=False), document)


def _rows(found: Any) -> Iterator[Row]:  # Any: the server's JSON
    for each in found:
        allowed = "" if each["uses_allowed"] is None else f" of {each['uses_allowed']}"
        made = f"{each['completed']}{allowed}"
        ends = time_of(each["expiry_time"])
        line = f"{each['token']}: {made} accounts made{f', ends {ends}' if ends else ''}"
        yield Row(each, line, (each["token"], made, ends))
