"""Clocks."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.runtime.clock import ManualClock, ReactorClock


def test_calls_are_made_in_the_order_in_which_they_are_due() -> None:
    clock = ManualClock()
    made: list[str] = []
    clock.call_later(2, lambda: made.append("second"))
    clock.call_later(1, lambda: made.append("first"))
    clock.call_later(1, lambda: made.append("first, asked for later"))

    clock.advance(2)

    assert made == ["first", "first, asked for later", "second"]


def test_a_call_sees_the_moment_at_which_it_was_due() -> None:
    clock = ManualClock(now_ms=1000)
    seen: list[tuple[int, float]] = []
    clock.call_later(1.5, lambda: seen.append((clock.now_ms(), clock.seconds())))

    clock.advance(10)

    assert seen == [(2500, 1.5)]
    assert clock.now_ms() == 11_000


def test_a_call_that_a_call_asks_for_is_made_when_it_is_due_in_the_same_time() -> None:
    clock = ManualClock()
    made: list[str] = []
    clock.call_later(1, lambda: clock.call_later(1, lambda: made.append("inner")))

    clock.advance(1.9)
    before = list(made)
    clock.advance(0.1)

    assert (before, made) == ([], ["inner"])


def test_a_cancelled_call_is_not_made_and_may_be_cancelled_again() -> None:
    clock = ManualClock()
    made: list[str] = []
    call = clock.call_later(1, lambda: made.append("never"))

    call.cancel()
    call.cancel()
    clock.advance(2)

    assert made == []
    assert clock.pending == 0


def test_a_sleep_ends_after_its_time_and_not_before() -> None:
    clock = ManualClock()
    slept = Deferred.fromCoroutine(clock.sleep(5))

    clock.advance(4.9)
    too_early = slept.called
    clock.advance(0.2)

    assert (too_early, slept.called) == (False, True)


def test_a_cancelled_sleep_leaves_no_call() -> None:
    clock = ManualClock()
    slept = Deferred.fromCoroutine(clock.sleep(5))

    slept.addErrback(lambda _: None)
    slept.cancel()

    assert clock.pending == 0


def test_the_call_of_a_reactor_may_be_cancelled_before_and_after_it_was_made() -> None:
    reactor = Clock()
    clock = ReactorClock(reactor)
    made: list[str] = []
    call = clock.call_later(1, lambda: made.append("once"))
    other = clock.call_later(1, lambda: made.append("never"))

    other.cancel()
    other.cancel()
    reactor.advance(1)
    call.cancel()

    assert made == ["once"]
