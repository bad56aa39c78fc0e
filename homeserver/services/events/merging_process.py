"""Large resolutions in a process of their own, so that the server's threads keep their turns of the interpreter.

The process reads what it needs from the database by itself: that is most of the work. It is sent the roots, and what
the asking write has that is not committed, and sends back a root and its new nodes. How it is started, ended and
replaced is in runtime/worker_process.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from homeserver.runtime.caches import CacheBudget
from homeserver.runtime.logs import get_logger
from homeserver.runtime.worker_process import WorkerLost, WorkerProcess
from homeserver.services.events.room_state import EventCache, RoomStates
from homeserver.services.events.state_merging import Merged, MergeQuestion, merge_all
from homeserver.storage.database import Backend, Job, ReadConnection, Transaction, run_read

CACHE_BYTES: Final = 64 * 1024 * 1024  # at most, of state nodes, while a question is answered

log = get_logger(__name__)


class MergingProcess:
    """Merges states in a process that is there when it is needed. Made, asked and stopped on the reactor's thread."""

    def __init__(self, backend: Backend, call_from_thread: Callable[..., object]) -> None:
        self._worker: WorkerProcess[MergeQuestion, Merged | str] = WorkerProcess(
            partial(begin, backend), call_from_thread
        )

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._worker.pid

    async def merge(self, question: MergeQuestion) -> Merged | None:
        """The merged state; None when the process does not stay, or could not answer. Raises WorkerStopped."""
        try:
            answer = await self._worker.ask(question)
        except WorkerLost:
            return None  # it was logged
        if isinstance(answer, Merged):
            return answer
        log.warning("the process beside the server's could not merge states", reason=answer)
        return None

    def stop(self) -> "Deferred[None]":
        """End the process, and let nobody wait for it any longer. Fires when that is done."""
        return self._worker.stop()


def begin(backend: Backend) -> Callable[[MergeQuestion], Merged | str]:
    """In the process: what merges by a connection that reads. It says why when it cannot."""
    return partial(_answer, backend.open_reader())


def _answer(reader: ReadConnection, question: MergeQuestion) -> Merged | str:
    job: Job[Merged] = Job(_merge, (question,), {})
    run_read(reader, job)
    return repr(job.error) if job.value is None else job.value


def _merge(tx: Transaction, question: MergeQuestion) -> Merged:
    # New caches for each question: here nobody would be told that an event was redacted, or has found its place.
    budget = CacheBudget(CACHE_BYTES)
    return merge_all(RoomStates(budget, EventCache(budget)), tx, question)
