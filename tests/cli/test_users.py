"""`homeserver admin user …`."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import AdminServer
from tests.server import homeserver


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
