"""Several things at the same time, but not too many."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore

# Any: what a coroutine waits for, and nothing or a Failure.


async def in_parallel(works: Iterable[Callable[[], Coroutine[Any, Any, None]]], *, at_once: int) -> None:
    """Do all of it, `at_once` at a time, and return when everything has ended.

    Raises what the first of them raised that did.
    """
    turns = DeferredSemaphore(at_once)

    async def in_turn(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await turns.acquire()
        try:
            await work()
        finally:
            turns.release()

    done: list[tuple[bool, Any]] = await DeferredList(
        [Deferred.fromCoroutine(in_turn(work)) for work in works], consumeErrors=True
    )
    for is_done, result in done:
        if not is_done:
            result.raiseException()
