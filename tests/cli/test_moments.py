"""When something was, as commands are told it."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from homeserver.cli.moments import Moment


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T01:00+01:00", 0),
    ],
)
def test_a_date_is_one_of_utc_unless_it_says_otherwise(written: str, meant: int) -> None:
    assert Moment().convert(written, None, None) == meant


def test_a_duration_is_so_long_ago() -> None:
    before = datetime.now(UTC) - timedelta(hours=2)

    moment = Moment().convert("2h", None, None)

    after = datetime.now(UTC) - timedelta(hours=2)
    assert int(before.timestamp() * 1000) <= moment <= int(after.timestamp() * 1000) + 1


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-01", "2"])
def test_nothing_else_is(written: str) -> None:
    with pytest.raises(click.BadParameter, match="how long ago"):
        Moment().convert(written, None, None)
