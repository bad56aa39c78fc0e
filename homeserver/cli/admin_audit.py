"""`homeserver admin server audit`: who administered what, and when, from the shell."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.moments import within_time
from homeserver.cli.output import Output, Row, printable, time_of

AUDIT: Final = f"{ADMIN_API}/audit"
COLUMNS: Final = ("When", "By", "What", "Of", "Ended", "With")
PER_PAGE: Final = 100


@click.command(short_help="print what administrators did")
@click.option("--by", metavar="USER", help="Only what this administrator did, or `owner`: by this command.")
@click.option("--of", "target", metavar="ID", help="Only what was done to this user, room or server.")
@click.option("--act", metavar="ACT", help="Only acts of one kind, as `What` tells them.")
@within_time
@click.option("--limit", type=click.IntRange(min=1), default=100, metavar="NUMBER", help="So many at most (100).")
@at_door
def audit(door: AdminDoor, output: Output, *, limit: int, **wanted: str | int | None) -> None:
    """Print what administrators set out to do, the newest first, and how it ended.

    What has not ended still goes on, or the server ended before it. Passwords and tokens are not written down.
    """
    query = {name: str(value) for name, value in wanted.items() if value is not None}
    output.tell(COLUMNS, (_row(each) for each in islice(_all(door, query, min(limit, PER_PAGE)), limit)))


def _all(door: AdminDoor, query: dict[str, str], per_page: int) -> Iterator[Any]:  # Any: the server's JSON, and below
    where: dict[str, str] = {}
    while True:
        page = ask(door, "GET", f"{AUDIT}?{urlencode({**query, 'limit': per_page, **where})}")
        yield from page["acts"]
        if page["next"] is None:
            return
        where = {"from": page["next"]}


def _row(act: Any) -> Row:
    time, target = time_of(act["at_ms"]), printable(act["target"] or "")
    ended = _ended(act["outcome"])
    # Whatever somebody typed is told as JSON, which cannot speak to the terminal.
    details = json.dumps(act["details"]) if act["details"] else ""
    of, using = f" of {target}" if target else "", f" with {details}" if details else ""
    return Row(
        act,
        f"{time}, {act['by']}: {act['act']}{of}{using}: {ended}",
        (time, act["by"], act["act"], target, ended, details),
    )


def _ended(outcome: Any) -> str:
    if outcome is None:
        return "not ended"
    return " ".join(str(told) for told in (outcome["status"], outcome["errcode"]) if told is not None)
