"""Work that several ask for is done once, and nobody waits longer than they like."""

from typing import Any

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import ManualClock
from homeserver.runtime.flights import Flights
from homeserver.runtime.loops import Loops

OF_USE = True


class Works:
    """Pieces of work that end when a test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.loops = Loops(self.clock)
        self.flights: Flights[str] = Flights(self.loops, self.clock, "work")
        self.begun: list[Deferred[bool]] = []

    async def work(self) -> bool:
        self.begun.append(Deferred())
        return await self.begun[-1]

    def ask(self, key: str, timeout_s: float = 10.0) -> list[Any]:
        """Ask for it; what came of that, once it has."""
        came: list[Any] = []
        Deferred.fromCoroutine(self.flights.join(key, self.work, timeout_s=timeout_s)).addBoth(came.append)
        return came


def test_whoever_asks_while_it_is_under_way_waits_for_the_same_one() -> None:
    works = Works()
    first, second, other = works.ask("a"), works.ask("a"), works.ask("b")
    assert len(works.begun) == len(works.flights) == 2

    works.begun[0].callback(OF_USE)

    assert (first, second, other) == ([True], [True], [])
    assert not works.flights.is_under_way("a")
    assert works.flights.is_under_way("b")
    assert works.ask("a") == []
    assert len(works.begun) == 3


def test_nobody_waits_longer_than_they_like_and_the_work_goes_on() -> None:
    works = Works()
    impatient, patient = works.ask("a", 5), works.ask("a", 20)

    works.clock.advance(6)
    assert (impatient, patient) == ([False], [])
    works.begun[0].callback(OF_USE)

    assert patient == [True]
    assert works.clock.pending == 0


def test_work_that_fails_is_of_no_use_and_is_counted() -> None:
    works = Works()
    asking = works.ask("a")

    works.begun[0].errback(ValueError("broken"))

    assert asking == [False]
    assert works.loops.counts["work"].failures == 1
    assert len(works.flights) == 0
