"""`homeserver admin room mute`, `set-power`, `make-admin`, `join`, `block`, `publish`, `upgrade`, `tombstone`."""

import json
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.rooms import room
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

# Any: JSON, throughout.

ROOM, OTHER = "!a:b.example", "!c:b.example"
PATH, OTHER_PATH = f"{ADMIN_API}/rooms/%21a%3Ab.example", f"{ADMIN_API}/rooms/%21c%3Ab.example"
BOB = "@bob:b.example"
AS_MEMBER = f"{PATH}/members/%40bob%3Ab.example"
FOUND: dict[str, Any] = {
    "room_id": ROOM,
    "name": "Sal\x1bon",
    "canonical_alias": None,
    "joined_members": 3,
    "version": "10",
}


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, room, *words)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_users_are_muted(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{f"{AS_MEMBER}/mute": (200, {"level": -1})})

    run(door, "mute", ROOM, BOB)

    assert door.asked == [("POST", f"{AS_MEMBER}/mute", None)]
    assert lines(capsys) == [f"{BOB} is muted, at power level -1."]


@pytest.mark.parametrize(("written", "sent"), [("50", 50), ("-5", -5), ("default", None)])
def test_a_level_may_be_below_zero_or_that_of_everybody(
    capsys: pytest.CaptureFixture[str], written: str, sent: int | None
) -> None:
    door = ScriptedDoor(**{f"{AS_MEMBER}/power": (200, {"level": sent or 0})})

    run(door, "set-power", ROOM, BOB, written)

    assert door.asked == [("PUT", f"{AS_MEMBER}/power", {"level": sent})]
    assert lines(capsys) == [f"{BOB} has power level {sent or 0} in {ROOM}."]


def test_what_is_no_level_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="write a number, or default"):
        run(ScriptedDoor(), "set-power", ROOM, BOB, "much")


def test_a_room_is_recovered_and_users_are_brought_in(capsys: pytest.CaptureFixture[str]) -> None:
    join = f"{ADMIN_API}/join/%23salon%3Ab.example?via=c.example%3A8448"
    door = ScriptedDoor(**{join: (200, {"room_id": ROOM})})

    run(door, "make-admin", ROOM, BOB)
    run(door, "join", "#salon:b.example", BOB, "--via", "c.example:8448")

    assert door.asked == [
        ("POST", f"{PATH}/make_room_admin", {"user_id": BOB}),
        ("POST", join, {"user_id": BOB}),
    ]
    assert lines(capsys) == [f"{BOB} looks after {ROOM} now.", f"{BOB} is in {ROOM}."]


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        ("block", "block", {"block": True}),
        ("unblock", "block", {"block": False}),
        ("publish", "directory", {"published": True}),
        ("unpublish", "directory", {"published": False}),
    ],
)
def test_rooms_are_blocked_and_published_and_both_is_taken_back(command: str, path: str, body: dict[str, bool]) -> None:
    door = ScriptedDoor()

    run(door, command, ROOM, OTHER)

    assert door.asked == [("PUT", f"{PATH}/{path}", body), ("PUT", f"{OTHER_PATH}/{path}", body)]


def test_the_other_rooms_are_gone_through_although_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused = (404, {"errcode": "M_NOT_FOUND", "error": "no such room"})
    door = ScriptedDoor(**{f"{PATH}/directory": refused, f"{OTHER_PATH}/directory": (200, {"published": True})})

    with pytest.raises(CommandFailed, match="refused 1 of 2 times"):
        run(door, "publish", ROOM, OTHER, "--json")

    first, second = map(json.loads, lines(capsys))
    assert "no such room" in first["reason"]
    assert second == {"room_id": OTHER, "published": True}


def test_a_room_is_upgraded_once_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, FOUND), f"{PATH}/upgrade": (200, {"replacement_room": OTHER})})

    run(door, "upgrade", ROOM, "12", "--dry-run")
    asked = list(door.asked)
    run(door, "upgrade", ROOM, "12", "--creator", BOB, "--yes")

    assert asked == [("GET", PATH, None)]
    assert door.asked[-1] == ("POST", f"{PATH}/upgrade", {"new_version": "12", "additional_creators": [BOB]})
    what = rf"replace the room {ROOM} (Sal\u001bon) with 3 members of version 10 by one of version 12"
    assert lines(capsys) == [f"Would {what}. Nothing was changed.", f"{ROOM} is replaced by {OTHER}."]


def test_a_room_is_closed_once_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{PATH: (200, FOUND), f"{PATH}/tombstone": (200, {"event_id": "$t"})})

    run(door, "tombstone", ROOM, OTHER, "--dry-run")
    run(door, "tombstone", ROOM, OTHER, "--reason", "Moved", "--yes", "--json")

    acts = [asked for asked in door.asked if asked[0] != "GET"]
    assert acts == [("POST", f"{PATH}/tombstone", {"replacement_room": OTHER, "reason": "Moved"})]
    assert json.loads(lines(capsys)[1]) == {"event_id": "$t", "replacement_room": OTHER}
