"""`homeserver admin room acl …`."""

import json
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

ROOM = "!a:b.example"
PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example/acl"
LISTS: dict[str, Any] = {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": False}  # Any: JSON


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, room, "acl", *words)


def test_the_lists_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedDoor(**{PATH: (200, {"acl": LISTS})}), "show", ROOM)
    told = capsys.readouterr().out.splitlines()
    run(ScriptedDoor(**{PATH: (200, {"acl": LISTS})}), "show", ROOM, "--json")
    run(ScriptedDoor(**{PATH: (200, {"acl": None})}), "show", ROOM)

    assert told == ["allowed: *", "denied: evil.example", "denied: servers without a name, by their IP address"]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"pattern": "*", "list": "allow"},
        {"pattern": "evil.example", "list": "deny"},
        {"allow_ip_literals": False},
    ]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("add", ROOM, "evil.example", "*.evil.example"), {"deny": ["evil.example", "*.evil.example"]}),
        (("add", ROOM, "--allow", "good.example"), {"allow": ["good.example"]}),
        (("add", ROOM, "--no-ip-literals"), {"deny": [], "allow_ip_literals": False}),
        (("remove", ROOM, "evil.example"), {"deny_no_more": ["evil.example"]}),
        (("remove", ROOM, "good.example", "--allow"), {"allow_no_more": ["good.example"]}),
    ],
)
def test_the_lists_are_changed(words: tuple[str, ...], body: dict[str, Any]) -> None:
    door = ScriptedDoor(**{PATH: (200, {"acl": LISTS})})

    run(door, *words)

    assert door.asked == [("POST", PATH, body)]


def test_something_has_to_change() -> None:
    with pytest.raises(click.UsageError):
        run(ScriptedDoor(), "add", ROOM)
