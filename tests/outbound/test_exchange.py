"""Limits of time."""

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from homeserver.outbound.errors import Unreachable
from homeserver.outbound.exchange import within
from homeserver.runtime.clock import ManualClock


def note_failure(work: Coroutine[Deferred[Any], Any, Any], failures: list[BaseException]) -> Deferred[Any]:
    """Begin `work`; how it fails goes to `failures`."""

    def note(failure: Failure) -> None:
        assert failure.value is not None
        failures.append(failure.value)

    begun: Deferred[Any] = Deferred.fromCoroutine(work)
    begun.addErrback(note)
    return begun


async def result_of(waited_for: Deferred[int]) -> int:
    return await waited_for


def test_what_is_done_in_time_counts_and_leaves_no_alarm() -> None:
    clock, waited_for, results = ManualClock(), Deferred[int](), list[int]()

    Deferred.fromCoroutine(within(clock, 10, result_of(waited_for), "it")).addCallback(results.append)
    clock.advance(9)
    waited_for.callback(1)

    assert (results, clock.pending) == ([1], 0)


def test_what_takes_too_long_is_cancelled() -> None:
    clock, failures = ManualClock(), list[BaseException]()
    cancelled: list[Deferred[int]] = []
    waited_for: Deferred[int] = Deferred(cancelled.append)

    note_failure(within(clock, 10, result_of(waited_for), "it"), failures)
    clock.advance(10)

    assert [type(failure) for failure in failures] == [Unreachable]
    assert str(failures[0]) == "it did not answer within 10 s"
    assert cancelled == [waited_for]


def test_who_cancels_it_himself_is_told_so() -> None:
    clock, failures = ManualClock(), list[BaseException]()
    waited_for: Deferred[int] = Deferred()

    work = note_failure(within(clock, 10, result_of(waited_for), "it"), failures)
    work.cancel()

    assert [type(failure) for failure in failures] == [CancelledError]
    assert clock.pending == 0


def test_what_fails_in_time_fails_as_it_did() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    clock, failures = ManualClock(), list[BaseException]()

    note_failure(within(clock, 10, fail(), "it"), failures)

    assert [str(failure) for failure in failures] == ["broken"]
    assert clock.pending == 0
    with pytest.raises(ValueError, match="broken"):
        raise failures[0]
