"""Limits of single servers, as administrators set them."""

import pytest

from homeserver.core.rate_limits import RateLimit
from homeserver.services.errors import InvalidParameter
from homeserver.services.federation.server_limits import EffectiveLimit, ServerLimits
from tests.services.world import World, now

USUAL = {"federation": RateLimit(50, 200), "events_by_server": RateLimit(20, 2_000), "send": RateLimit(1, 1)}


def test_what_is_set_counts_at_once_and_after_a_restart(world: World) -> None:
    limits = ServerLimits(world.database, world.clock, USUAL)

    told = now(limits.change("One.example", {"federation": (0.5, 3)}))

    own, usual = EffectiveLimit(0.5, 3, is_own=True), EffectiveLimit(20, 2_000, is_own=False)
    assert told == {"federation": own, "events_by_server": usual}
    again = ServerLimits(world.database, world.clock, USUAL)
    now(again.load())
    for each in (limits, again):
        assert each.find("one.EXAMPLE", "federation") == RateLimit(0.5, 3)
        assert each.find("one.example", "events_by_server") is None
        assert each.find("two.example", "federation") is None
        assert [(one.server, one.name) for one in each.all] == [("one.example", "federation")]


def test_what_is_taken_back_counts_no_more_and_the_rest_stays(world: World) -> None:
    limits = ServerLimits(world.database, world.clock, USUAL)
    now(limits.change("one.example", {"federation": (0.5, 3), "events_by_server": (1, 1)}))

    now(limits.change("one.example", {"federation": None, "joins_by_server": None}))

    assert limits.find("one.example", "federation") is None
    assert limits.find("one.example", "events_by_server") == RateLimit(1, 1)


@pytest.mark.parametrize(
    ("server", "changes"),
    [
        ("one.example", {"send": (1.0, 1)}),
        ("one.example", {"nothing": None}),
        ("one.example", {"federation": (0.0, 1)}),
        ("one.example", {"federation": (float("nan"), 1)}),
        ("one.example", {"federation": (float("inf"), 1)}),
        ("one.example", {"federation": (1.0, 0)}),
        ("one.example", {"federation": (1.0, 10**9)}),
        ("no server", {"federation": (1.0, 1)}),
        ("one.example", {"federation": (1.0, 1), "send": (1.0, 1)}),
    ],
)
def test_what_is_no_limit_of_a_server_is_refused_and_changes_nothing(
    world: World, server: str, changes: dict[str, tuple[float, int] | None]
) -> None:
    limits = ServerLimits(world.database, world.clock, USUAL)

    with pytest.raises(InvalidParameter):
        now(limits.change(server, changes))

    assert limits.all == ()
