"""`homeserver admin report …`: what users told moderators of, from the shell."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.output import Output, Row, time_of
from homeserver.cli.steps import steps

REPORTS: Final = f"{ADMIN_API}/reports"
COLUMNS: Final = ("Report", "Received", "By", "Of", "Reason", "Resolved")
EVENT_COLUMNS: Final = ("", "Sent", "By", "Type", "Content")
LONGEST_CONTENT: Final = 500
ENDINGS: Final = {"dismiss": "dismissed", "redact": "redacted", "ban": "banned"}


@click.group(short_help="what users told of")
def report() -> None:
    """See what users told of, and do something about it."""


@report.command("list", short_help="print reports, the newest first")
@click.option("--limit", type=int, default=100, metavar="NUMBER", help="So many at most (100).")
@click.option("--open", "is_open", is_flag=True, help="Only those about which nothing was done yet.")
@at_door
def list_reports(door: AdminDoor, output: Output, limit: int, *, is_open: bool) -> None:
    """Print what users reported, the newest first: an event and its room, a room, or another user."""
    wanted = {"resolved": "false"} if is_open else {}
    output.tell(COLUMNS, (_row(each) for each in islice(_all(door, wanted), max(limit, 0))))


@report.command(short_help="print one report")
@click.argument("report_id", metavar="REPORT")
@at_door
def show(door: AdminDoor, output: Output, report_id: str) -> None:
    """Print one report, by the ID that `list` tells, with the event and what was said around it."""
    found = ask(door, "GET", _path(report_id))
    output.tell(COLUMNS, [_row(found)])
    context = found["context"]
    if output.is_json:
        return
    if context is None and found["event_id"] is not None:
        by = f" It was sent by {found['sender']}." if found["sender"] is not None else ""
        output.say(f"The event is not here any more.{by}", found)
    if context is not None:
        before = [("", event) for event in reversed(context["events_before"])]
        after = [("", event) for event in context["events_after"]]
        output.tell(EVENT_COLUMNS, [_event(*each) for each in (*before, ("*", context["event"]), *after)])


@report.command(short_help="do something about a report")
@click.argument("report_id", metavar="REPORT")
@click.option("--dismiss", "resolution", flag_value="dismiss", help="Nothing is to be done.")
@click.option("--redact", "resolution", flag_value="redact", help="Take back the event.")
@click.option(
    "--ban", "resolution", flag_value="ban", help="Ban who sent the event from the room, or a user from all rooms."
)
@click.option("--note", metavar="TEXT", help="Kept with the report, for administrators.")
@click.option("--reason", metavar="TEXT", help="Why; members of the room read it.")
@destroys
@at_door
def resolve(
    door: AdminDoor,
    output: Output,
    report_id: str,
    *,
    resolution: str | None,
    note: str | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Resolve a report, and with it all open ones of the same event, room or user.

    What is done to a room is done in the name of a user of this server who has the power there.
    """
    if resolution is None:
        raise click.UsageError("Give --dismiss, --redact or --ban.")
    said = {"note": note, "reason": reason}
    body = {"resolution": resolution, **{name: value for name, value in said.items() if value is not None}}
    what, wanted = f"{resolution} what the report {report_id} is about", {"report_id": report_id, **body}
    if not is_meant(output, what, wanted, dry_run=dry_run, yes=yes or resolution == "dismiss"):
        return
    answer = _resolved(door, output, report_id, body)
    failed = f" It was not possible in {len(answer['failed'])} rooms." if answer["failed"] else ""
    output.say(f"Resolved {answer['resolved']} reports: {ENDINGS[resolution]}.{failed}", answer)


def _resolved(door: AdminDoor, output: Output, report_id: str, body: Any) -> Any:
    """The last answer, with what was done in all steps, and what was not."""
    path = f"{_path(report_id)}/resolve"
    done: list[Any] = []
    failed: list[Any] = []
    with output.progress(f"Resolving {report_id}") as show:
        for answer in steps(lambda begin: ask(door, "POST", path, {**body, **begin})):
            done += answer["done"]
            failed += answer["failed"]
            show(f"{len(done)} rooms")
    return {**answer, "done": done, "failed": failed}


def _path(report_id: str) -> str:
    return f"{REPORTS}/{quote(report_id, safe='')}"


def _all(door: AdminDoor, wanted: dict[str, str]) -> Iterator[Any]:  # Any: the server's JSON, here and below
    query = dict(wanted)
    while page := ask(door, "GET", f"{REPORTS}?{urlencode(query)}")["reports"]:
        yield from page
        query["before"] = page[-1]["report_id"]


def _event(mark: str, event: Any) -> Row:
    time, content = time_of(event["origin_server_ts"]), json.dumps(event["content"])[:LONGEST_CONTENT]
    redaction = event.get("unsigned", {}).get("redacted_because")
    if redaction is not None:
        content += f" (redacted by {redaction['sender']})"
    line = f"{mark or ' '} {time} {event['sender']} {json.dumps(event['type'])} {content}"
    return Row(event, line, (mark, time, event["sender"], event["type"], content))


def _row(report: Any) -> Row:
    what = report["user_id"] or report["room_id"]
    if report["event_id"] is not None:
        what = f"{report['event_id']} in {report['room_id']}"
    # A reason is whatever somebody typed: as JSON it cannot speak to the terminal.
    reason = f": {json.dumps(report['reason'])}" if report["reason"] else ""
    time, ending = time_of(report["received_ms"]), _ending(report)
    return Row(
        report,
        f"{report['report_id']} {time}, {report['reporter']} reports {what}{reason}{ending and f' ({ending})'}",
        (report["report_id"], time, report["reporter"], what, report["reason"], ending),
    )


def _ending(report: Any) -> str:
    """What was done about a report, by whom and when; nothing for an open one."""
    if report["resolved_ms"] is None:
        return ""
    note = f": {json.dumps(report['note'])}" if report["note"] else ""
    by = report["resolved_by"] or "the owner"
    return f"{ENDINGS[report['resolution']]} by {by}, {time_of(report['resolved_ms'])}{note}"
