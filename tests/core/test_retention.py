"""For how long a room keeps what is said in it."""

from typing import Any

import pytest

from homeserver.core.retention import RetentionPolicy, max_lifetime_of

WRONG: tuple[Any, ...] = (0, -1, True, 1.5, "5", None, 2**53, [], {})


@pytest.mark.parametrize(
    ("content", "lifetime_ms"),
    [
        ({"max_lifetime": 5}, 5),
        ({"max_lifetime": 5, "min_lifetime": 5}, 5),
        ({"max_lifetime": 5, "min_lifetime": "x"}, 5),
        ({"max_lifetime": 5, "min_lifetime": 6}, None),
        ({}, None),
        *(({"max_lifetime": wrong}, None) for wrong in WRONG),
    ],
)
def test_a_room_says_for_how_long_or_nothing(content: dict[str, Any], lifetime_ms: int | None) -> None:
    assert max_lifetime_of(content) == lifetime_ms


def test_what_a_room_says_counts_within_the_bounds_of_the_server() -> None:
    policy = RetentionPolicy(is_enabled=True, default_ms=50, shortest_ms=10, longest_ms=100)

    assert [policy.lifetime(said) for said in (None, 1, 70, 1_000)] == [50, 10, 70, 100]


def test_without_a_default_or_a_policy_everything_is_kept() -> None:
    assert RetentionPolicy(is_enabled=True, longest_ms=100).lifetime(None) is None
    assert RetentionPolicy(is_enabled=True).lifetime(2**50) == 2**50
    assert RetentionPolicy(default_ms=1).lifetime(1) is None
