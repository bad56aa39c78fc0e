"""What commands print."""

import json

import pytest

from homeserver.cli.output import Output, Row, printable, time_of
from tests.cli.terminals import on_a_terminal

ROWS = [Row({"name": "a"}, "a is first", ("a", "first")), Row({"name": "b"}, "b is last", ("b", "last"))]


def test_where_nobody_looks_each_thing_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).tell(("Name", "Place"), ROWS)

    assert capsys.readouterr().out == "a is first\nb is last\n"


def test_scripts_are_given_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).tell(("Name", "Place"), ROWS)
    Output(as_json=True).say("It is done.", {"done": True})

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"name": "a"},
        {"name": "b"},
        {"done": True},
    ]


def test_at_a_terminal_there_is_a_table_in_which_nothing_speaks_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = Row({}, "", ("[bold]a", "\x1b[31mred\r\n"))

    told = on_a_terminal(monkeypatch, lambda: Output(as_json=False).tell(("Name", "Place"), [*ROWS, hostile]))

    lines = told.replace("\r\n", "\n").splitlines()
    assert [line.split() for line in lines if "first" in line] == [["a", "first"]]
    assert any("[bold]a" in line and r"\u001b[31mred\r\n" in line for line in lines)
    assert not any("a is first" in line for line in lines)


def test_at_a_terminal_scripts_are_given_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = on_a_terminal(monkeypatch, lambda: Output(as_json=True).tell(("Name", "Place"), ROWS))

    assert [json.loads(line) for line in told.splitlines()] == [{"name": "a"}, {"name": "b"}]


def test_one_thing_is_described_field_by_field_without_what_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = (("Name", "\x1b[31ma"), ("Place", ""), ("Colour", "blue"))

    Output(as_json=False).describe(fields, {})
    Output(as_json=True).describe(fields, {"name": "a"})
    told = on_a_terminal(monkeypatch, lambda: Output(as_json=False).describe(fields, {}))

    assert capsys.readouterr().out == 'Name: \\u001b[31ma\nColour: blue\n{"name": "a"}\n'
    assert [line.split() for line in told.splitlines() if "blue" in line] == [["Colour", "blue"]]
    assert "Place" not in told


def test_work_shows_itself_at_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with Output(as_json=False).progress("Verifying") as show:
            show("!a:b, 7 events")

    work()
    unseen = capsys.readouterr()
    told = on_a_terminal(monkeypatch, work)

    assert (unseen.out, unseen.err) == ("", "")
    assert "Verifying: !a:b, 7 events" in told


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("Jürgen's 🐦 [bold]") == "Jürgen's 🐦 [bold]"
    assert printable("a\x07\u202eb") == r"a\u0007\u202eb"


def test_moments_are_told_for_people() -> None:
    assert time_of(1_700_000_000_123) == "2023-11-14 22:13:20 UTC"
    assert time_of(None) == ""


def test_at_a_terminal_it_is_said_that_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = on_a_terminal(monkeypatch, lambda: Output(as_json=False).tell(("Name", "Place"), []))
    for as_json in (False, True):
        Output(as_json=as_json).tell(("Name", "Place"), [])

    assert told.split("\r\n") == ["There is nothing to show.", ""]
    assert capsys.readouterr() == ("", "")
