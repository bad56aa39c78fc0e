"""Tables."""

import pytest

from homeserver.cli.tables import print_table
from tests.cli.terminals import on_a_terminal


def test_a_table_without_rows_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_a_terminal(monkeypatch, lambda: print_table(("Name",), [])) == ""


def test_what_is_too_long_for_a_line_is_told_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "".join(chr(0x4E00 + number) for number in range(300))

    told = on_a_terminal(monkeypatch, lambda: print_table(("Name", "Reason"), [("a", long)]))

    assert "".join(each for each in told if each >= "\u4e00") == long
