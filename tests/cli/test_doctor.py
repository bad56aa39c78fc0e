"""`homeserver admin server doctor`."""

import json

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.server import server
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

PATH = "/_columba/admin/v1/doctor"
WELL = {"name": "disk", "level": "ok", "told": "9 GiB are free", "advice": None}
WARNED = {"name": "settings", "level": "warning", "told": "it is risky", "advice": "change it"}
WRONG = {"name": "keys", "level": "error", "told": "evil\u001b[2J", "advice": "look"}


def test_warnings_are_told_and_fail_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, {"findings": [WELL, WARNED]})})

    typed_at(door, server, "doctor")

    assert door.asked == [("POST", PATH, None)]
    assert capsys.readouterr().out == (
        "disk: ok: 9 GiB are free\nsettings: warning: it is risky. What to do: change it\n"
    )


def test_what_is_wrong_fails_the_command_once_all_was_told(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, {"findings": [WELL, WRONG]})})

    with pytest.raises(CommandFailed, match="1 of 2 things are wrong"):
        typed_at(door, server, "doctor")
    told = capsys.readouterr().out
    with pytest.raises(CommandFailed):
        typed_at(door, server, "doctor", "--json")

    assert told.splitlines()[1] == "keys: WRONG: evil\\u001b[2J. What to do: look"
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [WELL, WRONG]
