"""`homeserver admin room delete` and `shutdown`. What they do to a server is tried in tests/api."""

import json
from collections.abc import Mapping
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.room_deletion import delete, shutdown
from tests.cli.commands import typed_at
from tests.cli.test_jobs import JOB

# Any: JSON, throughout.
ROOM: Mapping[str, Any] = {"room_id": "!a:b", "name": None, "joined_local_members": 2, "events": 9}
OUTCOME: Mapping[str, Any] = {"left": 2, "events": 9, "failed_to_kick_users": [], "new_room_id": None}
DONE: Mapping[str, Any] = {**JOB, "status": "complete", "outcome": OUTCOME}


class RoomDoor:
    """A server with one room, or without it."""

    def __init__(self, ended: Mapping[str, Any] = DONE, *, is_known: bool = True) -> None:
        self.ended = ended
        self.is_known = is_known
        self.wishes: list[Any] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        if method == "POST":
            self.wishes.append(body)
            return 200, JOB
        if path.startswith(f"{ADMIN_API}/jobs"):
            return 200, self.ended
        return (200, ROOM) if self.is_known else (404, {"errcode": "M_NOT_FOUND", "error": "no"})


def run(door: RoomDoor, command: click.Command, *words: str) -> None:
    group = click.Group(commands=[command])
    typed_at(door, group, command.name or "", "!a:b", *words)


def test_a_dry_run_tells_of_the_room_and_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    door = RoomDoor()

    run(door, delete, "--dry-run")

    told = "Would delete the room !a:b with 2 members of this server and 9 events. Nothing was changed.\n"
    assert capsys.readouterr().out == told
    assert door.wishes == []


def test_what_was_done_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    door = RoomDoor()

    run(door, delete, "--yes", "--force", "--block")

    assert capsys.readouterr().out == "!a:b: 2 users left; 9 events were deleted.\n"
    assert door.wishes == [{"block": True, "force_purge": True, "purge": True}]


def test_who_could_not_leave_and_where_the_others_are_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = {"left": 2, "events": 0, "failed_to_kick_users": ["@c:b"], "new_room_id": "!new:b"}
    door = RoomDoor({**DONE, "outcome": outcome})

    run(door, shutdown, "--yes", "--new-room-by", "@root:b", "--name", "Closed", "--message", "Sorry")

    assert capsys.readouterr().out == "!a:b: 2 users left; could not leave: @c:b; they are in !new:b now.\n"
    new_room = {"new_room_user_id": "@root:b", "room_name": "Closed", "message": "Sorry"}
    assert door.wishes == [{"block": False, "purge": False, **new_room}]


def test_who_does_not_wait_is_told_of_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    run(RoomDoor(), delete, "--yes", "--no-wait", "--json")

    assert json.loads(capsys.readouterr().out) == JOB


def test_a_room_that_is_not_known_can_be_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    run(RoomDoor(is_known=False), delete, "--block", "--dry-run")

    assert "delete the room !a:b, which is not known here" in capsys.readouterr().out


def test_a_failure_fails_the_command() -> None:
    with pytest.raises(CommandFailed, match="damaged"):
        run(RoomDoor({**DONE, "status": "failed", "error": "damaged"}), delete, "--yes")
