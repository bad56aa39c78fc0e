"""`homeserver admin room hierarchy`."""

import json
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example/hierarchy"


def shown(room_id: str, *children: str, **more: Any) -> dict[str, Any]:  # Any: JSON
    state = [{"state_key": child} for child in children]
    return {"room_id": room_id, "num_joined_members": 2, "join_rule": "invite", "children_state": state, **more}


def test_rooms_are_printed_below_the_spaces_that_hold_them(capsys: pytest.CaptureFixture[str]) -> None:
    outer, inner = shown("!a:b.example", "!in:x", "!last:x", name="Outer"), shown("!in:x", "!deep:x", name="In\nner")
    deep, last = shown("!deep:x"), shown("!last:x", name="Last")
    door = ScriptedDoor(
        **{
            PATH: (200, {"rooms": [outer, inner], "next_batch": "t/1"}),
            f"{PATH}?from=t%2F1": (200, {"rooms": [deep, last]}),
        }
    )

    typed_at(door, room, "hierarchy", "!a:b.example")

    assert capsys.readouterr().out.splitlines() == [
        "!a:b.example: Outer, 2 members, invite",
        "  !in:x: In\\nner, 2 members, invite",
        "    !deep:x: without a name, 2 members, invite",
        "  !last:x: Last, 2 members, invite",
    ]


def test_it_is_said_how_deep_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    outer = shown("!a:b.example")
    door = ScriptedDoor(**{f"{PATH}?max_depth=0": (200, {"rooms": [outer]})})

    typed_at(door, room, "hierarchy", "!a:b.example", "--depth", "0", "--json")

    assert json.loads(capsys.readouterr().out) == outer
