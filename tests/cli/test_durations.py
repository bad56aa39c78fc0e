"""How long something takes or counts, as commands are told it."""

from datetime import timedelta

import click
import pytest

from homeserver.cli.durations import Duration


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_number_and_its_unit_are_a_duration(written: str, meant: timedelta) -> None:
    assert Duration().convert(written, None, None) == meant


@pytest.mark.parametrize("written", ["", "7", "d", "7y", "-1d", "1.5h", "7d ", "12345m"])
def test_nothing_else_is(written: str) -> None:
    with pytest.raises(click.BadParameter, match="like 7d"):
        Duration().convert(written, None, None)
