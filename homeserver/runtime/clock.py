"""The clock that everything else is given: what time it is, and how to be called later.

Nobody but this file asks the operating system for the time. Loops that repeat are in loops.py.
"""

import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Cancellable(Protocol):
    """Something that will happen, unless it is cancelled first."""

    def cancel(self) -> None:
        """Make it not happen; nothing changes when it has happened or was cancelled before."""


class Clock(Protocol):
    """The time, and calls in the future. Used on the reactor thread; `now_ms` and `seconds` on any."""

    def now_ms(self) -> int:
        """Milliseconds since 1970: what is written into events and rows. May jump with the system's clock."""

    def seconds(self) -> float:
        """Seconds since some moment, never running backwards: for measuring how long something took."""

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancellable:
        """Call `function` once, `delay_s` from now and never before this call has returned."""

    async def sleep(self, delay_s: float) -> None:
        """Return `delay_s` from now."""


class _ReactorCall:
    """A delayed call of the reactor that may be cancelled more than once."""

    __slots__ = ("_call",)

    def __init__(self, call: IDelayedCall) -> None:
        self._call = call

    def cancel(self) -> None:
        try:
            self._call.cancel()
        except (AlreadyCalled, AlreadyCancelled):
            return


class ReactorClock:
    """The clock of a running server."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def seconds(self) -> float:
        return time.monotonic()

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancellable:
        return _ReactorCall(self._reactor.callLater(max(0.0, delay_s), function))

    async def sleep(self, delay_s: float) -> None:
        await _slept(self, delay_s)


class _ManualCall:
    """A call that a `ManualClock` will make."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        self.function = None


class ManualClock:
    """A clock that stands still until it is moved: for tests."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._started_ms = now_ms
        self._elapsed_s = 0.0
        self._order = count()
        self._calls: list[tuple[float, int, _ManualCall]] = []

    def now_ms(self) -> int:
        return self._started_ms + round(self._elapsed_s * 1000)

    def seconds(self) -> float:
        return self._elapsed_s

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Cancellable:
        call = _ManualCall(function)
        heappush(self._calls, (self._elapsed_s + max(0.0, delay_s), next(self._order), call))
        return call

    async def sleep(self, delay_s: float) -> None:
        await _slept(self, delay_s)

    def advance(self, elapsed_s: float) -> None:
        """Let `elapsed_s` pass: make every call due by then, in order, each at its own moment.

        Calls that those calls ask for are made too when they are due in that time, `advance(0)` included.
        """
        until = self._elapsed_s + elapsed_s
        while self._calls and self._calls[0][0] <= until:
            due_s, _, call = heappop(self._calls)
            self._elapsed_s = max(self._elapsed_s, due_s)
            if call.function is not None:
                call.function()
        self._elapsed_s = until

    @property
    def pending(self) -> int:
        """How many calls are still to be made."""
        return sum(1 for _, _, call in self._calls if call.function is not None)


def _slept(clock: Clock, delay_s: float) -> Deferred[None]:
    slept: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.call_later(delay_s, lambda: slept.callback(None))
    return slept
