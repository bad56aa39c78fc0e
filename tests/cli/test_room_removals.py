"""`homeserver admin room kick`, `ban`, `unban`, `redact`."""

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
EVE = "@eve:evil.example"
MEMBERS = f"{ADMIN_API}/members"
REFUSED = (403, {"errcode": "M_FORBIDDEN", "error": "no power"})
PATTERN = "@*:evil.example"
LOOK = f"{MEMBERS}?pattern=%40%2A%3Aevil.example&removal=ban"


def hit(user_id: str, room_id: str = ROOM, *, spared: bool = False) -> dict[str, Any]:
    return {"room_id": room_id, "user_id": user_id, "membership": "join", "spared": spared}


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, room, *words)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def acts(door: ScriptedDoor) -> list[Any]:
    return [asked for asked in door.asked if asked[0] != "GET"]


@pytest.mark.parametrize(("act", "done"), [("kick", "kicked"), ("ban", "banned"), ("unban", "unbanned")])
def test_one_user_is_removed_from_a_room_without_a_question(
    capsys: pytest.CaptureFixture[str], act: str, done: str
) -> None:
    door = ScriptedDoor()

    run(door, act, EVE, ROOM, "--reason", "spam")

    assert door.asked == [("POST", f"{PATH}/{act}", {"user_id": EVE, "reason": "spam"})]
    assert lines(capsys) == [f"{ROOM}: {EVE} {done}"]


def test_the_other_rooms_are_gone_through_although_one_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{f"{PATH}/ban": REFUSED})

    with pytest.raises(CommandFailed, match="1 time nobody could be banned"):
        run(door, "ban", EVE, ROOM, OTHER, "--json")

    first, second = map(json.loads, lines(capsys))
    assert (first["room_id"], first["done"]) == (ROOM, False)
    assert "no power" in first["reason"]
    assert (second["room_id"], second["done"], second["reason"]) == (OTHER, True, None)


def test_one_user_is_removed_everywhere_once_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    look = f"{MEMBERS}?user_id=%40eve%3Aevil.example&removal=ban"
    refused = {"room_id": OTHER, "user_id": EVE, "reason": "no power"}
    door = ScriptedDoor(
        **{
            look: (200, {"members": [hit(EVE), hit(EVE, OTHER)], "next": None}),
            f"{MEMBERS}/ban": (200, {"done": [hit(EVE)], "failed": [refused], "next": None}),
        }
    )

    run(door, "ban", EVE, "--all", "--dry-run")
    assert acts(door) == []
    assert lines(capsys)[-1] == "Would ban 1 user in 2 rooms. Nothing was changed."
    with pytest.raises(CommandFailed, match="1 time nobody could be banned"):
        run(door, "ban", EVE, "--all", "--yes")

    assert acts(door) == [("POST", f"{MEMBERS}/ban", {"user_id": EVE})]
    assert lines(capsys) == [f"{ROOM}: {EVE} banned", f"{OTHER}: {EVE} NOT banned: no power"]


def test_who_is_named_exactly_is_no_pattern() -> None:
    odd = "@*:evil.example"
    look = f"{MEMBERS}?user_id=%40%2A%3Aevil.example&removal=ban"
    done = {"done": [hit(odd)], "failed": [], "next": None}
    door = ScriptedDoor(**{look: (200, {"members": [hit(odd)], "next": None}), f"{MEMBERS}/ban": (200, done)})

    run(door, "ban", odd, "--all", "--exactly", "--yes")
    run(door, "ban", odd, ROOM, "--exactly")

    assert acts(door) == [("POST", f"{MEMBERS}/ban", {"user_id": odd}), ("POST", f"{PATH}/ban", {"user_id": odd})]


def test_a_dry_run_in_named_rooms_asks_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    run(door, "kick", EVE, ROOM, OTHER, "--dry-run")

    assert (door.asked, lines(capsys)) == ([], [f"Would kick {EVE} in 2 rooms. Nothing was changed."])


