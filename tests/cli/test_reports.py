"""`homeserver admin report …`."""

import json
from typing import Any

import click
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
    "resolution": None,
    "resolved_by": None,
    "resolved_ms": None,
    "note": None,
}
SECOND: dict[str, Any] = {**FIRST, "report_id": "bb", "event_id": None, "reason": ""}
THIRD: dict[str, Any] = {
    **SECOND,
    "report_id": "cc",
    "room_id": None,
    "user_id": "@eve:example.org",
    "resolution": "ban",
    "resolved_by": "@root:example.org",
    "resolved_ms": 1_700_000_001_000,
    "note": "third time",
}
NOWHERE: dict[str, Any] = {"done": [], "failed": [], "next": None}
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
        "cc 2023-11-14 22:13:20 UTC, @bob:example.org reports @eve:example.org "
        + '(banned by @root:example.org, 2023-11-14 22:13:21 UTC: "third time")',
    ]


def test_no_more_is_asked_for_than_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**PAGES)

    run(door, "list", "--limit", "2", "--json")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [FIRST, SECOND]
    assert len(door.asked) == 1


def test_open_ones_alone_are_told_of_if_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    pages = {
        f"{ADMIN_API}/reports?resolved=false": (200, {"reports": [FIRST]}),
        f"{ADMIN_API}/reports?resolved=false&before=aa": (200, {"reports": []}),
    }

    run(ScriptedDoor(**pages), "list", "--open", "--json")

    assert json.loads(capsys.readouterr().out) == FIRST


def test_one_report_is_shown_with_what_was_said_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    def event(name: str) -> dict[str, Any]:
        content = {"body": f"{name} \x1b[31m"}
        return {"sender": "@eve:example.org", "type": "m.x", "origin_server_ts": 1_700_000_000_000, "content": content}

    context = {
        "events_before": [event("before"), event("earlier")],
        "event": event("it"),
        "events_after": [event("after")],
    }
    answer = {**FIRST, "context": context}

    run(ScriptedDoor(**{f"{ADMIN_API}/reports/aa": (200, answer)}), "show", "aa")
    run(ScriptedDoor(**{f"{ADMIN_API}/reports/aa": (200, answer)}), "show", "aa", "--json")

    *lines, as_json = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("aa 2023-11-14 22:13:20 UTC, @bob:example.org reports $event in !room")
    at = "2023-11-14 22:13:20 UTC @eve:example.org"
    assert lines[1:] == [
        f'{mark} {at} "m.x" {{"body": "{name} \\u001b[31m"}}'
        for mark, name in ((" ", "earlier"), (" ", "before"), ("*", "it"), (" ", "after"))
    ]
    assert json.loads(as_json) == answer


def test_a_report_that_is_not_there_is_a_failure() -> None:
    answers = {f"{ADMIN_API}/reports/dd": (404, {"errcode": "M_NOT_FOUND", "error": "There is no such report"})}

    with pytest.raises(CommandFailed, match="There is no such report"):
        run(ScriptedDoor(**answers), "show", "dd")


@pytest.mark.parametrize(
    ("words", "answer", "told"),
    [
        (("--dismiss", "--note", "a joke"), {"resolved": 2, **NOWHERE}, "Resolved 2 reports: dismissed.\n"),
        (("--redact", "--yes"), {"resolved": 1, **NOWHERE}, "Resolved 1 reports: redacted.\n"),
    ],
)
def test_a_report_is_resolved(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], answer: dict[str, Any], told: str
) -> None:
    run(ScriptedDoor(**{f"{ADMIN_API}/reports/aa/resolve": (200, answer)}), "resolve", "aa", *words)

    assert capsys.readouterr().out == told


def test_a_user_is_banned_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    eve = {"user_id": "@eve:example.org", "membership": "join", "spared": False}
    done = [{**eve, "room_id": "!a"}, {**eve, "room_id": "!c"}]
    failed = [{"room_id": "!b", "user_id": "@eve:example.org", "reason": "no power"}]
    answers = [
        {"resolved": 0, "done": done[:1], "failed": failed, "next": "x"},
        {"resolved": 1, "done": done[1:], "failed": [], "next": None},
    ]

    class Door(ScriptedDoor):
        def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
            super().call(method, path, body)
            return 200, answers[(len(self.asked) - 1) % 2]

    door, words = Door(), ("resolve", "aa", "--ban", "--yes", "--reason", "spam")

    run(door, *words)
    run(door, *words, "--json")

    path, body = f"{ADMIN_API}/reports/aa/resolve", {"resolution": "ban", "reason": "spam"}
    assert door.asked == [("POST", path, body), ("POST", path, {**body, "from": "x"})] * 2
    told, as_json = capsys.readouterr().out.splitlines()
    assert told == "Resolved 1 reports: banned. It was not possible in 1 rooms."
    assert json.loads(as_json) == {"resolved": 1, "done": done, "failed": failed, "next": None}


def test_what_destroys_is_not_done_unless_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    run(door, "resolve", "aa", "--ban", "--dry-run")
    for words in (("--redact",), ()):
        with pytest.raises((CommandFailed, click.UsageError)):
            run(door, "resolve", "aa", *words)

    assert capsys.readouterr().out == "Would ban what the report aa is about. Nothing was changed.\n"
    assert door.asked == []
