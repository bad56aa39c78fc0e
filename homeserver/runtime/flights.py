"""Work that several ask for and one does: whoever asks while it is under way waits for the same one.

What the work is, its owner says; that it is supervised, and stopped with the server, loops.py sees to.
"""

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops

K = TypeVar("K", bound=Hashable)
OF_NO_USE: Final = False

# Any: what a coroutine waits for.


class Flights(Generic[K]):
    """One piece of work per key at a time, each of which says whether it was of any use."""

    def __init__(self, loops: Loops, clock: Clock, name: str) -> None:
        """`name` is that of the work, for logs and metrics."""
        self._loops = loops
        self._clock = clock
        self._name = name
        self._waiting: dict[K, list[Deferred[bool]]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._waiting)

    def is_under_way(self, key: K) -> bool:
        """Whether the work is done just now."""
        return key in self._waiting

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, bool]], *, timeout_s: float) -> bool:
        """What comes of the work that is under way for this key, or of `work`, which begins now if there is none.

        False if it fails, or takes longer than `timeout_s`; then it goes on without this caller.
        """
        arrival: Deferred[bool] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = [arrival]
            self._loops.run_once(self._name, lambda: self._fly(key, work))
        else:
            waiting.append(arrival)
        alarm = self._clock.call_later(timeout_s, lambda: self._leave(key, arrival))
        try:
            return await arrival
        finally:
            alarm.cancel()

    async def _fly(self, key: K, work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        was_useful = OF_NO_USE
        try:
            was_useful = await work()
        finally:
            for arrival in self._waiting.pop(key):
                arrival.callback(was_useful)

    def _leave(self, key: K, arrival: Deferred[bool]) -> None:
        waiting = self._waiting.get(key, [])
        if arrival in waiting:
            waiting.remove(arrival)
            arrival.callback(OF_NO_USE)
