"""`homeserver admin user redact-all`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.main import admin
from tests.cli.commands import typed_at

USER = "@bob:b.example"
PATH = f"{ADMIN_API}/users/%40bob%3Ab.example/redact"
BEGUN: dict[str, Any] = {  # Any: JSON, throughout
    "job_id": "job",
    "kind": "redact_user",
    "subject": USER,
    "status": "scheduled",
    "error": None,
    "done": 0,
    "total": None,
    "outcome": {},
}
OUTCOME = {"found": 7, "redacted": 5, "failed": 2, "rooms": 3}
DONE = {**BEGUN, "status": "complete", "outcome": OUTCOME}


class Door:
    """A door behind which a job is begun, goes on, and ends as it is told to."""

    def __init__(self, *answers: Mapping[str, Any]) -> None:  # Any: JSON, here and below
        self.answers = [BEGUN, *answers]
        self.asked: list[tuple[str, str, Any]] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        return 200, self.answers.pop(0)


def test_a_job_is_begun_with_all_that_is_wished(capsys: pytest.CaptureFixture[str]) -> None:
    door = Door()
    window = ("--since", "1970-01-01T00:00:01", "--until", "1970-01-01T00:00:02")
    where = ("--room", "!a:b", "--room", "!c:d", "--limit", "9", "--reason", "spam")

    typed_at(door, admin, "user", "redact-all", USER, *window, *where, "--yes", "--no-wait")

    wish = {"rooms": ["!a:b", "!c:d"], "since_ts": 1_000, "until_ts": 2_000, "limit": 9, "reason": "spam"}
    assert door.asked == [("POST", PATH, {**wish, "dry_run": False})]
    assert capsys.readouterr().out == f"The server has begun to redact what {USER} said: job job.\n"


def test_whoever_waits_is_told_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    door = Door(DONE)

    typed_at(door, admin, "user", "redact-all", USER, "--yes")

    assert door.asked == [
        ("POST", PATH, {"rooms": [], "dry_run": False}),
        ("GET", f"{ADMIN_API}/jobs/job", None),
    ]
    told = f"Redacted 5 events of {USER}, who was in 3 rooms. 2 could not be redacted.\n"
    assert capsys.readouterr().out == told


def test_a_dry_run_asks_nobody_and_says_what_would_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    door = Door({**DONE, "outcome": {**OUTCOME, "redacted": 0, "failed": 0}})

    typed_at(door, admin, "user", "redact-all", USER, "--dry-run")

    assert door.asked[0] == ("POST", PATH, {"rooms": [], "dry_run": True})
    told = f"Would redact 7 events of {USER}, who was in 3 rooms. Nothing was changed.\n"
    assert capsys.readouterr().out == told


def test_json_is_what_the_server_said(capsys: pytest.CaptureFixture[str]) -> None:
    typed_at(Door(DONE), admin, "user", "redact-all", USER, "--yes", "--json")

    assert json.loads(capsys.readouterr().out) == DONE


def test_a_job_that_fails_is_a_failure() -> None:
    with pytest.raises(CommandFailed, match="no disk"):
        typed_at(
            Door({**BEGUN, "status": "failed", "error": "no disk"}),
            admin,
            *("user", "redact-all", USER, "--yes"),
        )


def test_without_a_yes_nothing_is_begun() -> None:
    door = Door()

    with pytest.raises(CommandFailed, match="--yes"):
        typed_at(door, admin, "user", "redact-all", USER)

    assert door.asked == []
