"""What all commands of administrators have in common."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from homeserver.cli.admin_client import AdminDoor, ask
from homeserver.cli.at_door import at_door, destroys, is_meant
from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output
from tests.cli.commands import typed_at
from tests.cli.terminals import on_a_terminal
from tests.cli.test_federation import ScriptedDoor


@click.group()
def house() -> None:
    """Houses."""


@house.command()
@click.argument("name")
@destroys
@at_door
def delete(door: AdminDoor, output: Output, name: str, *, dry_run: bool, yes: bool) -> None:
    """Delete a house."""
    if is_meant(output, f"delete the house {name}", {"house": name}, dry_run=dry_run, yes=yes):
        ask(door, "DELETE", f"/houses/{name}")
        output.say(f"{name} is gone.", {"house": name})


def test_who_says_yes_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    typed_at(door, house, "delete", "a", "--yes")

    assert door.asked == [("DELETE", "/houses/a", None)]
    assert capsys.readouterr().out == "a is gone.\n"


def test_a_dry_run_says_what_would_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    door = ScriptedDoor()

    typed_at(door, house, "delete", "a", "--dry-run", "--yes")
    typed_at(door, house, "delete", "a", "--dry-run", "--json")

    assert door.asked == []
    sentence, answer = capsys.readouterr().out.splitlines()
    assert sentence == "Would delete the house a. Nothing was changed."
    assert json.loads(answer) == {"house": "a", "dry_run": True}


def test_where_nobody_can_be_asked_nothing_is_destroyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = ScriptedDoor()
    (tmp_path / "empty").write_text("")
    with (tmp_path / "empty").open() as empty:
        monkeypatch.setattr("sys.stdin", empty)

        with pytest.raises(CommandFailed, match="nobody to ask whether to delete the house a: use --yes"):
            typed_at(door, house, "delete", "a")

    assert door.asked == []


@pytest.mark.parametrize(("answer", "is_done"), [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_somebody_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str, is_done: bool) -> None:
    door = ScriptedDoor()
    refusals: list[str] = []

    def work() -> None:
        try:
            typed_at(door, house, "delete", "a")
        except CommandFailed as refused:
            refusals.append(refused.reason)

    told = on_a_terminal(monkeypatch, work, f"{answer}\n")

    assert "Delete the house a? [y/N]" in told
    assert (len(door.asked) == 1, refusals) == (is_done, [] if is_done else ["nothing was changed"])


def test_the_door_is_opened_where_the_options_say_and_closed_after() -> None:
    opened: list[Any] = []  # Any: a path and a URL, or a word

    @contextmanager
    def opening(config: Path | None, url: str | None) -> Iterator[AdminDoor]:
        opened.append((config, url))
        yield ScriptedDoor()
        opened.append("closed")

    for words in (["-c", "a.yaml"], ["--url", "https://b.example"], []):
        house.main(["delete", "a", "--yes", *words], standalone_mode=False, obj=opening)

    assert opened == [
        (Path("a.yaml"), None),
        "closed",
        (None, "https://b.example"),
        "closed",
        (None, None),
        "closed",
    ]
