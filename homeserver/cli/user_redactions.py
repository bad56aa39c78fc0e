"""`homeserver admin user redact-all`: taking back all that a user said."""

from typing import Any

import click

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.jobs import completed, may_be_left
from homeserver.cli.moments import within_time
from homeserver.cli.output import Output
from homeserver.cli.user_paths import user_path

# Any: the server's JSON, throughout.


@click.command(short_help="take back all that a user said")
@click.argument("user_id", metavar="USER")
@within_time
@click.option("--room", "rooms", multiple=True, metavar="ROOM", help="Only there; may be given several times.")
@click.option("--limit", type=click.IntRange(min=1), metavar="NUMBER", help="So many in each room, the newest.")
@click.option("--reason", metavar="TEXT", help="Why; members of the rooms read it.")
@may_be_left
@destroys
@at_door
def redact_all(
    door: AdminDoor,
    output: Output,
    user_id: str,
    *,
    since: int | None,
    until: int | None,
    rooms: tuple[str, ...],
    limit: int | None,
    reason: str | None,
    no_wait: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Redact what a user of any server said, in all rooms in which this server has the power, the newest first.

    The server does it by and by, also when this command has ended. A dry run counts.
    """
    wishes = {"since_ts": since, "until_ts": until, "limit": limit, "reason": reason}
    given = {name: value for name, value in wishes.items() if value is not None}
    body: dict[str, Any] = {"rooms": list(rooms), "dry_run": dry_run, **given}
    wanted = {"user_id": user_id, **body}
    path = f"{user_path(user_id)}/redact"
    if not dry_run and not is_meant(output, f"redact what {user_id} said", wanted, dry_run=False, yes=yes):
        return
    job = ask(door, "POST", path, body)
    ended = completed(door, output, job, f"redact what {user_id} said", no_wait=no_wait and not dry_run)
    if ended is None:
        return
    output.say(_told(user_id, ended["outcome"], dry_run=dry_run), ended)


def _told(user_id: str, outcome: Any, *, dry_run: bool) -> str:
    where = f"in {outcome['rooms']} rooms"
    if dry_run:
        return f"Would redact {outcome['found']} events of {user_id}, who was {where}. Nothing was changed."
    failed = f" {outcome['failed']} could not be redacted." if outcome["failed"] else ""
    return f"Redacted {outcome['redacted']} events of {user_id}, who was {where}.{failed}"
