"""`homeserver admin report …`: what users told moderators of, from the shell."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row, time_of

REPORTS: Final = f"{ADMIN_API}/reports"
COLUMNS: Final = ("Report", "Received", "By", "Of", "Reason")


@click.group(short_help="what users told of")
def report() -> None:
    """See what users told of."""


@report.command("list", short_help="print reports, the newest first")
@click.option("--limit", type=int, default=100, metavar="NUMBER", help="So many at most (100).")
@at_door
def list_reports(door: AdminDoor, output: Output, limit: int) -> None:
    """Print what users reported, the newest first: an event and its room, a room, or another user."""
    output.tell(COLUMNS, (_row(each) for each in islice(_all(door), max(limit, 0))))


@report.command(short_help="print one report")
@click.argument("report_id", metavar="REPORT")
@at_door
def show(door: AdminDoor, output: Output, report_id: str) -> None:
    """Print one report, by the ID that `list` tells."""
    found = next((each for each in _all(door) if each["report_id"] == report_id), None)
    if found is None:
        raise CommandFailed(f"there is no report {report_id}")
    output.tell(COLUMNS, [_row(found)])


def _all(door: AdminDoor) -> Iterator[Any]:  # Any: the server's JSON, here and below
    query: dict[str, str] = {}
    while page := ask(door, "GET", f"{REPORTS}?{urlencode(query)}")["reports"]:
        yield from page
        query = {"before": page[-1]["report_id"]}


def _row(report: Any) -> Row:
    what = report["user_id"] or report["room_id"]
    if report["event_id"] is not None:
        what = f"{report['event_id']} in {report['room_id']}"
    # A reason is whatever somebody typed: as JSON it cannot speak to the terminal.
    reason = f": {json.dumps(report['reason'])}" if report["reason"] else ""
    time = time_of(report["received_ms"])
    return Row(
        report,
        f"{report['report_id']} {time}, {report['reporter']} reports {what}{reason}",
        (report["report_id"], time, report["reporter"], what, report["reason"]),
    )
