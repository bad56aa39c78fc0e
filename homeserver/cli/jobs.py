"""`homeserver admin job …`: work that takes long, from the shell; and waiting for it, whoever began it."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, urlencode

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.options import options
from homeserver.cli.output import Output, Row, time_of

JOBS: Final = f"{ADMIN_API}/jobs"
COLUMNS: Final = ("Job", "Asked for", "Kind", "Of", "Status", "Done")
GOING_ON: Final = ("scheduled", "active")
STATUSES: Final = (*GOING_ON, "complete", "failed", "cancelled")
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0


# Let a command take whether to wait for the job that it begins; see `completed`.
may_be_left: Final = options(
    click.option("--no-wait", is_flag=True, help="Do not wait for the end: the server goes on by itself."),
)


# Any, here and below: the server's JSON.
@click.group(short_help="work that takes long")
def job() -> None:
    """See how work goes on that takes long, and end it."""


@job.command("list", short_help="print jobs, the newest first")
@click.option("--limit", type=int, default=100, metavar="NUMBER", help="So many at most (100).")
@click.option("--status", type=click.Choice(STATUSES), help="Only those with this status.")
@click.option("--of", "subject", metavar="ID", help="Only those that are about this room or user.")
@at_door
def list_jobs(door: AdminDoor, output: Output, limit: int, status: str | None, subject: str | None) -> None:
    """Print what administrators asked for that takes long: what goes on, and for a month what has ended."""
    wanted = {name: value for name, value in (("status", status), ("subject", subject)) if value is not None}
    output.tell(COLUMNS, (_row(each) for each in islice(_all(door, wanted), max(limit, 0))))


@job.command(short_help="print one job")
@click.argument("job_id", metavar="JOB")
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@at_door
def show(door: AdminDoor, output: Output, job_id: str, *, wait: bool) -> None:
    """Print one job, by the ID that `list` tells. With --wait, ends with exit code 1 unless it was completed."""
    found = ask(door, "GET", _path(job_id))
    if wait:
        found = until_ended(door, output, found)
    output.tell(COLUMNS, [_row(found)])
    if wait:
        check_completed(found)


@job.command(short_help="let a job end where it is")
@click.argument("job_id", metavar="JOB")
@at_door
def cancel(door: AdminDoor, output: Output, job_id: str) -> None:
    """Let a job end where it is. What it has done stays done; what is half deleted can only be finished."""
    answer = ask(door, "POST", f"{_path(job_id)}/cancel", {})
    output.say(f"The job {answer['job_id']} is {answer['status']}.", answer)


def until_ended(door: AdminDoor, output: Output, begun: Any) -> Any:
    """A job as it has ended; how far it is shows meanwhile. Ctrl-C ends the waiting, and the job goes on."""
    found, pause_s = begun, FIRST_PAUSE_S
    with output.bar(f"{found['kind']} {found['subject']}") as show_done:
        while found["status"] in GOING_ON:
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
            found = ask(door, "GET", _path(begun["job_id"]))
            show_done(found["done"], found["total"])
            if found["status"] in GOING_ON and found["outcome"].get("waits_for"):
                raise CommandFailed(
                    f"the job {found['job_id']} waits for {found['outcome']['waits_for']}; it goes on by itself then"
                )
    return found


def completed(door: AdminDoor, output: Output, begun: Any, doing: str, *, no_wait: bool) -> Any | None:
    """A job as it has been completed; None if it is left alone, of which is told then ("delete !a:b").

    Raises CommandFailed if it was not completed.
    """
    if no_wait:
        output.say(f"The server has begun to {doing}: job {begun['job_id']}.", begun)
        return None
    ended = until_ended(door, output, begun)
    check_completed(ended)
    return ended


def check_completed(found: Any) -> None:
    """Raises CommandFailed for a job that ended otherwise."""
    if found["status"] in ("failed", "cancelled"):
        raise CommandFailed(f"the job {found['job_id']} {_ending(found)}")


def _ending(found: Any) -> str:
    return "was cancelled" if found["status"] == "cancelled" else f"failed: {found['error']}"


def _all(door: AdminDoor, wanted: dict[str, str]) -> Iterator[Any]:
    query = dict(wanted)
    while page := ask(door, "GET", f"{JOBS}?{urlencode(query)}")["jobs"]:
        yield from page
        query["before"] = page[-1]["job_id"]


def _path(job_id: str) -> str:
    return f"{JOBS}/{quote(job_id, safe='')}"


def _row(found: Any) -> Row:
    total = "" if found["total"] is None else f" of {found['total']}"
    done, asked = f"{found['done']}{total}", time_of(found["created_ts"])
    why = f": {found['error']}" if found["error"] else ""
    line = f"{found['job_id']} {asked}, {found['kind']} of {found['subject']} {found['status']}{why}, {done} done"
    status = f"{found['status']}{why}"
    return Row(found, line, (found["job_id"], asked, found["kind"], found["subject"], status, done))
