"""The token bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.rate_limits import Bucket, RateLimit, give_back, is_full, spend, take

LIMITS = st.builds(RateLimit, st.floats(0.001, 1000), st.floats(1, 1000))


def test_a_burst_passes_and_the_next_one_waits() -> None:
    limit, bucket = RateLimit(per_second=2, burst=3), None

    for _ in range(3):
        bucket, wait_ms = take(limit, bucket, 1_000)
        assert wait_ms is None

    assert take(limit, bucket, 1_000)[1] == 500


def test_a_refused_request_costs_nothing() -> None:
    limit = RateLimit(per_second=1, burst=1)
    bucket, _ = take(limit, None, 0)

    refused, wait_ms = take(limit, bucket, 400)

    assert wait_ms == 600
    assert take(limit, refused, 1_000)[1] is None


def test_what_costs_more_than_the_burst_needs_a_full_bucket() -> None:
    limit = RateLimit(per_second=1, burst=2)

    bucket, wait_ms = take(limit, None, 0, cost=10)

    assert wait_ms is None
    assert take(limit, bucket, 0, cost=10)[1] == 2_000


def test_a_clock_that_goes_backwards_neither_fills_nor_locks_a_bucket() -> None:
    limit = RateLimit(per_second=1, burst=1)
    empty, _ = take(limit, None, 1_000_000)

    refused, wait_ms = take(limit, empty, 0)

    assert wait_ms == 1_000
    assert take(limit, refused, 1_000)[1] is None


def test_a_limit_that_lets_nothing_pass_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        RateLimit(per_second=0, burst=1)


@given(LIMITS, st.integers(0, 10**12), st.floats(0.01, 100), st.floats(0.01, 100))
def test_whoever_waits_as_long_as_told_passes(limit: RateLimit, now_ms: int, first: float, second: float) -> None:
    bucket, _ = take(limit, None, now_ms, first)
    bucket, wait_ms = take(limit, bucket, now_ms, second)

    assert wait_ms is None or take(limit, bucket, now_ms + wait_ms, second)[1] is None


@given(LIMITS, st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.1, 5)), max_size=30))
def test_no_more_passes_than_the_burst_and_what_flowed_in(limit: RateLimit, draws: list[tuple[int, float]]) -> None:
    bucket: Bucket | None = None
    now_ms, passed = 0, 0.0
    for pause_ms, cost in draws:
        now_ms += pause_ms
        bucket, wait_ms = take(limit, bucket, now_ms, cost)
        if wait_ms is None:
            passed += min(cost, limit.burst)

    assert passed <= (limit.burst + now_ms / 1000 * limit.per_second) * 1.001 + 0.001


def test_a_bucket_may_be_forgotten_when_it_is_full_again() -> None:
    limit = RateLimit(per_second=1, burst=2)
    bucket, _ = take(limit, None, 0)

    assert not is_full(limit, bucket, 500)
    assert is_full(limit, bucket, 1_000)


@given(LIMITS, st.floats(0, 1000), st.integers(0, 10**6))
def test_what_is_given_back_is_there_again_and_never_more_than_fits(
    limit: RateLimit, cost: float, later_ms: int
) -> None:
    cost = min(cost, limit.burst)
    drawn, _ = take(limit, None, 0, cost)

    back = give_back(limit, drawn, later_ms, cost)

    assert back.at_ms == later_ms
    assert back.tokens <= limit.burst
    assert back.tokens == pytest.approx(limit.burst)


def test_what_was_used_without_being_there_is_owed_up_to_a_burst() -> None:
    limit = RateLimit(per_second=1, burst=3)

    owing = spend(limit, spend(limit, None, 0, 2), 0, 2)
    deep = spend(limit, owing, 0, 1_000)

    assert (owing.tokens, deep.tokens) == (-1, -3)
    assert take(limit, owing, 0)[1] == 2_000
    assert take(limit, deep, 4_000)[1] is None
