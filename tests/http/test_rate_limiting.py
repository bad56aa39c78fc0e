"""Buckets per caller and class."""

import pytest

from homeserver.core.rate_limits import RateLimit, network_of
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.runtime.clock import ManualClock
from homeserver.services.errors import LimitExceeded
from homeserver.services.rate_limits import MOST_BUCKETS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def limiting(clock: ManualClock) -> RateLimiting:
    return RateLimiting({RateClass.SEND: RateLimit(per_second=2, burst=3)}, clock)


def test_a_burst_passes_and_then_one_at_a_time(limiting: RateLimiting, clock: ManualClock) -> None:
    for _ in range(3):
        limiting.take(RateClass.SEND, "@a:b")
    with pytest.raises(LimitExceeded) as caught:
        limiting.take(RateClass.SEND, "@a:b")

    clock.advance(caught.value.retry_after_ms / 1000)

    assert caught.value.retry_after_ms == 500
    limiting.take(RateClass.SEND, "@a:b")


def test_callers_and_classes_do_not_share_a_bucket(limiting: RateLimiting) -> None:
    for _ in range(3):
        limiting.take(RateClass.SEND, "@a:b")

    limiting.take(RateClass.SEND, "@c:b")
    for _ in range(100):
        limiting.take(RateClass.LOGIN, "@a:b")


def test_full_buckets_are_forgotten(limiting: RateLimiting, clock: ManualClock) -> None:
    limiting.take(RateClass.SEND, "@a:b")
    clock.advance(1)
    limiting.take(RateClass.SEND, "@c:b")

    limiting.sweep()

    assert len(limiting) == 1


def test_memory_is_bounded_however_many_callers_come(limiting: RateLimiting) -> None:
    for number in range(MOST_BUCKETS + 10):
        limiting.take(RateClass.SEND, str(number))

    assert len(limiting) <= MOST_BUCKETS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_an_ipv6_household_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network


def test_who_has_a_limit_of_their_own_acts_by_it_and_reads_no_less_than_others(clock: ManualClock) -> None:
    usual = RateLimit(per_second=2, burst=3)
    limiting = RateLimiting(dict.fromkeys((RateClass.GENERAL, RateClass.SEND, RateClass.LOGIN), usual), clock)
    little, much = RateLimit(per_second=0.001, burst=1), RateLimit(per_second=0.001, burst=5)

    def burst(rate_class: RateClass, caller: str, own: RateLimit | None) -> int:
        for number in range(10):
            try:
                limiting.take(rate_class, caller, own)
            except LimitExceeded:
                return number
        return 10

    assert [burst(RateClass.SEND, str(own), own) for own in (None, little, much)] == [3, 1, 5]
    assert [burst(RateClass.JOIN, str(own), own) for own in (None, little, much)] == [10, 1, 5]
    assert [burst(RateClass.GENERAL, str(own), own) for own in (None, little, much)] == [3, 3, 5]
    assert [burst(RateClass.LOGIN, str(own), own) for own in (None, little, much)] == [3, 3, 3]


def test_a_limit_of_their_own_holds_from_one_request_to_the_next(limiting: RateLimiting, clock: ManualClock) -> None:
    limiting.take(RateClass.SEND, "@a:b")

    own = RateLimit(per_second=0.001, burst=1)
    limiting.take(RateClass.SEND, "@a:b", own)
    with pytest.raises(LimitExceeded):
        limiting.take(RateClass.SEND, "@a:b", own)
    clock.advance(60)
    limiting.sweep()
    with pytest.raises(LimitExceeded):
        limiting.take(RateClass.SEND, "@a:b", own)


def test_who_is_new_does_less_to_others_until_they_are_no_longer(clock: ManualClock) -> None:
    limiting = RateLimiting({RateClass.NEWCOMER: RateLimit(per_second=0.001, burst=2)}, clock)
    until_ms = clock.now_ms() + 60_000

    for rate_class in (RateClass.SEND, RateClass.JOIN):
        limiting.take_of_newcomer(rate_class, "@a:b", until_ms)
    with pytest.raises(LimitExceeded):
        limiting.take_of_newcomer(RateClass.INVITE, "@a:b", until_ms)
    limiting.take_of_newcomer(RateClass.GENERAL, "@a:b", until_ms)
    limiting.take_of_newcomer(RateClass.SEND, "@c:b", until_ms)

    clock.advance(60)
    limiting.take_of_newcomer(RateClass.INVITE, "@a:b", until_ms)
