"""`homeserver admin federation …`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from homeserver.cli.admin_client import ADMIN_API
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.federation import federation
from tests.cli.commands import typed_at

# Any: JSON, throughout.

ALLOWED = "*.bad.example is allowed, and no server but those that are allowed. `federation forget` takes that back."
IDLE: dict[str, Any] = {
    "destination": "near.example",
    "is_blocked": False,
    "last_success_ms": None,
    "failing_since_ms": None,
    "last_attempt_ms": None,
    "next_attempt_ms": None,
    "failures": 0,
    "positions": 0,
    "rooms": 0,
    "messages": 0,
    "has_transaction": False,
    "tls_group": None,
}
FAILING: dict[str, Any] = {
    **IDLE,
    "destination": "far.example",
    "last_success_ms": 1_700_000_000_123,
    "failing_since_ms": 1_700_000_100_000,
    "last_attempt_ms": 1_700_000_150_000,
    "next_attempt_ms": 1_700_000_200_000,
    "failures": 3,
    "positions": None,
    "rooms": 7,
    "messages": 2,
    "tls_group": "X25519MLKEM768",
}
TOLD = (
    "far.example: does not answer since 2023-11-14 22:15:00 UTC (3 times); asked last at 2023-11-14 22:15:50 UTC; "
    "asked again at 2023-11-14 22:16:40 UTC; last took something at 2023-11-14 22:13:20 UTC; "
    "lacks more than 1000 changes, in 7 rooms; 2 messages for devices wait; keys exchanged by X25519MLKEM768\n"
)
LIST = f"{ADMIN_API}/federation/destinations?after="


class ScriptedDoor:
    """A door behind which these answers are given, by paths, or by methods and paths."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._answers = answers

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        answer: tuple[int, Any] = self._answers.get(f"{method} {path}", self._answers.get(path, (200, {})))
        return answer


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, federation, *words)


def pages() -> ScriptedDoor:
    """A door behind which there are two servers, on two pages."""
    return ScriptedDoor(
        **{
            LIST: (200, {"destinations": [FAILING]}),
            f"{LIST}far.example": (200, {"destinations": [IDLE]}),
            f"{LIST}near.example": (200, {"destinations": []}),
        }
    )


def test_all_servers_are_told_of_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    run(pages(), "status")

    assert capsys.readouterr().out == f"{TOLD}near.example: nothing was sent yet\n"


def test_those_that_fail_may_be_asked_for_alone_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(pages(), "status", "--failing", "--json")

    assert json.loads(capsys.readouterr().out) == FAILING


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (FAILING, TOLD),
        ({**IDLE, "is_blocked": True}, "near.example: blocked\n"),
        (
            {**IDLE, "last_success_ms": 1_700_000_000_000, "positions": 2, "rooms": 1},
            "near.example: answers; last took something at 2023-11-14 22:13:20 UTC; lacks 2 changes, in 1 rooms\n",
        ),
        ({**FAILING, "failures": 1}, TOLD.replace("3 times", "1 time")),
        ({**FAILING, "last_attempt_ms": None}, TOLD.replace("asked last at 2023-11-14 22:15:50 UTC; ", "")),
    ],
)
def test_one_server_is_told_of(capsys: pytest.CaptureFixture[str], status: Any, told: str) -> None:
    path = f"{ADMIN_API}/federation/destinations/far.example%3A8448"

    run(ScriptedDoor(**{path: (200, status)}), "status", "far.example:8448")

    assert capsys.readouterr().out == told


def test_a_server_that_is_not_known_is_a_failure() -> None:
    path = f"{ADMIN_API}/federation/destinations/far.example"

    with pytest.raises(CommandFailed, match="nothing of that one"):
        run(
            ScriptedDoor(**{path: (404, {"errcode": "M_NOT_FOUND", "error": "knows nothing of that one"})}),
            "status",
            "far.example",
        )


