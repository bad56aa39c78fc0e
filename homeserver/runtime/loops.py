"""Work in the background: repeated or once, supervised, and stopped with the server.

A failure is logged and counted, and the loop goes on after a pause that grows. What the work is, its owner says.
"""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from homeserver.runtime.clock import Cancellable, Clock
from homeserver.runtime.logs import get_logger

LONGEST_PAUSE_S: Final = 300.0
SHORTEST_PAUSE_S: Final = 1.0

log = get_logger(__name__)


@dataclass(slots=True)
class LoopCounts:
    """What a loop has done so far: `busy_s` in wall-clock seconds."""

    runs: int = 0
    failures: int = 0
    busy_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Loop:
    """A loop between two runs has `rest`, which fires when the next run is due."""

    name: str
    every_s: float
    failures_in_a_row: int = 0
    is_hurried: bool = False  # something came while it ran, after it may have looked for work the last time
    rest: Deferred[None] | None = None
    alarm: Cancellable | None = field(default=None)

    def pause_s(self) -> float:
        if not self.failures_in_a_row:
            return 0.0 if self.is_hurried else self.every_s
        doubled = max(self.every_s, SHORTEST_PAUSE_S) * 2.0 ** min(self.failures_in_a_row - 1, 16)
        return max(self.every_s, min(doubled, LONGEST_PAUSE_S))

    def go_on(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        rest, self.rest, self.alarm = self.rest, None, None
        self.is_hurried = rest is None
        if rest is not None:
            rest.callback(None)


class Loops:
    """All background work of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_stopping = False
        self._loops: dict[str, _Loop] = {}
        self._running: dict[Deferred[object], str] = {}
        self.counts: dict[str, LoopCounts] = {}

    def start(
        self, name: str, work: Callable[[], Awaitable[object]], every_s: float, *, first_after_s: float | None = None
    ) -> None:
        """Run `work` again and again, `every_s` after the end of the run before; never two runs at once.

        The first run is `first_after_s` from now (`every_s` when it is None). After n failures in a row the pause
        doubles n times, up to five minutes or `every_s`, whichever is more.
        """
        if name in self._loops:
            raise ValueError(f"a loop called {name!r} runs already")
        loop = self._loops[name] = _Loop(name, every_s)
        self._supervise(name, self._repeat(loop, work, every_s if first_after_s is None else first_after_s))

    def run_once(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Begin `work` now and don't wait for it; a failure is logged. `name` may be running several times."""
        self._supervise(name, self._attempt(name, work))

    def hurry(self, name: str) -> None:
        """Begin the next run of a loop now; if it is running, at once after that run, unless it fails."""
        self._loops[name].go_on()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Begin no further run, and return when the current ones have ended; after `grace_s` cancel those."""
        self._is_stopping = True
        for loop in self._loops.values():
            loop.go_on()
        if not self._running:
            return
        ended = DeferredList(list(self._running))
        patience = self._clock.call_later(grace_s, self._cancel_running)
        await ended
        patience.cancel()

    def _supervise(self, name: str, work: Coroutine[Deferred[object], object, object]) -> None:
        def forget(_: object) -> None:
            del self._running[running]

        running = Deferred.fromCoroutine(work)
        self._running[running] = name
        running.addBoth(forget)

    def _cancel_running(self) -> None:
        for running, name in list(self._running.items()):
            log.warning("background work was cancelled because it did not end in time", loop=name)
            running.cancel()

    async def _repeat(self, loop: _Loop, work: Callable[[], Awaitable[object]], first_after_s: float) -> None:
        pause_s = first_after_s
        while not self._is_stopping:
            await self._rest(loop, pause_s)
            if self._is_stopping:
                break
            succeeded = await self._attempt(loop.name, work)
            loop.failures_in_a_row = 0 if succeeded else loop.failures_in_a_row + 1
            pause_s = loop.pause_s()

    async def _rest(self, loop: _Loop, pause_s: float) -> None:
        rest: Deferred[None] = Deferred()
        loop.rest = rest
        loop.alarm = self._clock.call_later(pause_s, loop.go_on)
        await rest

    async def _attempt(self, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        """Run `work` once; True when it succeeded."""
        counts = self.counts.setdefault(name, LoopCounts())
        began_s = self._clock.seconds()
        try:
            await work()
        except Exception as failure:
            if not (self._is_stopping and isinstance(failure, CancelledError)):
                counts.failures += 1
                log.exception("background work failed", loop=name)
            return False
        finally:
            counts.runs += 1
            counts.busy_s += self._clock.seconds() - began_s
        return True
