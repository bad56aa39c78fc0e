"""What is counted besides requests."""

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.rate_limits import RateLimit
from homeserver.runtime.clock import ManualClock
from homeserver.services.errors import LimitExceeded
from homeserver.services.rate_limits import MOST_BUCKETS, Counted, Draw, RateLimits

ONE, TWO = ServerName("one.example"), ServerName("two.example")
ALICE = Draw(Counted.INVITES_BY_USER, "@alice:b")
BOB = Draw(Counted.INVITES_TO_USER, "@bob:b")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limits(clock: ManualClock) -> RateLimits:
    counted = {Counted.INVITES_BY_USER: RateLimit(1, 3), Counted.INVITES_TO_USER: RateLimit(0.1, 1)}
    return RateLimits(counted, clock)


def test_all_is_drawn_or_nothing_and_the_longest_wait_is_told(limits: RateLimits, clock: ManualClock) -> None:
    limits.draw(ALICE, BOB)

    with pytest.raises(LimitExceeded) as refused:
        limits.draw(ALICE, BOB)

    assert refused.value.retry_after_ms == 10_000
    limits.draw(ALICE, ALICE)
    with pytest.raises(LimitExceeded):
        limits.draw(ALICE)
    clock.advance(10)
    limits.draw(ALICE, BOB)


def test_what_is_looked_at_is_not_drawn_until_it_is_noted(limits: RateLimits) -> None:
    for _ in range(3):
        limits.check(BOB)
    limits.note(BOB)

    with pytest.raises(LimitExceeded) as once:
        limits.check(BOB)
    limits.note(BOB)
    with pytest.raises(LimitExceeded) as twice:
        limits.check(BOB)

    assert (once.value.retry_after_ms, twice.value.retry_after_ms) == (10_000, 20_000)


def test_what_was_drawn_in_vain_is_given_back(limits: RateLimits) -> None:
    limits.draw(BOB)
    limits.give_back(BOB)
    limits.give_back(BOB)

    limits.draw(BOB)
    with pytest.raises(LimitExceeded):
        limits.draw(BOB)


def test_what_has_no_limit_is_not_counted(limits: RateLimits) -> None:
    for _ in range(1_000):
        limits.draw(Draw(Counted.REGISTRATIONS, ""))

    assert len(limits) == 0


def test_another_limit_may_be_set_for_one_server(clock: ManualClock) -> None:
    def of_server(server: str, name: str) -> RateLimit | None:
        return RateLimit(1, 5) if (server, name) == (ONE, "invites_by_server") else None

    limits = RateLimits({Counted.INVITES_BY_SERVER: RateLimit(1, 2)}, clock, of_server)

    def drawn(server: ServerName) -> int:
        for number in range(10):
            try:
                limits.draw(Draw(Counted.INVITES_BY_SERVER, server, server=server))
            except LimitExceeded:
                return number
        return 10

    assert [drawn(ONE), drawn(TWO)] == [5, 2]


def test_a_bucket_is_full_by_the_limit_that_counts_for_it(clock: ManualClock) -> None:
    limits = RateLimits({Counted.INVITES_BY_SERVER: RateLimit(1, 2)}, clock, lambda _, __: RateLimit(1, 100))
    draw = Draw(Counted.INVITES_BY_SERVER, ONE, 50, server=ONE)
    limits.draw(draw)

    limits.sweep()
    limits.draw(draw)

    with pytest.raises(LimitExceeded):
        limits.draw(draw)


def test_full_buckets_are_forgotten(limits: RateLimits, clock: ManualClock) -> None:
    limits.draw(ALICE, BOB)

    clock.advance(5)
    limits.sweep()

    assert len(limits) == 1


def test_memory_is_bounded_however_many_are_counted(limits: RateLimits) -> None:
    for number in range(MOST_BUCKETS + 10):
        limits.draw(Draw(Counted.INVITES_TO_USER, f"@{number}:b"))

    assert len(limits) <= MOST_BUCKETS
    with pytest.raises(LimitExceeded):
        limits.draw(Draw(Counted.INVITES_TO_USER, f"@{MOST_BUCKETS + 9}:b"))


def test_a_limit_of_ones_own_counts_instead_where_there_is_one_at_all(limits: RateLimits) -> None:
    own = RateLimit(0.1, 5)

    limits.draw(Draw(Counted.INVITES_BY_USER, "@alice:b", 5, own=own))
    with pytest.raises(LimitExceeded):
        limits.draw(Draw(Counted.INVITES_BY_USER, "@alice:b", own=own))
    for _ in range(9):
        limits.draw(Draw(Counted.INVITES_TO_ROOM, "!a:b", own=RateLimit(0.1, 1)))