def test_the_rooms_shared_with_a_server_are_told_of_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{ADMIN_API}/federation/destinations/far.example/rooms?from="
    one, other = {"room_id": "!one:x", "stream_ordering": 7}, {"room_id": "!other:x", "stream_ordering": None}
    door = ScriptedDoor(
        **{
            f"{path}0": (200, {"rooms": [one], "total": 2, "next_token": "1"}),
            f"{path}1": (200, {"rooms": [other], "total": 2}),
        }
    )

    run(door, "rooms", "far.example")

    assert capsys.readouterr().out == "!one:x: delivered up to: 7\n!other:x: delivered up to: nothing yet\n"


def test_a_server_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    run(door, "retry", "far.example")

    assert door.asked == [("POST", f"{ADMIN_API}/federation/destinations/far.example/retry", None)]
    assert capsys.readouterr().out == "far.example is asked now, if something waits for it.\n"


@pytest.mark.parametrize(
    ("command", "request_", "told"),
    [
        ("block", ("PUT", {"is_blocked": True}), "*.bad.example is blocked.\n"),
        ("allow", ("PUT", {"is_blocked": False}), f"{ALLOWED}\n"),
        ("forget", ("DELETE", None), "There is no rule for *.bad.example any more.\n"),
    ],
)
def test_rules_are_made_and_taken_back(
    capsys: pytest.CaptureFixture[str], command: str, request_: tuple[str, Any], told: str
) -> None:
    door = ScriptedDoor()

    run(door, command, "*.bad.example")

    method, body = request_
    assert door.asked == [(method, f"{ADMIN_API}/federation/rules/%2A.bad.example", body)]
    assert capsys.readouterr().out == told


def test_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rules = [{"pattern": "*.bad.example", "is_blocked": True}, {"pattern": "*.org", "is_blocked": False}]

    run(ScriptedDoor(**{f"{ADMIN_API}/federation/rules": (200, {"rules": rules})}), "rules")

    assert capsys.readouterr().out == "*.bad.example blocked\n*.org allowed\n"


def test_the_way_to_a_server_is_told_step_by_step_and_fails_when_one_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = {"name": "keys", "is_ok": True, "told": "ed25519:a"}
    bad = {"name": "clock", "is_ok": False, "told": "7200 s ahead\x1b[31m"}
    path = f"{ADMIN_API}/federation/destinations/far.example/test"

    run(ScriptedDoor(**{path: (200, {"steps": [good]})}), "test", "far.example")
    with pytest.raises(CommandFailed, match=r"1 of 2 steps towards far\.example went wrong"):
        run(ScriptedDoor(**{path: (200, {"steps": [good, bad]})}), "test", "far.example")

    assert capsys.readouterr().out == (
        "keys: ok: ed25519:a\nkeys: ok: ed25519:a\nclock: WRONG: 7200 s ahead\\u001b[31m\n"
    )


LIMIT = f"{ADMIN_API}/federation/limits/far.example"
COUNTS = {
    "server": "far.example",
    "limits": {
        "federation": {"rate_hz": 50.0, "burst": 200, "is_own": False},
        "joins_by_server": {"rate_hz": 0.5, "burst": 3, "is_own": True},
    },
}


def test_what_counts_for_a_server_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{LIMIT: (200, COUNTS)})

    run(door, "limit", "far.example")

    assert door.asked == [("GET", LIMIT, None)]
    assert capsys.readouterr().out == (
        "federation: 200 at once, then 50 a second\njoins_by_server: 3 at once, then 0.5 a second, for this server\n"
    )


def test_limits_of_a_server_are_set_and_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{LIMIT: (200, COUNTS)})

    run(door, "limit", "far.example", "--set", "joins_by_server", "0.5", "3", "--reset", "federation", "--json")

    changes = {"joins_by_server": {"rate_hz": 0.5, "burst": 3}, "federation": None}
    assert door.asked == [("PUT", LIMIT, {"limits": changes})]
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"name": "federation", "rate_hz": 50.0, "burst": 200, "is_own": False}


def test_all_limits_of_single_servers_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"server": "far.example", "name": "federation", "rate_hz": 0.5, "burst": 3, "written_ms": 1}
    door = ScriptedDoor(**{f"{ADMIN_API}/federation/limits": (200, {"limits": [one]})})

    run(door, "limits")

    assert capsys.readouterr().out == "far.example: federation: 3 at once, then 0.5 a second\n"
