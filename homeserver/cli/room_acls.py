"""`homeserver admin room acl …`: which servers may take part in a room, from the shell."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.output import Output, Row, printable
from homeserver.cli.room_paths import room_path

COLUMNS: Final = ("Servers", "May take part")
LITERALS: Final = "servers without a name, by their IP address"


@click.group(short_help="which servers may take part in a room")
def acl() -> None:
    """Look after which servers may take part in a room. It binds all servers that are in it."""


@acl.command(short_help="print who is allowed and who is denied")
@click.argument("room_id", metavar="ROOM")
@at_door
def show(door: AdminDoor, output: Output, room_id: str) -> None:
    """Print which servers a room allows, and which of these it denies. Nothing is printed where all are allowed."""
    output.tell(COLUMNS, _rows(ask(door, "GET", room_path(room_id, "acl"))["acl"]))


@acl.command(short_help="deny servers, or allow them")
@click.argument("room_id", metavar="ROOM")
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--allow", "is_allowed", is_flag=True, help="Put them on the list of those that are allowed instead.")
@click.option(
    "--ip-literals/--no-ip-literals", "ip_literals", default=None, help="Whether servers without a name may take part."
)
@at_door
def add(
    door: AdminDoor,
    output: Output,
    room_id: str,
    patterns: tuple[str, ...],
    *,
    is_allowed: bool,
    ip_literals: bool | None,
) -> None:
    """Put servers on a room's list of those that are denied: what they send is taken by nobody any more.

    PATTERN is a server's name, in which * stands for any characters, ? for one. This server cannot be shut out.
    """
    if not patterns and ip_literals is None:
        raise click.UsageError("Name servers, or say --ip-literals or --no-ip-literals.")
    body: dict[str, Any] = {"allow" if is_allowed else "deny": list(patterns)}
    if ip_literals is not None:
        body["allow_ip_literals"] = ip_literals
    _change(door, output, room_id, body)


@acl.command(short_help="take servers out of a list")
@click.argument("room_id", metavar="ROOM")
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True)
@click.option("--allow", "is_allowed", is_flag=True, help="Out of the list of those that are allowed instead.")
@at_door
def remove(door: AdminDoor, output: Output, room_id: str, patterns: tuple[str, ...], *, is_allowed: bool) -> None:
    """Take servers out of a room's list of those that are denied, by the patterns that `show` prints."""
    _change(door, output, room_id, {"allow_no_more" if is_allowed else "deny_no_more": list(patterns)})


def _change(door: AdminDoor, output: Output, room_id: str, body: Mapping[str, Any]) -> None:
    output.tell(COLUMNS, _rows(ask(door, "POST", room_path(room_id, "acl"), body)["acl"]))


def _rows(lists: Any) -> Iterator[Row]:  # Any: the server's JSON
    if lists is None:
        return
    for name in ("allow", "deny"):
        told = "yes" if name == "allow" else "no"
        for pattern in lists[name]:
            line = f"{'allowed' if name == 'allow' else 'denied'}: {printable(pattern)}"
            yield Row({"pattern": pattern, "list": name}, line, (pattern, told))
    if not lists["allow_ip_literals"]:
        yield Row({"allow_ip_literals": False}, f"denied: {LITERALS}", (LITERALS, "no"))
