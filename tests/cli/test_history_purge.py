"""`homeserver admin room purge-history`. What it does to a server is tried in tests/api."""

from collections.abc import Mapping
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.history_purge import purge_history
from tests.cli.commands import typed_at
from tests.cli.test_jobs import JOB
from tests.cli.test_room_deletion import ROOM

# Any: JSON, throughout.
DONE: Mapping[str, Any] = {**JOB, "status": "complete", "outcome": {"events": 7}}


class HistoryDoor:
    """A server with one room."""

    def __init__(self) -> None:
        self.wishes: list[Any] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        if method == "POST":
            self.wishes.append(body)
            return 200, JOB
        return 200, DONE if path.startswith(f"{ADMIN_API}/jobs") else ROOM


def run(door: HistoryDoor, *words: str) -> None:
    typed_at(door, click.Group(commands=[purge_history]), "purge-history", "!a:b", *words)


def test_a_dry_run_tells_what_would_go(capsys: pytest.CaptureFixture[str]) -> None:
    door = HistoryDoor()

    run(door, "--upto", "$e", "--local", "--dry-run")

    told = "Would delete the messages in !a:b, which has 9 events, before $e. Nothing was changed.\n"
    assert capsys.readouterr().out == told
    assert door.wishes == []


def test_what_went_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    door = HistoryDoor()

    run(door, "--upto", "$e", "--yes")
    run(door, "--older-than", "30d", "--yes", "--no-wait")

    assert capsys.readouterr().out.splitlines() == [
        "!a:b: 7 events were deleted.",
        "The server has begun to delete history of !a:b: job j1.",
    ]
    assert door.wishes[0] == {"delete_local_events": False, "purge_up_to_event_id": "$e"}
    assert door.wishes[1]["purge_up_to_ts"] > 1_600_000_000_000


def test_one_of_the_two_has_to_be_said() -> None:
    for words in ((), ("--upto", "$e", "--older-than", "1d")):
        with pytest.raises(CommandFailed, match="up to where"):
            run(HistoryDoor(), *words, "--yes")
