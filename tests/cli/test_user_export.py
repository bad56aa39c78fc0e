"""`homeserver admin user export`."""

import json
from pathlib import Path

import pytest

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.users import USERS, user
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

BOB = "@bob:example.org"
EXPORT = f"{USERS}/%40bob%3Aexample.org/export"
LINES = [{"part": "account", "user_id": BOB}, {"part": "event", "content": {"body": "\x1b[31mred"}}]


def two_pages() -> ScriptedDoor:
    return ScriptedDoor(
        **{
            EXPORT: (200, {"lines": LINES[:1], "next": "a=b"}),
            f"{EXPORT}?from=a%3Db": (200, {"lines": LINES[1:], "next": None}),
        }
    )


def test_all_pages_are_printed_a_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    door = two_pages()

    typed_at(door, user, "export", BOB)

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == LINES
    assert [method for method, _, _ in door.asked] == ["POST", "GET"]


def test_they_are_written_into_a_new_file_that_others_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bob.jsonl"

    typed_at(two_pages(), user, "export", BOB, "--file", str(target))

    assert [json.loads(line) for line in target.read_text().splitlines()] == LINES
    assert target.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().out == f"Wrote 2 lines into {target}.\n"


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    target = tmp_path / "bob.jsonl"
    target.write_text("mine")

    with pytest.raises(CommandFailed, match="could not be written: File exists"):
        typed_at(two_pages(), user, "export", BOB, "--file", str(target))

    assert target.read_text() == "mine"


def test_for_a_user_who_is_not_there_no_file_is_made(tmp_path: Path) -> None:
    nobody = (404, {"errcode": "M_NOT_FOUND", "error": "There is no such user here"})
    door = ScriptedDoor(**{f"{USERS}/%40bob%3Aexample.org": nobody, EXPORT: nobody})

    with pytest.raises(CommandFailed, match="There is no such user here"):
        typed_at(door, user, "export", BOB, "--file", str(tmp_path / "bob.jsonl"))

    assert list(tmp_path.iterdir()) == []
