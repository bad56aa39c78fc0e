"""`homeserver admin server retention` and `room retention`."""

from typing import Any

import click
import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.retention import room_retention, server_retention
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

DAY_MS = 86_400_000
ROOM = "/_columba/admin/v1/rooms/%21a%3Ab/retention"
SERVER = "/_columba/admin/v1/retention"
topic = click.Group(commands={"server": server_retention, "room": room_retention})


def policy(**changes: Any) -> dict[str, Any]:  # Any: JSON
    return {"is_enabled": True, "default_ms": None, "shortest_ms": DAY_MS, "longest_ms": None, **changes}


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (policy(is_enabled=False), "Rooms keep what is said in them for ever: retention.enabled is false."),
        (
            policy(),
            "Rooms keep what is said in them for ever; 2 rooms say something else, which counts for 1 days at least.",
        ),
        (
            policy(default_ms=30 * DAY_MS, longest_ms=3_600_000),
            "Rooms keep what is said in them for 30 days; 2 rooms say something else, which counts for 1 days at "
            "least, and for 1 hours at most.",
        ),
    ],
)
def test_the_policy_of_the_server_is_told(capsys: pytest.CaptureFixture[str], told: dict[str, Any], line: str) -> None:
    door = ScriptedDoor(**{SERVER: (200, {"policy": told, "rooms": 2, "removed": 7})})

    typed_at(door, topic, "server")

    assert capsys.readouterr().out == f"{line} 7 events were removed so far.\n"


@pytest.mark.parametrize(
    ("words", "bodies"),
    [([], []), (["--max-lifetime", "7d"], [{"max_lifetime": 7 * DAY_MS}]), (["--clear"], [{"max_lifetime": None}])],
)
def test_a_room_is_set_and_shown(capsys: pytest.CaptureFixture[str], words: list[str], bodies: list[Any]) -> None:
    said = {"said_ms": 90_000, "lifetime_ms": None, "removed": 0}
    door = ScriptedDoor(**{ROOM: (200, said), f"PUT {ROOM}": (200, {"event_id": "$said"})})

    typed_at(door, topic, "room", "!a:b", *words)

    assert [body for method, _, body in door.asked if method == "PUT"] == bodies
    assert capsys.readouterr().out == (
        "!a:b says 90 seconds; here it keeps what is said for ever. 0 events were removed so far.\n"
    )


def test_two_wishes_at_once_are_bad_usage() -> None:
    with pytest.raises(click.UsageError):
        typed_at(ScriptedDoor(), topic, "room", "!a:b", "--clear", "--max-lifetime", "1d")


def test_no_time_at_all_is_not_asked_for() -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match="for some time"):
        typed_at(door, topic, "room", "!a:b", "--max-lifetime", "0d")

    assert door.asked == []
