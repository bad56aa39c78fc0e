"""`homeserver admin room alias …`."""

import json
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

ROOM = "!a:b.example"
PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example/aliases"
SALON, PUB = "#salon:b.example", "#pub:b.example"


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, room, "alias", *words)


def test_aliases_are_listed_with_the_main_one(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"aliases": [PUB, SALON], "canonical_alias": SALON}  # Any: JSON

    run(ScriptedDoor(**{PATH: (200, names)}), "list", ROOM)
    run(ScriptedDoor(**{PATH: (200, names)}), "list", ROOM, "--json")

    *told, first, second = capsys.readouterr().out.splitlines()
    assert told == [PUB, f"{SALON} (main)"]
    assert [json.loads(first), json.loads(second)] == [{"alias": PUB, "main": False}, {"alias": SALON, "main": True}]


def test_aliases_are_given_and_taken(capsys: pytest.CaptureFixture[str]) -> None:
    door, path = ScriptedDoor(), f"{PATH}/%23salon%3Ab.example"

    run(door, "add", ROOM, SALON, "--main")
    run(door, "remove", ROOM, SALON, "--dry-run")
    run(door, "remove", ROOM, SALON, "--yes")

    assert door.asked == [("PUT", path, {"main": True}), ("DELETE", path, None)]
    assert capsys.readouterr().out.splitlines() == [
        f"{SALON} leads to {ROOM}, as its main alias.",
        f"Would take {SALON} from {ROOM}. Nothing was changed.",
        f"{SALON} leads to no room any more.",
    ]
