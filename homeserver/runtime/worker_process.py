"""A process beside the server's, for what would compute long: the interpreter gives threads the processor in turns, and
whoever computes for a second in one of them takes it from everybody.

What is computed there, its owner says. The process is a Python of its own, spoken to through its standard input and
output: of multiprocessing it would need little, and get a third process to track what it does not use.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Final, Generic, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.logs import get_logger

Q = TypeVar("Q")
A = TypeVar("A")

IDLE_S: Final = 60.0  # then the process is ended, until there is another question
PAUSE_S: Final = 60.0  # for so long no process is started when the last ones died
TRIES: Final = 2
NICENESS: Final = 10  # where there is one processor for all, those who wait for the server come first
MODULE: Final = "homeserver.runtime.worker_process"
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What comes of a process that died, of a pickle that was cut short or that another version of the program wrote, and
# of what cannot be pickled.
NO_ANSWER: Final = (
    OSError,
    EOFError,
    pickle.PickleError,
    AttributeError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
    MemoryError,
    RecursionError,
)

log = get_logger(__name__)


class WorkerLost(Exception):  # noqa: N818 - a state of the process
    """The process died over a question, and the one after it too; or it did so lately."""


class WorkerStopped(CancelledError):  # noqa: N818 - a state of the process
    """The server is about to end: there will be no answer."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[Q, A]):
    question: Q
    answer: "Deferred[A]"


@dataclass(frozen=True, slots=True)
class _Running:
    """A process, and the pipes to and from it."""

    process: "subprocess.Popen[bytes]"
    questions: IO[bytes]
    answers: IO[bytes]


class WorkerProcess(Generic[Q, A]):
    """One process that answers one question at a time, started for the first of them and ended when there are none.

    `begin` is called in it once, and returns what answers there. It is pickled, as are questions and answers; a
    question must not change once it was asked. Made, asked and stopped on the reactor's thread.
    """

    def __init__(
        self,
        begin: Callable[[], Callable[[Q], A]],
        call_from_thread: Callable[..., object],
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._begin = begin
        self._call_from_thread = call_from_thread
        self._idle_s = idle_s
        self._asked: queue.SimpleQueue[_Asked[Q, A] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # of the two that follow
        self._is_stopped = False
        self._running: _Running | None = None
        self._resting_until_s = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        running = self._running
        return None if running is None else running.process.pid

    async def ask(self, question: Q) -> A:
        """What the process answers. Raises WorkerLost, WorkerStopped."""
        if self._is_stopped:
            raise WorkerStopped
        if self._thread is None:
            self._thread = threading.Thread(target=self._pass_on, name="worker-process", daemon=True)
            self._thread.start()
        answer: Deferred[A] = Deferred()
        self._asked.put(_Asked(question, answer))
        return await answer

    def stop(self) -> "Deferred[None]":
        """End the process, whatever it computes. Fires when it is gone, and whoever waited for it knows."""
        stopped: Deferred[None] = Deferred()
        with self._lock:
            self._is_stopped = True
            if self._running is not None:
                self._running.process.kill()
        thread, self._thread = self._thread, None
        if thread is None:
            stopped.callback(None)
            return stopped

        def wait() -> None:
            self._asked.put(None)
            thread.join()
            self._call_from_thread(stopped.callback, None)

        threading.Thread(target=wait, name="worker-process-stop", daemon=True).start()
        return stopped

    def _pass_on(self) -> None:
        while (asked := self._next()) is not None:
            self._settle(asked)
            del asked  # it may be large, and the next one may be long in coming
        self._end()

    def _settle(self, asked: _Asked[Q, A]) -> None:
        if asked.answer.called:
            return  # cancelled: whoever asked does not wait any more
        try:
            answer = self._answer(asked.question)
        except (WorkerLost, WorkerStopped) as none:
            self._call_from_thread(asked.answer.errback, none)
        else:
            self._call_from_thread(asked.answer.callback, answer)

    def _next(self) -> _Asked[Q, A] | None:
        if self._running is not None:
            try:
                return self._asked.get(timeout=self._idle_s)
            except queue.Empty:
                self._end()
        return self._asked.get()

    def _answer(self, question: Q) -> A:
        if self._is_stopped:
            raise WorkerStopped
        if time.monotonic() < self._resting_until_s:
            raise WorkerLost("the process died lately")
        for _ in range(TRIES):
            try:
                return self._answer_of(self._start_or_find(), question)
            except NO_ANSWER as lost:
                self._end()
                if self._is_stopped:
                    raise WorkerStopped from lost
                reason = repr(lost)
        self._resting_until_s = time.monotonic() + PAUSE_S
        log.warning("the process beside the server's died twice; the server computes by itself", reason=reason)
        raise WorkerLost(reason)

    def _answer_of(self, running: _Running, question: Q) -> A:
        # Into and out of the pipes a piece at a time, between which other threads have their turn.
        pickle.dump(question, running.questions, pickle.HIGHEST_PROTOCOL)
        running.questions.flush()
        answer: A = pickle.load(running.answers)  # noqa: S301 - of a process of our own
        return answer

    def _start_or_find(self) -> _Running:
        """The process, started if there is none."""
        with self._lock:
            if self._is_stopped:
                raise WorkerStopped
            if self._running is not None:
                return self._running
            process = subprocess.Popen(  # noqa: S603 - the arguments are constants
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                process_group=0,  # Ctrl-C is for the server, which then says when to end
            )
            # They are pipes, and so not None.
            running = _Running(process, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))
            self._running = running
        pickle.dump(self._begin, running.questions, pickle.HIGHEST_PROTOCOL)
        return running

    def _end(self) -> None:
        """End the process, if there is one, and leave nothing of it."""
        running = self._running
        if running is None:
            return
        running.process.kill()
        for pipe in (running.questions, running.answers):
            with contextlib.suppress(OSError):  # what was not sent yet cannot be
                pipe.close()
        running.process.wait()
        with self._lock:
            self._running = None


def serve() -> None:
    """Answer the questions on standard input until the process that asks them is gone: what the process runs."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a supervisor sends them to all of a service's processes
    os.nice(NICENESS)
    questions: queue.SimpleQueue[Any] = queue.SimpleQueue()  # Any: pickles; the first is what `begin` was
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed belongs into the log
    threading.Thread(target=_listen, args=(sys.stdin.buffer, questions), daemon=True).start()
    try:
        answer = questions.get()()
        while True:
            pickle.dump(answer(questions.get()), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    finally:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # as an interpreter should end it could not, for a thread waits on its standard input


def _listen(pipe: BinaryIO, questions: "queue.SimpleQueue[Any]") -> None:  # Any: as above
    """Hear at once when there is nobody to answer any more, however that one ended, and whatever is computed."""
    try:
        while True:
            questions.put(pickle.load(pipe))  # noqa: S301 - of the process that started this one
    except EOFError:
        os._exit(0)
    finally:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    serve()
