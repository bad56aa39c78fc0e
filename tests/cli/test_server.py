"""`homeserver admin server …`."""

import json
from typing import Any

import click
import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.server import server
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

# Any: JSON, throughout.

TOKENS = "/_synapse/admin/v1/registration_tokens"
OPEN: dict[str, Any] = {"token": "club", "uses_allowed": None, "pending": 0, "completed": 3, "expiry_time": None}
LIMITED: dict[str, Any] = {
    **OPEN,
    "token": "carol",
    "uses_allowed": 1,
    "completed": 0,
    "expiry_time": 1_700_000_000_123,
}


@pytest.mark.parametrize(("words", "query"), [([], ""), (["--valid"], "?valid=true"), (["--used-up"], "?valid=false")])
def test_tokens_are_listed(capsys: pytest.CaptureFixture[str], words: list[str], query: str) -> None:
    door = ScriptedDoor(**{TOKENS + query: (200, {"registration_tokens": [OPEN, LIMITED]})})

    typed_at(door, server, "tokens", "list", *words)

    assert capsys.readouterr().out == (
        "club: 3 accounts made\ncarol: 0 of 1 accounts made, ends 2023-11-14 22:13:20 UTC\n"
    )


def test_a_token_is_made_with_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{f"{TOKENS}/new": (200, LIMITED)})

    typed_at(door, server, "tokens", "create", "carol", "--uses", "1", "--expires-in", "7d", "--json")
    typed_at(door, server, "tokens", "create")

    (_, _, limited), (_, _, unlimited) = door.asked
    week_ms = 7 * 24 * 3600 * 1000
    now_ms = limited.pop("expiry_time") - week_ms
    assert limited == {"token": "carol", "uses_allowed": 1}
    assert now_ms > LIMITED["expiry_time"]
    assert unlimited == {"token": None, "uses_allowed": None, "expiry_time": None}
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == LIMITED


@pytest.mark.parametrize(
    "words", [["--expires-in", "7"], ["--expires-in", "d"], ["--expires-in", "-1d"], ["--uses", "0"]]
)
def test_a_limit_that_is_none_is_bad_usage(words: list[str]) -> None:
    door = ScriptedDoor()

    with pytest.raises(click.UsageError):
        typed_at(door, server, "tokens", "create", *words)

    assert door.asked == []


def test_a_token_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor(**{f"{TOKENS}/carol": (200, LIMITED), f"DELETE {TOKENS}/carol": (200, {})})

    typed_at(door, server, "tokens", "revoke", "carol", "--dry-run")
    typed_at(door, server, "tokens", "revoke", "carol", "--yes")

    assert [method for method, _, _ in door.asked] == ["GET", "GET", "DELETE"]
    assert capsys.readouterr().out == (
        "Would revoke the registration token carol. Nothing was changed.\ncarol is good for no account any more.\n"
    )


def test_a_token_that_is_not_there_is_not_asked_about() -> None:
    door = ScriptedDoor(**{f"{TOKENS}/carol": (404, {"errcode": "M_NOT_FOUND", "error": "There is none"})})

    with pytest.raises(CommandFailed, match="There is none"):
        typed_at(door, server, "tokens", "revoke", "carol")


def test_the_server_says_something_to_a_user_once(capsys: pytest.CaptureFixture[str]) -> None:
    class Door(ScriptedDoor):
        def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
            self.asked.append((method, path, body))
            return 200, {"event_id": "$told"}

    door = Door()

    typed_at(door, server, "notice", "@bob:example.org", "We move.")
    typed_at(door, server, "notice", "@bob:example.org", "We move.", "--json")

    (method, path, body), (_, other, _) = door.asked
    assert (method, body) == (
        "PUT",
        {"user_id": "@bob:example.org", "content": {"msgtype": "m.text", "body": "We move."}},
    )
    assert path.startswith("/_columba/admin/v1/server_notices/")
    assert path != other
    told = {"user_id": "@bob:example.org", "event_id": "$told"}
    assert capsys.readouterr().out == f"@bob:example.org was told.\n{json.dumps(told)}\n"


ANNOUNCEMENT: dict[str, Any] = {
    "job_id": "a",
    "kind": "announcement",
    "subject": "users",
    "status": "active",
    "error": None,
    "done": 0,
    "total": None,
    "outcome": {},
}


@pytest.mark.parametrize("words", [("notice", "@bob:example.org"), ("announce", "--yes")])
def test_nothing_is_said_to_nobody(words: tuple[str, ...]) -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match="there is nothing to say"):
        typed_at(door, server, *words, " ")

    assert door.asked == []


def test_all_users_are_told_after_a_question_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/_columba/admin/v1/server_announcements"
    done = {**ANNOUNCEMENT, "status": "complete", "done": 4, "outcome": {"told": 3, "failed": 1}}
    door = ScriptedDoor(**{path: (200, ANNOUNCEMENT), "/_columba/admin/v1/jobs/a": (200, done)})

    typed_at(door, server, "announce", "We move.", "--dry-run")
    typed_at(door, server, "announce", "We move.", "--yes", "--no-wait")
    typed_at(door, server, "announce", "We move.", "--yes")

    body = {"content": {"msgtype": "m.text", "body": "We move."}}
    assert door.asked == [("POST", path, body), ("POST", path, body), ("GET", "/_columba/admin/v1/jobs/a", None)]
    assert capsys.readouterr().out.splitlines() == [
        "Would say this to all users of the server. Nothing was changed.",
        "The server has begun to tell all users: job a.",
        "3 users were told, 1 could not be.",
    ]


def test_an_announcement_that_ends_early_fails_the_command() -> None:
    path = "/_columba/admin/v1/server_announcements"
    failed = {**ANNOUNCEMENT, "status": "failed", "error": "the name is taken"}

    with pytest.raises(CommandFailed, match="the job a failed: the name is taken"):
        typed_at(ScriptedDoor(**{path: (200, failed)}), server, "announce", "x", "--yes")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_document_of_what_can_be_asked_is_printed(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    document = {"openapi": "3.1.0", "paths": {"/_columba/admin/v1/status": {"get": {"summary": "Tells — all."}}}}

    typed_at(ScriptedDoor(**{"/_columba/admin/v1/openapi.json": (200, document)}), server, "openapi", *words)

    printed = capsys.readouterr().out
    assert json.loads(printed) == document
    assert (len(printed.splitlines()) == 1) is bool(words)
