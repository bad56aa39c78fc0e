"""`homeserver admin server doctor`: what is wrong with the server, from the shell."""

from typing import Any, Final

import click

from homeserver.cli.admin_client import ADMIN_API, AdminDoor, ask
from homeserver.cli.at_door import at_door
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row, printable

COLUMNS: Final = ("What", "How it is", "What was found")


@click.command(short_help="look for what is wrong, or soon will be")
@at_door
def doctor(door: AdminDoor, output: Output) -> None:
    """Look for what is wrong with the server, or soon will be, and say what to do about it.

    Settings, disk, files, certificates, the database, how clients and other servers find this one, the clock, TURN
    servers. No service is asked that the server does not speak with anyway. The exit code is 1 if something is wrong;
    warnings alone leave it 0.
    """
    with output.progress("Looking"):
        findings = ask(door, "POST", f"{ADMIN_API}/doctor")["findings"]
    output.tell(COLUMNS, (_row(finding) for finding in findings))
    wrong = sum(finding["level"] == "error" for finding in findings)
    if wrong:
        raise CommandFailed(f"{wrong} of {len(findings)} things are wrong")


def _row(finding: Any) -> Row:  # Any: the server's JSON
    state = {"ok": "ok", "warning": "warning", "error": "WRONG"}[finding["level"]]
    told = printable(finding["told"])  # others may have written it
    if finding["advice"] is not None:
        told += f". What to do: {finding['advice']}"
    return Row(finding, f"{finding['name']}: {state}: {told}", (finding["name"], state, told))
