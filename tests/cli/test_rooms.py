"""`homeserver admin room …`."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.rooms import room
from tests.cli.commands import AdminServer, typed, typed_at
from tests.server import homeserver

ROOM = "!a:b.example"
CHECKED = {"events": 5, "nodes": 9, "members": 2, "unverified": 0}
SOUND = {"room_id": ROOM, "finished": True, "fault": None, "checked": CHECKED, "partial": False, "audit": None}
EVENT = {
    "event_id": "$b",
    "type": "m.room.message",
    "sender": "@alice:b.example",
    "state_key": None,
    "verdict": "accepted",
    "form": "whole",
    "prev_event_ids": ["$a"],
}


class ScriptedDoor:
    """A door behind which the answers are known."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        assert (method, body) == ("GET", None)
        self.asked.append(path)
        return 200, self.answers[path.removeprefix(ADMIN_API)]


def run(door: ScriptedDoor, *arguments: str) -> None:
    typed_at(door, room, *arguments)


def test_a_sound_room_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedDoor({"/rooms/%21a%3Ab.example/verify": SOUND}), "verify", ROOM)

    assert capsys.readouterr().out == "!a:b.example: sound: 5 events, 2 members\n"


def test_a_room_whose_members_are_not_all_known_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedDoor({"/rooms/%21a%3Ab.example/verify": {**SOUND, "partial": True}}), "verify", ROOM)

    assert capsys.readouterr().out == "!a:b.example: sound: 5 events, 2 members; not all members are known here yet\n"


def test_an_audit_is_gone_on_with_until_it_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/rooms/%21a%3Ab.example/verify"
    unfinished = {**SOUND, "finished": False, "audit": "x=1"}
    checked = {**CHECKED, "unverified": 3}
    door = ScriptedDoor({path: unfinished, f"{path}?audit=x%3D1": {**SOUND, "checked": checked}})

    run(door, "verify", ROOM)

    assert capsys.readouterr().out == (
        "!a:b.example: sound: 5 events, 2 members; 3 signatures by keys that this server does not have\n"
    )


def test_a_room_that_is_not_sound_fails_the_command_and_the_fault_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"subject": "$b", "reason": "its content hash is wrong"}
    door = ScriptedDoor({"/rooms/%21a%3Ab.example/verify": {**SOUND, "fault": fault}})

    with pytest.raises(CommandFailed, match="the room is not sound") as failed:
        run(door, "verify", ROOM)

    assert failed.value.exit_code == 1
    assert capsys.readouterr().out == "!a:b.example: NOT SOUND: $b: its content hash is wrong\n"


def test_every_room_is_gone_through_although_one_is_not_sound(capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"subject": "the room", "reason": "its depth is said to be 7, and is 8"}
    door = ScriptedDoor(
        {
            "/verifiable_rooms?after=": {"room_ids": ["!a:b", "!b:b"]},
            "/verifiable_rooms?after=%21b%3Ab": {"room_ids": ["!c:b"]},
            "/verifiable_rooms?after=%21c%3Ab": {"room_ids": []},
            "/rooms/%21a%3Ab/verify": SOUND,
            "/rooms/%21b%3Ab/verify": {**SOUND, "fault": fault},
            "/rooms/%21c%3Ab/verify": SOUND,
        }
    )

    with pytest.raises(CommandFailed, match="1 of 3 rooms are not sound"):
        run(door, "verify", "--all", "--json")

    assert [json.loads(line)["fault"] for line in capsys.readouterr().out.splitlines()] == [None, fault, None]


@pytest.mark.parametrize("arguments", [[], [ROOM, "--all"]])
def test_either_one_room_is_named_or_all(arguments: list[str]) -> None:
    with pytest.raises(CommandFailed, match="name one room, or say --all"):
        run(ScriptedDoor({}), "verify", *arguments)


def graph_door() -> ScriptedDoor:
    path = "/rooms/%21a%3Ab.example/graph"
    first = {**EVENT, "event_id": "$a", "prev_event_ids": []}
    return ScriptedDoor(
        {path: {"events": [first], "after": "e5"}, f"{path}?after=e5": {"events": [EVENT], "after": None}}
    )


def test_the_graph_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    run(graph_door(), "graph", ROOM)

    printed = capsys.readouterr().out
    assert printed.startswith('digraph "!a:b.example" {\n')
    assert '  "$b" -> "$a";\n' in printed
    assert printed.endswith("}\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    """A server that runs in the folder."""
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    server = AdminServer()
    server.answer = {"events": [EVENT], "after": None}
    with server.listening(tmp_path / "admin.sock"):
        yield server


def with_dot(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Ask for a drawing where `dot` is this script."""
    programs = folder / "programs"
    programs.mkdir()
    dot = programs / "dot"
    dot.write_text(f"#!/bin/sh\n{script}\n")
    dot.chmod(0o755)
    arguments = ("admin", "room", "graph", ROOM, "--svg", "room.svg", "-c", "homeserver.yaml")
    return typed(*arguments, folder=folder, path=f"{programs}:{os.environ['PATH']}")


def test_the_graph_is_drawn_by_graphviz(tmp_path: Path, server: AdminServer) -> None:
    done = with_dot(tmp_path, 'echo "<svg>$1"; cat')

    assert done.returncode == 0
    assert (tmp_path / "room.svg").read_text() == f"<svg>-Tsvg\n{done.stdout}"
    assert server.requests == [("GET", f"{ADMIN_API}/rooms/%21a%3Ab.example/graph", None)]


def test_what_graphviz_says_is_told_when_it_fails(tmp_path: Path, server: AdminServer) -> None:
    done = with_dot(tmp_path, "echo too large >&2; exit 3")

    assert done.returncode == 1
    assert done.stderr == "homeserver: Graphviz could not draw the graph: too large\n"
    assert not (tmp_path / "room.svg").exists()


def test_without_graphviz_nothing_is_asked_and_the_reason_is_clear(tmp_path: Path, server: AdminServer) -> None:
    arguments = ("admin", "room", "graph", ROOM, "--svg", "room.svg", "-c", "homeserver.yaml")

    done = typed(*arguments, folder=tmp_path, path=str(tmp_path))

    assert done.returncode == 1
    assert "Graphviz's `dot` is needed, which is not installed here" in done.stderr
    assert server.requests == []
