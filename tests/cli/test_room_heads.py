"""`homeserver admin room heads`."""

import json

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example/forward_extremities"
HEAD = {"event_id": "$one", "depth": 7, "origin_server_ts": 1_700_000_000_000, "received_position": 5}


def test_heads_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, {"count": 1, "results": [HEAD]})})

    typed_at(door, room, "heads", "!a:b.example")
    typed_at(door, room, "heads", "!a:b.example", "--json")

    line, as_json = capsys.readouterr().out.splitlines()
    assert line == "$one: depth 7, 2023-11-14 22:13:20 UTC"
    assert json.loads(as_json) == HEAD


def test_heads_are_made_one(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, {"deleted": 3})})

    typed_at(door, room, "heads", "!a:b.example", "--join")

    assert door.asked == [("DELETE", PATH, None)]
    assert capsys.readouterr().out == "!a:b.example has 3 heads fewer.\n"
