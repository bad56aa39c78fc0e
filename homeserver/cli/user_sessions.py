"""`homeserver admin user sessions`, `sign-out` and `login-as`: where accounts are used, and by whom."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.durations import Duration
from homeserver.cli.output import Output, Row, printable, time_of
from homeserver.cli.user_paths import user_path

COLUMNS: Final = ("Device", "Name", "Last seen", "From", "By")
MOST_AT_ONCE: Final = 1_000  # devices that the server removes by one request


@click.command(short_help="print where somebody is logged in")
@click.argument("user_id", metavar="USER")
@at_door
def sessions(door: AdminDoor, output: Output, user_id: str) -> None:
    """Print the devices of USER: when each was last heard of, from which address, and by which program."""
    output.tell(COLUMNS, (_row(each) for each in ask(door, "GET", f"{user_path(user_id)}/devices")["devices"]))


@click.command(short_help="log devices of somebody out")
@click.argument("user_id", metavar="USER")
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--all", "all_devices", is_flag=True, help="All devices that they have.")
@destroys
@at_door
def sign_out(
    door: AdminDoor,
    output: Output,
    user_id: str,
    devices: tuple[str, ...],
    *,
    all_devices: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Log devices of USER out: those with these IDs, which `sessions` tells, or all.

    With a device goes what was kept for it: its keys, and messages that it did not fetch.
    """
    if all_devices == bool(devices):
        raise CommandFailed("name devices, or say --all: homeserver admin user sign-out USER DEVICE")
    path = user_path(user_id)
    known = [each["device_id"] for each in ask(door, "GET", f"{path}/devices")["devices"]]
    for device in devices:
        if device not in known:
            raise CommandFailed(f"{user_id} has no device {device}")
    going = known if all_devices else list(dict.fromkeys(devices))
    told = f"device {printable(going[0])}" if len(going) == 1 else f"{len(going)} devices"
    answer = {"user_id": user_id, "devices": going}
    if is_meant(output, f"sign {told} of {user_id} out", answer, dry_run=dry_run, yes=yes):
        for some in _parts(going):
            ask(door, "POST", f"{path}/delete_devices", {"devices": some})
        output.say(f"Signed {told} of {user_id} out.", answer)


@click.command("login-as", short_help="print an access token of somebody")
@click.argument("user_id", metavar="USER")
@click.option("--valid-for", type=Duration(), default="1h", metavar="TIME", help="Counts for so long, like 30m (1h).")
@at_door
def log_in_as(door: AdminDoor, output: Output, user_id: str, valid_for: timedelta) -> None:
    """Print an access token by which to act as USER, for a while.

    It is written down that you did, and the user sees it among their devices as "Login by an administrator".
    """
    until_ms = int((datetime.now(UTC) + valid_for).timestamp() * 1000)
    answer = ask(door, "POST", f"{user_path(user_id)}/login", {"valid_until_ms": until_ms})
    output.say(answer["access_token"], {**answer, "user_id": user_id, "valid_until_ms": until_ms})


def _parts(devices: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(devices), MOST_AT_ONCE):
        yield devices[begin : begin + MOST_AT_ONCE]


def _row(device: Any) -> Row:  # Any: the server's JSON
    name, agent = printable(device["display_name"] or ""), printable(device["last_seen_user_agent"] or "")
    seen, address = time_of(device["last_seen_ts"]), device["last_seen_ip"] or ""
    told = f", last seen {seen}{f' from {address}' if address else ''}"
    line = f"{printable(device['device_id'])}{f' ({name})' if name else ''}{told}{f' by {agent}' if agent else ''}"
    return Row(device, line, (device["device_id"], name, seen, address, agent))
