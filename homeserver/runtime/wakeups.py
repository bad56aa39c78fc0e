"""The bell: writers ring the keys that they changed, readers wait for one key.

The bell says only that there is something to read; what there is, readers find in the database or in the small
maps that the write updated.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Cancellable, Clock

# So many waiters go on in one turn of the reactor; the rest in the next, so that other requests get between.
WAITERS_PER_TURN: Final = 64


class _Waiter:
    """One reader that waits for one key."""

    __slots__ = ("key", "timeout", "woken")

    def __init__(self, key: str, woken: Deferred[bool]) -> None:
        self.key = key
        self.woken = woken
        self.timeout: Cancellable | None = None


class Bell:
    """Wakes those who wait for a key.

    A ring wakes only those who wait at that moment: read first, then wait without an `await` between, so that no
    ring is missed. All on the reactor thread.

    Woken readers go on in the next turn of the reactor, not inside `ring`: the writer's own answer goes first, and
    several rings of one turn wake a reader once. With a `ManualClock` that is `clock.advance(0)`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, dict[_Waiter, None]] = {}
        self._rung: OrderedDict[_Waiter, None] = OrderedDict()
        self._turn_is_due = False

    def __len__(self) -> int:
        """How many readers wait or are about to go on."""
        return sum(map(len, self._waiting.values())) + len(self._rung)

    def ring(self, keys: Iterable[str]) -> None:
        """Wake everybody who waits for one of `keys`. A key that nobody waits for costs one look."""
        for key in keys:
            waiters = self._waiting.pop(key, None)
            if waiters is not None:
                self._rung.update(waiters)
        if self._rung and not self._turn_is_due:
            self._turn_is_due = True
            self._clock.call_later(0, self._let_go_on)

    async def wait(self, key: str, timeout_s: float) -> bool:
        """Return True when `key` is rung, False after `timeout_s` without a ring."""
        if timeout_s <= 0:
            return False
        woken: Deferred[bool] = Deferred(lambda _: self._forget(waiter))
        waiter = _Waiter(key, woken)
        waiter.timeout = self._clock.call_later(timeout_s, lambda: self._give_up(waiter))
        self._waiting.setdefault(key, {})[waiter] = None
        return await woken

    def _let_go_on(self) -> None:
        for _ in range(min(WAITERS_PER_TURN, len(self._rung))):
            if not self._rung:
                break  # those before have cancelled the rest
            waiter, _ = self._rung.popitem(last=False)
            self._stop_timeout(waiter)
            waiter.woken.callback(True)  # noqa: FBT003 - what `wait` returns
        self._turn_is_due = bool(self._rung)
        if self._turn_is_due:
            self._clock.call_later(0, self._let_go_on)

    def _give_up(self, waiter: _Waiter) -> None:
        was_rung = waiter in self._rung
        self._forget(waiter)
        waiter.woken.callback(was_rung)

    def _forget(self, waiter: _Waiter) -> None:
        self._stop_timeout(waiter)
        if waiter in self._rung:
            del self._rung[waiter]
            return
        waiters = self._waiting[waiter.key]
        del waiters[waiter]
        if not waiters:
            del self._waiting[waiter.key]

    @staticmethod
    def _stop_timeout(waiter: _Waiter) -> None:
        # The timer's function knows the waiter, and the waiter the timer: cut the circle rather than leave it to
        # the garbage collector, which thousands of long polls would keep busy.
        if waiter.timeout is not None:
            waiter.timeout.cancel()
            waiter.timeout = None
