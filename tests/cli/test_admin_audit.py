"""`homeserver admin server audit`."""

import json
from typing import Any

import pytest

from homeserver.cli.admin_audit import audit
from homeserver.cli.admin_client import ADMIN_API
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

DONE: dict[str, Any] = {
    "position": 7,
    "at_ms": 1_700_000_000_123,
    "by": "@root:example.org",
    "act": "POST /_columba/admin/v1/rooms/{roomId}/ban",
    "target": "!room\x1b[31m",
    "details": {"user_id": "@eve:example.org", "reason": "(withheld)"},
    "outcome": {"at_ms": 1_700_000_000_200, "status": 403, "errcode": "M_FORBIDDEN"},
}
BEGUN: dict[str, Any] = {
    "position": 5,
    "at_ms": 1_700_000_000_000,
    "by": "owner",
    "act": "POST /_columba/admin/v1/backups",
    "target": None,
    "details": {},
    "outcome": None,
}
PAGES: dict[str, Any] = {
    f"{ADMIN_API}/audit?limit=100": (200, {"acts": [DONE], "next": 7}),
    f"{ADMIN_API}/audit?limit=100&from=7": (200, {"acts": [BEGUN], "next": None}),
}


def test_acts_are_told_page_by_page_in_letters_that_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(ScriptedDoor(**PAGES), audit)

    assert capsys.readouterr().out.splitlines() == [
        "2023-11-14 22:13:20 UTC, @root:example.org: POST /_columba/admin/v1/rooms/{roomId}/ban of "
        + r"!room\u001b[31m "
        + 'with {"user_id": "@eve:example.org", "reason": "(withheld)"}: 403 M_FORBIDDEN',
        "2023-11-14 22:13:20 UTC, owner: POST /_columba/admin/v1/backups: not ended",
    ]


def test_programs_are_told_an_act_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(ScriptedDoor(**PAGES), audit, "--json")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [DONE, BEGUN]


def test_no_more_is_asked_for_than_is_wanted() -> None:
    door = ScriptedDoor(**{f"{ADMIN_API}/audit?limit=1": (200, {"acts": [DONE], "next": 7})})

    typed_at(door, audit, "--limit", "1")

    assert [path for _, path, _ in door.asked] == [f"{ADMIN_API}/audit?limit=1"]


def test_what_is_looked_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    query = "by=owner&target=%40bob%3Aexample.org&act=GET+%2Fx&since=1777593600000&limit=100"
    door = ScriptedDoor(**{f"{ADMIN_API}/audit?{query}": (200, {"acts": [BEGUN], "next": None})})

    typed_at(door, audit, "--by", "owner", "--of", "@bob:example.org", "--act", "GET /x", "--since", "2026-05-01")

    assert capsys.readouterr().out.endswith("backups: not ended\n")
