"""Locks by key: at most one coroutine at a time holds each key.

They hold within this process only; what must hold between processes is a compare-and-swap in the database.
"""

from collections import OrderedDict
from collections.abc import Hashable
from types import TracebackType
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

K = TypeVar("K", bound=Hashable)


class _Queue:
    """A held key, and who waits for it, first come first."""

    __slots__ = ("handing_over", "released", "waiting")

    def __init__(self) -> None:
        self.waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self.handing_over = False
        self.released = False


class KeyedLocks(Generic[K]):
    """One lock per key: `async with locks(room_id): …`.

    Fair: whoever asked first holds first. Nothing is kept for a key that nobody holds. A coroutine that is
    cancelled while it waits loses its turn and leaves nothing behind. A lock is not reentrant.
    """

    def __init__(self) -> None:
        self._queues: dict[K, _Queue] = {}

    def __call__(self, key: K) -> "_Hold[K]":
        return _Hold(self, key)

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._queues)

    def is_held(self, key: K) -> bool:
        """True while somebody holds `key`."""
        return key in self._queues

    def _acquire(self, key: K) -> Deferred[None] | None:
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = _Queue()
            return None
        turn: Deferred[None] = Deferred(lambda waiting: queue.waiting.pop(waiting, None))
        queue.waiting[turn] = None
        return turn

    def _release(self, key: K) -> None:
        queue = self._queues[key]
        queue.released = True
        if queue.handing_over:
            return  # the loop below, further up the stack, goes on: thousands of waiters don't nest
        queue.handing_over = True
        while queue.waiting and queue.released:
            queue.released = False
            turn, _ = queue.waiting.popitem(last=False)
            turn.callback(None)
        queue.handing_over = False
        if queue.released:
            del self._queues[key]


class _Hold(Generic[K]):
    """One wish to hold one key."""

    __slots__ = ("_key", "_locks")

    def __init__(self, locks: KeyedLocks[K], key: K) -> None:
        self._locks = locks
        self._key = key

    async def __aenter__(self) -> None:
        turn = self._locks._acquire(self._key)
        if turn is not None:
            await turn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks._release(self._key)
