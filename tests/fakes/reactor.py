"""A reactor whose time stands still and which has no sockets: it only takes what threads bring, and counts that."""

import queue
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool

PATIENCE_S: Final = 60.0


class StillPort:
    """A port that nobody can connect to but the test."""

    def getHost(self) -> IAddress:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", "127.0.0.1", 8008)

    def stopListening(self) -> Deferred[None]:  # noqa: N802 - Twisted's name
        return succeed(None)


class StillReactor(Clock):
    """What a server needs of a reactor. What is due later than now comes only when the test calls `advance`."""

    def __init__(self) -> None:
        super().__init__()
        self.crossings = 0  # times that a thread had something called here
        self.factories: list[ServerFactory] = []
        # Any: functions of every type cross
        self._called: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]
        self._called = queue.SimpleQueue()
        self._pool = ThreadPool(1, 2)
        self._pool.start()

    # Twisted's names, up to `turn_until`.
    def callFromThread(self, fn: Callable[..., object], *arguments: Any, **named: Any) -> None:  # noqa: N802
        self._called.put((fn, arguments, named))

    def getThreadPool(self) -> ThreadPool:  # noqa: N802
        return self._pool

    def listenTCP(self, port: int, factory: ServerFactory, **_: object) -> StillPort:  # noqa: N802
        self.factories.append(factory)
        return StillPort()

    def listenUNIX(self, path: str, factory: ServerFactory, **_: object) -> StillPort:  # noqa: N802
        return StillPort()

    def turn_until(self, is_done: Callable[[], bool]) -> None:
        """Call what is due now and what threads bring, until the test has what it waits for."""
        self.advance(0)
        while not is_done():
            fn, arguments, named = self._called.get(timeout=PATIENCE_S)
            self.crossings += 1
            fn(*arguments, **named)
            self.advance(0)

    def close(self) -> None:
        """End the threads."""
        self._pool.stop()
