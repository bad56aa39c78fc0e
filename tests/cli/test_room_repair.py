"""`homeserver admin room compare` and `repair`. What they do to servers is tried elsewhere."""

from collections.abc import Mapping
from typing import Any

import click
import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.room_repair import compare, repair
from tests.cli.commands import typed_at
from tests.cli.test_jobs import JOB

# Any: JSON, throughout.


def view(finding: str = "agrees", **others: Any) -> dict[str, Any]:
    return {"server": "one.example", "finding": finding, "newer": [], **others}


class ComparingDoor:
    """A server that has asked others."""

    def __init__(self, *views: dict[str, Any]) -> None:
        self.views = views
        self.asked: list[Any] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        told = [f"{one['server']}: {one['finding']}\x1b[2J" for one in self.views]
        return 200, {"room_id": "!a:b", "servers": self.views, "explanation": told}


def run(door: ComparingDoor, *words: str) -> None:
    typed_at(door, click.Group(commands=[compare]), "compare", "!a:b", *words)


def test_that_others_agree_is_told_and_nothing_in_it_speaks_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    door = ComparingDoor(view())

    run(door, "--server", "one.example")

    assert capsys.readouterr().out == "one.example: agrees\\u001b[2J\n"
    assert door.asked == [("POST", "/_columba/admin/v1/rooms/%21a%3Ab/comparison", {"servers": ("one.example",)})]


@pytest.mark.parametrize(
    "views",
    [[view("differs")], [view(), view("lacks ours")], [view(newer=["$e"])], [view("unreachable"), view("refused")]],
)
def test_it_ends_otherwise_where_somebody_is_apart_or_nobody_answers(views: list[dict[str, Any]]) -> None:
    with pytest.raises(CommandFailed):
        run(ComparingDoor(*views))


def test_silence_of_some_is_no_fault_and_no_other_server_is_none() -> None:
    run(ComparingDoor(view(), view("unreachable")))
    run(ComparingDoor())


class RepairingDoor:
    """A server that has repaired a room."""

    def __init__(self, **outcome: Any) -> None:
        sound: dict[str, Any] = {"dry_run": False, "fault": None, "remaining_fault": None, "done": [], "not": []}
        self.job = {**JOB, "status": "complete", "outcome": {**sound, **outcome}}
        self.asked: list[Any] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        return 200, self.job


def run_repair(door: RepairingDoor, *words: str) -> None:
    typed_at(door, click.Group(commands=[repair]), "repair", "!a:b", *words)


def test_what_was_done_is_told_and_what_was_not(capsys: pytest.CaptureFixture[str]) -> None:
    run_repair(RepairingDoor(fault="the room: odd", done=["edges: 2 rows put right"], **{"not": ["no server has $e"]}))

    assert capsys.readouterr().out.splitlines() == [
        "Not sound: the room: odd",
        "Done: edges: 2 rows put right",
        "Not done: no server has $e",
        "It is sound now.",
    ]


def test_a_room_that_is_still_not_sound_is_a_failure() -> None:
    with pytest.raises(CommandFailed):
        run_repair(RepairingDoor(fault="the room: odd", remaining_fault="the room: odd"))


def test_a_dry_run_says_that_nothing_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    door = RepairingDoor(dry_run=True, done=["edges: 2 rows would be put right"])

    run_repair(door, "--dry-run")

    assert door.asked[0] == ("POST", "/_columba/admin/v1/rooms/%21a%3Ab/repair", {"dry_run": True})
    assert capsys.readouterr().out.endswith("edges: 2 rows would be put right\nNothing was changed.\n")