def test_a_dry_run_tells_whom_a_pattern_would_hit(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(
        **{
            LOOK: (200, {"members": [hit("@a:evil.example")], "next": "x="}),
            f"{LOOK}&from=x%3D": (200, {"members": [hit("@b:evil.example", spared=True)], "next": None}),
        }
    )

    run(door, "ban", PATTERN, "--all", "--dry-run")
    told = lines(capsys)
    run(door, "ban", PATTERN, "--all", "--dry-run", "--json")

    assert acts(door) == []
    assert told == [
        f"{ROOM}: @a:evil.example: join",
        f"{ROOM}: @b:evil.example: join; spared, as an administrator of this server",
        "Would ban 1 user in 1 room. Nothing was changed.",
    ]
    answer = json.loads(capsys.readouterr().out)
    assert (answer["pattern"], answer["dry_run"], len(answer["members"])) == (PATTERN, True, 2)


def test_all_whom_a_pattern_hits_are_banned_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"room_id": ROOM, "user_id": "@b:evil.example", "reason": "no power"}
    look = f"{MEMBERS}?pattern=%40%2A%3Aevil.example&includes_left=true&removal=ban&room_id=%21a%3Ab.example"
    steps = [
        (200, {"done": [hit("@a:evil.example")], "failed": [], "next": "x"}),
        (200, {"done": [], "failed": [refused], "next": None}),
    ]

    class Door(ScriptedDoor):
        def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
            answer = super().call(method, path, body)
            return steps.pop(0) if method == "POST" else answer

    door = Door(**{look: (200, {"members": [hit("@a:evil.example"), hit("@b:evil.example")], "next": None})})

    with pytest.raises(CommandFailed, match="1 time nobody could be banned"):
        run(door, "ban", PATTERN, ROOM, "--also-left", "--reason", "raid", "--yes")

    body = {"pattern": PATTERN, "includes_left": True, "reason": "raid", "rooms": [ROOM]}
    assert acts(door) == [("POST", f"{MEMBERS}/ban", body), ("POST", f"{MEMBERS}/ban", {**body, "from": "x"})]
    assert lines(capsys) == [f"{ROOM}: @a:evil.example banned", f"{ROOM}: @b:evil.example NOT banned: no power"]


def test_where_nobody_is_hit_nobody_is_asked_whether_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    sent = f"{PATH}/sent?pattern=%40%2A%3Aevil.example"
    door = ScriptedDoor(**{LOOK: (200, {"members": [], "next": None}), sent: (200, {"found": [], "next": None})})

    run(door, "ban", PATTERN, "--all")
    run(door, "redact", ROOM, "--by", PATTERN)

    assert acts(door) == []
    assert lines(capsys) == ["There is nobody to ban.", "There is nothing to redact."]


@pytest.mark.parametrize("words", [(EVE,), (EVE, ROOM, "--all")])
def test_either_rooms_are_named_or_all(words: tuple[str, ...]) -> None:
    door = ScriptedDoor()

    with pytest.raises(click.UsageError, match="Name rooms, or say --all"):
        run(door, "kick", *words)

    assert door.asked == []


def test_what_is_no_user_id_is_not_asked_for() -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match="eve is no user ID"):
        run(door, "kick", "eve", ROOM)

    assert door.asked == []


def test_who_names_the_room_first_is_told_the_order() -> None:
    door = ScriptedDoor()

    for act in ("kick", "ban", "unban"):
        with pytest.raises(CommandFailed, match=f"say whom first.*room {act} USER ROOM"):
            run(door, act, ROOM, EVE)

    assert door.asked == []


def test_one_event_is_redacted_once_it_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{PATH}/redact/%24event"
    door = ScriptedDoor(**{path: (200, {"event_id": "$redaction"})})

    run(door, "redact", ROOM, "$event", "--dry-run")
    run(door, "redact", ROOM, "$event", "--reason", "spam", "--yes", "--json")

    assert acts(door) == [("POST", path, {"reason": "spam"})]
    sentence, answer = lines(capsys)
    assert sentence == f"Would redact $event in {ROOM}. Nothing was changed."
    assert json.loads(answer) == {"room_id": ROOM, "event_id": "$event", "redaction": "$redaction"}


def test_what_a_pattern_said_in_a_time_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    sent = {"event_id": "$1", "sender": "@a:evil.example", "type": "m.room.message", "origin_server_ts": 0}
    look = f"{PATH}/sent?pattern=%40%2A%3Aevil.example&since_ms=1700000000000"
    done = {"done": [sent], "failed": [{"event_id": "$2", "reason": "no power"}], "next": None}
    door = ScriptedDoor(**{look: (200, {"found": [sent], "next": None}), f"{PATH}/redact": (200, done)})
    words = ("redact", ROOM, "--by", PATTERN, "--since", "2023-11-14T22:13:20")

    run(door, *words, "--dry-run")
    looked_at = lines(capsys)
    with pytest.raises(CommandFailed, match="1 event could not be redacted"):
        run(door, *words, "--yes")

    assert looked_at == [
        "$1 @a:evil.example m.room.message: 1970-01-01 00:00:00 UTC",
        f"Would redact 1 event by {PATTERN} in {ROOM}. Nothing was changed.",
    ]
    assert acts(door) == [("POST", f"{PATH}/redact", {"pattern": PATTERN, "since_ms": 1_700_000_000_000})]
    assert lines(capsys) == ["$1 @a:evil.example m.room.message: redacted", "$2: NOT redacted: no power"]


@pytest.mark.parametrize("words", [(), ("$event", "--by", EVE), ("$event", "--since", "2h")])
def test_an_event_is_named_or_a_user(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        run(ScriptedDoor(), "redact", ROOM, *words)
