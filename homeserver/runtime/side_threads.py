"""Threads for the code of others, which may take any time, or never come back.

They are few, apart from those that the server needs itself, and do not keep the process from ending.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, maybeDeferred

MOST_THREADS: Final = 4
MOST_WAITING: Final = 200

# Any, throughout: whatever is called takes and returns what it likes.


class TooManyWaiting(Exception):  # noqa: N818 - says what is the case
    """All threads are taken, and many calls wait for them already."""


class SideThreads:
    """Calls functions in threads. Used on the reactor thread; threads begin when they are wanted first."""

    def __init__(
        self,
        call_from_thread: Callable[..., Any],
        name: str,
        *,
        most_threads: int = MOST_THREADS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """`call_from_thread` is that of Twisted's reactor."""
        self._call_from_thread = call_from_thread
        self._name = name
        self._most_threads = most_threads
        self._most_waiting = most_waiting
        self._calls: SimpleQueue[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        self._threads = 0
        self._under_way = 0

    def run(self, function: Callable[..., Any], *arguments: Any) -> "Deferred[Any]":
        """What a function returns or raises, called in a thread. Who cancels waits no longer; the call goes on.

        Fails with TooManyWaiting when there is no end of those that wait.
        """
        if self._under_way >= self._most_threads + self._most_waiting:
            return fail(TooManyWaiting())
        if self._threads < self._most_threads and self._under_way >= self._threads:
            self._threads += 1
            Thread(target=self._work, name=f"{self._name} {self._threads}", daemon=True).start()
        self._under_way += 1
        done: Deferred[Any] = Deferred()
        self._calls.put((done, function, arguments))
        return done

    def _work(self) -> None:
        while True:
            done, function, arguments = self._calls.get()
            # Whatever it raises becomes a Failure, which is passed on like a result.
            maybeDeferred(function, *arguments).addBoth(self._hand_over, done)

    def _hand_over(self, told: Any, done: "Deferred[Any]") -> None:
        self._call_from_thread(self._end, done, told)

    def _end(self, done: "Deferred[Any]", told: Any) -> None:
        self._under_way -= 1
        if not done.called:
            done.callback(told)
