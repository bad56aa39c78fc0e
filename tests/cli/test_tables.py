"""Tables."""

import pytest

from homeserver.cli.tables import print_table, show_bar
from tests.cli.terminals import on_a_terminal


def test_a_table_without_rows_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a_terminal(monkeypatch, lambda: print_table(("Name",), [])) == ""


def test_what_is_too_long_for_a_line_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "".join(chr(0x4E00 + number) for number in range(300))

    told = on_a_terminal(monkeypatch, lambda: print_table(("Name", "Reason"), [("a", long)]))

    assert "".join(each for each in told if each >= "\u4e00") == long


def test_a_bar_shows_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        with show_bar("Deleting") as show:
            show(1, None)
            show(1, 4)
        with show_bar("Deleting [red]") as show:
            show(4, 4)

    told = on_a_terminal(monkeypatch, work)

    assert " 25%" in told
    assert "Deleting [red]" in told
