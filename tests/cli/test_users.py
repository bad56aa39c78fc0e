"""`homeserver admin user …`."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.users import USERS, user
from tests.cli.commands import AdminServer, typed_at
from tests.cli.test_federation import ScriptedDoor
from tests.server import homeserver

# Any: JSON, throughout.

BOBS_ROW: dict[str, Any] = {
    "name": "@bob:example.org",
    "displayname": "Bob \x1b[31m",
    "avatar_url": None,
    "is_guest": False,
    "admin": False,
    "deactivated": False,
    "erased": False,
    "locked": False,
    "suspended": False,
    "shadow_banned": False,
    "creation_ts": 1_700_000_000_000,
    "last_seen_ts": None,
}
CAROLS_ROW: dict[str, Any] = {
    **BOBS_ROW,
    "name": "@carol:example.org",
    "admin": True,
    "locked": True,
    "last_seen_ts": 1_700_000_100_000,
}
DETAILS: dict[str, Any] = {"appservice_id": None, "own_rate_limit": None, "probation_until_ts": None}
BOB: dict[str, Any] = {**BOBS_ROW, **DETAILS}
CAROL: dict[str, Any] = {**CAROLS_ROW, **DETAILS}
AT_BOB = f"{USERS}/%40bob%3Aexample.org"
AT_CAROL = f"{USERS}/%40carol%3Aexample.org"
ASKED = "order_by=name&dir=f&locked=true&limit=500"


def run(door: ScriptedDoor, *words: str) -> None:
    typed_at(door, user, *words)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AdminServer]:
    """A server that runs in the folder."""
    homeserver("init", ".", "--server-name", "example.org", folder=tmp_path)
    server = AdminServer()
    server.answer = {"user_id": "@alice:example.org"}
    with server.listening(tmp_path / "admin.sock"):
        yield server


def register(folder: Path, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    return homeserver("admin", "user", "register", *arguments, "-c", "homeserver.yaml", folder=folder, text=text)


def test_an_account_is_made_with_the_password_of_the_standard_input(tmp_path: Path, server: AdminServer) -> None:
    done = register(tmp_path, "alice", "--password-stdin", text="a long password\n")

    assert (done.returncode, done.stdout) == (0, "Registered @alice:example.org.\n")
    body = {"username": "alice", "password": "a long password", "admin": False}
    assert server.requests == [("POST", "/_columba/admin/v1/users", body)]


def test_an_administrator_is_made_and_the_answer_printed_as_json(tmp_path: Path, server: AdminServer) -> None:
    done = register(tmp_path, "alice", "--admin", "--json", "--password-stdin", text="a long password")

    assert json.loads(done.stdout) == {"user_id": "@alice:example.org"}
    assert server.requests[0][2]["admin"] is True


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["alice"], "there is nobody to ask for a password: use --password-stdin"),
        (["--password-stdin"], "name the user: homeserver admin user register NAME"),
        (["alice", "--password-stdin"], "the standard input holds no password"),
    ],
)
def test_what_is_missing_is_never_made_up(
    tmp_path: Path, server: AdminServer, arguments: list[str], reason: str
) -> None:
    done = register(tmp_path, *arguments)

    assert (done.returncode, done.stderr) == (1, f"homeserver: {reason}\n")
    assert server.requests == []


def on_a_terminal(folder: Path, answers: list[str]) -> tuple[int, str]:
    """Run `homeserver admin user register alice` and type `answers`; the exit code and what it printed."""
    terminal, own_side = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "homeserver", "admin", "user", "register", "alice", "-c", "homeserver.yaml"],
        cwd=folder,
        stdin=own_side,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    ) as command:
        os.close(own_side)
        assert command.stderr is not None
        told = ""
        for answer in answers:
            while not told.endswith(": "):
                told += command.stderr.read(1)
            os.write(terminal, f"{answer}\n".encode())
            told += "> "
        out, rest = command.communicate(timeout=60)
    os.close(terminal)
    return command.returncode, told + rest + out


def test_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path, server: AdminServer) -> None:
    code, told = on_a_terminal(tmp_path, ["a long password", "a long password"])

    assert code == 0
    assert "a long password" not in told
    assert server.requests[0][2]["password"] == "a long password"


def test_two_different_passwords_make_no_account(tmp_path: Path, server: AdminServer) -> None:
    code, told = on_a_terminal(tmp_path, ["a long password", "a lung password"])

    assert code == 1
    assert "the two passwords differ; no account was made" in told
    assert server.requests == []


def two_pages(query: str = ASKED) -> ScriptedDoor:
    """A door behind which there are two accounts, on two pages."""
    return ScriptedDoor(
        **{
            f"{USERS}?{query}&from=0": (200, {"users": [BOBS_ROW], "total": 2, "next_token": "1"}),
            f"{USERS}?{query}&from=1": (200, {"users": [CAROLS_ROW], "total": 2}),
        }
    )


def test_accounts_are_listed_page_by_page_with_their_states(capsys: pytest.CaptureFixture[str]) -> None:
    run(two_pages(), "list")

    assert capsys.readouterr().out == (
        "@bob:example.org: active, made 2023-11-14 22:13:20 UTC\n"
        "@carol:example.org: admin, locked, made 2023-11-14 22:13:20 UTC, last seen 2023-11-14 22:15:00 UTC\n"
    )


def test_accounts_of_one_state_are_listed_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    run(two_pages(), "list", "--state", "locked", "--json")

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [CAROLS_ROW]


def test_no_more_is_read_than_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    query = "order_by=creation_ts&dir=b&locked=true&limit=500&name=o&admins=true"
    door = two_pages(query)

    run(door, "list", "--name", "o", "--state", "admin", "--sort", "creation_ts", "--reverse", "--limit", "1", "--json")

    assert [path for _, path, _ in door.asked] == [f"{USERS}?{query}&from=0", f"{USERS}?{query}&from=1"]
    assert json.loads(capsys.readouterr().out) == CAROLS_ROW


def shown_bob() -> ScriptedDoor:
    rooms = {"joined_rooms": ["!a:example.org", "!b:example.org"], "total": 2}
    return ScriptedDoor(
        **{
            AT_BOB: (200, BOB),
            f"{AT_BOB}/joined_rooms": (200, rooms),
            f"{AT_BOB}/devices": (200, {"devices": [], "total": 3}),
        }
    )


def test_one_account_is_shown_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    run(shown_bob(), "show", "@bob:example.org")

    assert capsys.readouterr().out.splitlines() == [
        "User: @bob:example.org",
        r"Name: Bob \u001b[31m",
        "State: active",
        "Made: 2023-11-14 22:13:20 UTC",
        "Sessions: 3",
        "Rooms: 2",
        "Is in: !a:example.org, !b:example.org",
    ]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"messages_per_second": 0.5, "burst_count": 3}, "0.5 times a second, 3 at once"),
        ({"messages_per_second": 0, "burst_count": 0}, "none: as fast as they like"),
    ],
)
def test_what_holds_somebody_back_is_shown(
    capsys: pytest.CaptureFixture[str], limit: dict[str, float], told: str
) -> None:
    held = {"locked": True, "suspended": True, "shadow_banned": True}
    more = {"own_rate_limit": limit, "probation_until_ts": 1_700_000_100_000}
    door = ScriptedDoor(
        **{
            AT_BOB: (200, {**BOB, **held, **more}),
            f"{AT_BOB}/joined_rooms": (200, {"joined_rooms": [], "total": 0}),
            f"{AT_BOB}/devices": (200, {"devices": [], "total": 0}),
        }
    )

    run(door, "show", "@bob:example.org")

    printed = capsys.readouterr().out.splitlines()
    assert "State: locked, suspended, shadow-banned" in printed
    assert f"Rate limit: {told}" in printed
    assert "On probation until: 2023-11-14 22:15:00 UTC" in printed


def test_one_account_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(shown_bob(), "show", "@bob:example.org", "--json")

    shown = json.loads(capsys.readouterr().out)
    assert shown == {**BOB, "sessions": 3, "joined_rooms": ["!a:example.org", "!b:example.org"]}


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("password",),
        ("deactivate", "--yes", "@carol:example.org"),
        ("suspend", "@carol:example.org"),
        ("lock", "@carol:example.org"),
        ("make-admin", "@carol:example.org"),
        ("sessions",),
        ("sign-out", "--all"),
        ("login-as",),
    ],
)
def test_what_is_no_user_id_is_asked_nowhere(words: tuple[str, ...]) -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match="bob is no user ID: write it whole"):
        run(door, *words, "bob")

    assert door.asked == []


def test_a_password_is_read_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door = ScriptedDoor()

    for words in ([], ["--keep-sessions", "--json"]):
        monkeypatch.setattr("sys.stdin", StringIO("a long password\n"))
        run(door, "password", "@bob:example.org", "--password-stdin", *words)

    path = f"{AT_BOB}/reset_password"
    assert door.asked == [
        ("POST", path, {"new_password": "a long password", "logout_devices": True}),
        ("POST", path, {"new_password": "a long password", "logout_devices": False}),
    ]
    sentence, answer = capsys.readouterr().out.splitlines()
    assert sentence == "@bob:example.org has another password, and all their devices are signed out."
    assert json.loads(answer) == {"user_id": "@bob:example.org", "logout_devices": False}


def test_no_password_is_made_up_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    door = ScriptedDoor()
    monkeypatch.setattr("sys.stdin", StringIO("a long password\n"))

    with pytest.raises(CommandFailed, match="use --password-stdin"):
        run(door, "password", "@bob:example.org")

    assert door.asked == []


@pytest.mark.parametrize(
    ("verb", "path", "body", "told"),
    [
        ("suspend", "suspend", {"suspended": True}, "is suspended"),
        ("unsuspend", "suspend", {"suspended": False}, "is suspended no more"),
        ("lock", "lock", {"locked": True}, "is locked"),
        ("unlock", "lock", {"locked": False}, "is locked no more"),
        ("make-admin", "admin", {"admin": True}, "is an administrator"),
        ("unmake-admin", "admin", {"admin": False}, "is no administrator"),
    ],
)
def test_what_is_true_of_accounts_is_changed(
    capsys: pytest.CaptureFixture[str], verb: str, path: str, body: dict[str, bool], told: str
) -> None:
    door = ScriptedDoor()

    run(door, verb, "@bob:example.org", "@carol:example.org")
    run(door, verb, "@bob:example.org", "--json")

    assert door.asked == [("PUT", f"{user}/{path}", body) for user in (AT_BOB, AT_CAROL, AT_BOB)]
    *sentences, answer = capsys.readouterr().out.splitlines()
    assert sentences == [f"@bob:example.org {told}.", f"@carol:example.org {told}."]
    assert json.loads(answer) == {"user_id": "@bob:example.org", **body}


def test_who_comes_after_one_who_is_refused_is_not_spared(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = (403, {"errcode": "M_FORBIDDEN", "error": "This user is an administrator"})
    door = ScriptedDoor(**{f"{AT_BOB}/lock": refusal})

    with pytest.raises(CommandFailed, match="it was refused 1 of 2 times"):
        run(door, "lock", "@bob:example.org", "@carol:example.org")

    assert capsys.readouterr().out.splitlines() == [
        "@bob:example.org: NOT done: the server refused: This user is an administrator (M_FORBIDDEN)",
        "@carol:example.org is locked.",
    ]
    with pytest.raises(CommandFailed, match="the server refused: This user is an administrator"):
        run(door, "lock", "@bob:example.org")


def closable() -> ScriptedDoor:
    """A door behind which there are Bob, in a room, and Carol, in two."""
    return ScriptedDoor(
        **{
            AT_BOB: (200, BOB),
            AT_CAROL: (200, CAROL),
            f"{AT_BOB}/joined_rooms": (200, {"joined_rooms": ["!a:example.org"], "total": 1}),
            f"{AT_CAROL}/joined_rooms": (200, {"joined_rooms": ["!a:example.org", "!b:example.org"], "total": 2}),
        }
    )


def test_accounts_are_closed(capsys: pytest.CaptureFixture[str]) -> None:
    door = closable()

    run(door, "deactivate", "@bob:example.org", "@carol:example.org", "--erase", "--yes")

    posted = [asked for asked in door.asked if asked[0] == "POST"]
    assert posted == [("POST", f"{each}/deactivate", {"erase": True}) for each in (AT_BOB, AT_CAROL)]
    assert (
        capsys.readouterr().out == "@bob:example.org is closed and erased.\n@carol:example.org is closed and erased.\n"
    )


def test_a_dry_run_closes_no_account(capsys: pytest.CaptureFixture[str]) -> None:
    door = closable()

    run(door, "deactivate", "@bob:example.org", "--dry-run")
    run(door, "deactivate", "@bob:example.org", "@carol:example.org", "--erase", "--dry-run", "--json")

    assert {method for method, _, _ in door.asked} == {"GET"}
    sentence, answer = capsys.readouterr().out.splitlines()
    assert sentence == "Would close @bob:example.org, and have them leave 1 room. Nothing was changed."
    assert json.loads(answer) == {"users": [BOB, CAROL], "erase": True, "rooms": 3, "dry_run": True}


def test_if_one_of_the_accounts_is_not_there_none_is_closed() -> None:
    door = ScriptedDoor(**{AT_BOB: (200, BOB), AT_CAROL: (404, {"errcode": "M_NOT_FOUND", "error": "no such user"})})

    with pytest.raises(CommandFailed, match="no such user"):
        run(door, "deactivate", "@bob:example.org", "@carol:example.org", "--yes")

    assert {method for method, _, _ in door.asked} == {"GET"}
