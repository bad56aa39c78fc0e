"""Patterns over user IDs."""

import pytest

from homeserver.services.admin.user_patterns import read_user_pattern
from homeserver.services.errors import InvalidParameter


@pytest.mark.parametrize("pattern", ["@spam*:evil.example", "*:evil.example", "?spam*", "@spam1:evil.example"])
def test_a_pattern_is_for_whole_user_ids(pattern: str) -> None:
    glob = read_user_pattern(pattern)

    assert glob.matches("@spam1:evil.example")
    assert not glob.matches("x@spam1:good.example")


@pytest.mark.parametrize("pattern", ["", "*", "@*:*", "**?", "spam*", "@a\0*", "@" + "é" * 200])
def test_what_is_no_pattern_or_that_of_everybody_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter):
        read_user_pattern(pattern)
