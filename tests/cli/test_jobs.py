"""`homeserver admin job …`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.jobs import job
from tests.cli.commands import typed_at

# Any: JSON, throughout.
JOB: Mapping[str, Any] = {
    "job_id": "j1",
    "kind": "delete_room",
    "subject": "!a:b",
    "status": "active",
    "done": 2,
    "total": 5,
    "outcome": {},
    "error": None,
    "asked_by": None,
    "created_ts": 1_000,
    "changed_ts": 2_000,
}
FAILED: Mapping[str, Any] = {**JOB, "status": "failed", "error": "it is damaged"}


class TalkingDoor:
    """A door behind which each request has its answers, one after the other."""

    def __init__(self, answers: Mapping[str, list[Any]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        request = f"{method} {path.removeprefix(ADMIN_API)}"
        self.asked.append(request)
        left = self.answers[request]
        return 200, left.pop(0) if len(left) > 1 else left[0]


def test_jobs_are_listed_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    door = TalkingDoor({"GET /jobs?": [{"jobs": [JOB, FAILED]}], "GET /jobs?before=j1": [{"jobs": []}]})

    typed_at(door, job, "list")

    assert capsys.readouterr().out.splitlines() == [
        "j1 1970-01-01 00:00:01 UTC, delete_room of !a:b active, 2 of 5 done",
        "j1 1970-01-01 00:00:01 UTC, delete_room of !a:b failed: it is damaged, 2 of 5 done",
    ]


def test_only_those_are_listed_that_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    door = TalkingDoor({"GET /jobs?status=failed&subject=%21a%3Ab": [{"jobs": [FAILED]}]})

    typed_at(door, job, "list", "--status", "failed", "--of", "!a:b", "--limit", "1", "--json")

    assert json.loads(capsys.readouterr().out) == FAILED


def test_who_waits_is_told_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    done = {**JOB, "status": "complete", "done": 5}
    door = TalkingDoor({"GET /jobs/j1": [JOB, JOB, done]})

    typed_at(door, job, "show", "j1", "--wait")

    assert capsys.readouterr().out.endswith("delete_room of !a:b complete, 5 of 5 done\n")
    assert len(door.asked) == 3


def test_a_job_that_failed_fails_whoever_waits_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    door = TalkingDoor({"GET /jobs/j1": [FAILED]})

    typed_at(door, job, "show", "j1")
    with pytest.raises(CommandFailed, match="it is damaged"):
        typed_at(door, job, "show", "j1", "--wait")

    assert capsys.readouterr().out.count("failed") == 2


def test_nobody_waits_for_what_does_not_come_while_they_wait() -> None:
    waiting = {**JOB, "outcome": {"waits_for": "the server to run"}}
    door = TalkingDoor({"GET /jobs/j1": [JOB, waiting]})

    with pytest.raises(CommandFailed, match="waits for the server to run; it goes on by itself"):
        typed_at(door, job, "show", "j1", "--wait")


def test_a_job_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    door = TalkingDoor({"POST /jobs/j1/cancel": [{**JOB, "status": "cancelled"}]})

    typed_at(door, job, "cancel", "j1")

    assert capsys.readouterr().out == "The job j1 is cancelled.\n"
