"""The thread of a test in the place of the reactor's, for what is called from other threads and nothing else."""

import queue
from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
PATIENCE_S: Final = 60.0


class ThreadOfCalls:
    """Calls what other threads bring while the test waits. Any: functions of every type are brought."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called on this thread."""
        self._calls.put((function, arguments))

    def wait(self, deferred: "Deferred[T]") -> T:
        """What comes of it."""
        results: list[T | Failure] = []
        deferred.addBoth(results.append)
        while not results:
            function, arguments = self._calls.get(timeout=PATIENCE_S)
            function(*arguments)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]
