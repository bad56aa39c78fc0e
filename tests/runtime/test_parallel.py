"""Several things at the same time."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.runtime.parallel import in_parallel


class Works:
    """Works that end when the test says so."""

    def __init__(self, count: int) -> None:
        self.begun: list[int] = []
        self.ends: list[Deferred[None]] = [Deferred() for _ in range(count)]

    def work(self, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            self.begun.append(number)
            await self.ends[number]

        return run

    def start(self, at_once: int) -> Deferred[None]:
        works = [self.work(number) for number in range(len(self.ends))]
        return Deferred.fromCoroutine(in_parallel(works, at_once=at_once))


def test_no_more_than_so_many_are_under_way() -> None:
    works = Works(4)

    done = works.start(2)
    first = list(works.begun)
    works.ends[1].callback(None)
    second = list(works.begun)
    for number in (0, 2):
        works.ends[number].callback(None)

    assert first == [0, 1]
    assert second == [0, 1, 2]
    assert works.begun == [0, 1, 2, 3]
    assert not done.called
    works.ends[3].callback(None)
    assert done.called


def test_a_failure_is_raised_when_all_have_ended() -> None:
    works = Works(2)
    done = works.start(2)

    works.ends[0].errback(ValueError("the first"))
    assert not done.called
    works.ends[1].callback(None)

    with pytest.raises(ValueError, match="the first"):
        done.result.raiseException()  # type: ignore[attr-defined]  # a Failure
    done.addErrback(lambda _: None)


def test_nothing_to_do_is_done() -> None:
    assert Works(0).start(1).called
