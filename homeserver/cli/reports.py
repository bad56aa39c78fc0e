"""`homeserver admin report …`: what users told moderators of, from the shell."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.configuration import add_configuration_option

REPORTS: Final = f"{ADMIN_API}/reports"


def add_report(topics: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the topic `report` with its commands."""
    parser = topics.add_parser("report", help="what users told of")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list",
        help="print reports, the newest first",
        description="Prints what users reported: an event and its room, a room, or another user.",
    )
    listing.add_argument("--limit", type=int, default=100, metavar="NUMBER", help="so many at most (100)")
    listing.add_argument("--json", action="store_true", help="print a JSON object for each report")
    add_configuration_option(listing)
    listing.set_defaults(command_at_door=_list)


def _list(options: argparse.Namespace, door: AdminDoor) -> None:
    for report in islice(_all(door), max(options.limit, 0)):
        print(json.dumps(report) if options.json else _told(report), flush=True)


def _all(door: AdminDoor) -> Iterator[Any]:  # Any: the server's JSON, here and below
    query: dict[str, str] = {}
    while page := ask(door, "GET", f"{REPORTS}?{urlencode(query)}")["reports"]:
        yield from page
        query = {"before": page[-1]["report_id"]}


def _told(report: Any) -> str:
    what = report["user_id"] or report["room_id"]
    if report["event_id"] is not None:
        what = f"{report['event_id']} in {report['room_id']}"
    time = datetime.fromtimestamp(report["received_ms"] // 1000, UTC)
    # A reason is whatever somebody typed: as JSON it cannot speak to the terminal.
    reason = f": {json.dumps(report['reason'])}" if report["reason"] else ""
    return f"{report['report_id']} {time:%Y-%m-%d %H:%M:%S} UTC, {report['reporter']} reports {what}{reason}"
