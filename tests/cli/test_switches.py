"""Commands that are rows of a table. What they say of users and rooms is tried with those."""

import click
import pytest
from click.testing import CliRunner

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.switches import Switch, switch_command
from tests.cli.commands import typed_at
from tests.cli.test_federation import ScriptedDoor

DIM = Switch("dim", "make lamps dim", "Make lamps dim, all of them.", "light", ("bright", False), "is dim")


def path_of(lamp: str) -> str:
    if lamp == "candle":
        raise CommandFailed("a candle is no lamp")
    return f"/lamps/{lamp}"


@pytest.fixture
def lamps() -> click.Group:
    return click.Group("lamps", commands=[switch_command(DIM, "lamp", path_of)])


def test_the_server_is_told_of_each(capsys: pytest.CaptureFixture[str], lamps: click.Group) -> None:
    door = ScriptedDoor()

    typed_at(door, lamps, "dim", "a", "b")

    assert door.asked == [("PUT", f"/lamps/{lamp}/light", {"bright": False}) for lamp in "ab"]
    assert capsys.readouterr().out == "a is dim.\nb is dim.\n"


def test_what_is_none_is_found_before_anything_is_asked_for(lamps: click.Group) -> None:
    door = ScriptedDoor()

    with pytest.raises(CommandFailed, match="a candle is no lamp"):
        typed_at(door, lamps, "dim", "a", "candle")

    assert door.asked == []


def test_help_says_what_it_takes(lamps: click.Group) -> None:
    told = CliRunner().invoke(lamps, ["dim", "--help"]).output

    assert "dim [OPTIONS] LAMP..." in told
    assert "Make lamps dim, all of them." in told
    assert "make lamps dim" in CliRunner().invoke(lamps, ["--help"]).output
