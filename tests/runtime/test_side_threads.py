"""Threads for the code of others."""

from collections.abc import Iterator
from threading import Event, current_thread
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.runtime.side_threads import SideThreads, TooManyWaiting
from tests.fakes.reactor import StillReactor


@pytest.fixture
def reactor() -> Iterator[StillReactor]:
    made = StillReactor()
    yield made
    made.close()


def outcome(reactor: StillReactor, asked: "Deferred[Any]") -> Any:  # Any: whatever was called
    told: list[Any] = []
    asked.addBoth(told.append)
    reactor.turn_until(lambda: bool(told))
    return told[0]


def test_what_a_function_returns_or_raises_comes_back(reactor: StillReactor) -> None:
    threads = SideThreads(reactor.callFromThread, "side")

    name = outcome(reactor, threads.run(lambda: current_thread().name))
    failure = outcome(reactor, threads.run(int, "no number"))

    assert name == "side 1"
    assert isinstance(failure, Failure)
    assert failure.type is ValueError


def test_no_more_run_or_wait_than_may_and_who_gives_up_hears_nothing(reactor: StillReactor) -> None:
    threads = SideThreads(reactor.callFromThread, "side", most_threads=2, most_waiting=1)
    may_end = Event()
    held = [threads.run(may_end.wait) for _ in range(3)]

    refused = outcome(reactor, threads.run(print))
    given_up = held.pop()
    given_up.addErrback(lambda _: None)
    given_up.cancel()
    may_end.set()

    assert refused.type is TooManyWaiting
    assert [outcome(reactor, one) for one in held] == [True, True]
    assert outcome(reactor, threads.run(lambda: "again")) == "again"
