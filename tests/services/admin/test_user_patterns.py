"""Users, and patterns over their IDs."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.admin.user_patterns import Users, users_by_pattern
from homeserver.services.errors import InvalidParameter


@pytest.mark.parametrize("pattern", ["@spam*:evil.example", "*:evil.example", "?spam*", "@spam1:evil.example"])
def test_a_pattern_is_for_whole_user_ids(pattern: str) -> None:
    users = users_by_pattern(pattern)

    assert users.include("@spam1:evil.example")
    assert not users.include("x@spam1:good.example")


@pytest.mark.parametrize("pattern", ["", "*", "@*:*", "**?", "spam*", "@a\0*", "@" + "é" * 200])
def test_what_is_no_pattern_or_that_of_everybody_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter):
        users_by_pattern(pattern)


def test_who_is_named_is_one_user_whatever_characters_the_id_has() -> None:
    named = Users(UserID("@*:evil.example"))

    assert named.include("@*:evil.example")
    assert not named.include("@spam1:evil.example")
    assert users_by_pattern("@spam1:evil.example") == Users(UserID("@spam1:evil.example"))
