"""`homeserver admin report …`."""

import json
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.reports import report
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

FIRST: dict[str, Any] = {
    "report_id": "aa",
    "reporter": "@bob:example.org",
    "room_id": "!room",
    "event_id": "$event",
    "user_id": None,
    "reason": 'hats \x1b[31m "now"',
    "received_ms": 1_700_000_000_123,
}
SECOND: dict[str, Any] = {**FIRST, "report_id": "bb", "event_id": None, "reason": ""}
THIRD: dict[str, Any] = {**SECOND, "report_id": "cc", "room_id": None, "user_id": "@eve:example.org"}
PAGES: dict[str, Any] = {
    f"{ADMIN_API}/reports?": (200, {"reports": [FIRST, SECOND]}),
    f"{ADMIN_API}/reports?before=bb": (200, {"reports": [THIRD]}),
    f"{ADMIN_API}/reports?before=cc": (200, {"reports": []}),
}


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, report, *words)


def test_reports_are_told_page_by_page_in_letters_that_cannot_move_the_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(ScriptedDoor(**PAGES), "list")

    assert capsys.readouterr().out.splitlines() == [
        "aa 2023-11-14 22:13:20 UTC, @bob:example.org reports $event in !room: " + r'"hats \u001b[31m \"now\""',
        "bb 2023-11-14 22:13:20 UTC, @bob:example.org reports !room",
        "cc 2023-11-14 22:13:20 UTC, @bob:example.org reports @eve:example.org",
    ]


def test_no_more_is_asked_for_than_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**PAGES)

    run(door, "list", "--limit", "2", "--json")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [FIRST, SECOND]
    assert len(door.asked) == 1


def test_one_report_is_found_on_whatever_page(capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedDoor(**PAGES), "show", "cc", "--json")

    assert json.loads(capsys.readouterr().out) == THIRD


def test_a_report_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="there is no report dd"):
        run(ScriptedDoor(**PAGES), "show", "dd")
