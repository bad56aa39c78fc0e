"""A process beside this one: answers, dies, is made anew, and is never left behind."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.worker_process import IDLE_S, NICENESS, SIGNALS, WorkerLost, WorkerProcess, WorkerStopped
from tests.fakes.calls import PATIENCE_S, ThreadOfCalls
from tests.fakes.worker_answers import begin

MANY: Final = 10_000_000  # bytes: more than a pipe takes


class Here(ThreadOfCalls):
    """The thread of a test in the place of the reactor's, and a process beside it."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        super().__init__()
        self.worker: WorkerProcess[object, object] = WorkerProcess(begin, self.call, idle_s=idle_s)

    def ask(self, question: object) -> "Deferred[object]":
        """Ask, and do not wait."""
        return Deferred.fromCoroutine(self.worker.ask(question))

    def pid(self) -> int:
        """Ask the process who it is, and wait."""
        pid = self.wait(self.ask("pid"))
        assert isinstance(pid, int)
        return pid


class Signpost:
    """A pipe with a name, by which the process tells that it has begun to compute."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "computes"
        os.mkfifo(self.path)
        self._pipe = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)

    def wait(self) -> None:
        """Wait until it tells."""
        assert select.select([self._pipe], [], [], PATIENCE_S)[0]
        assert os.read(self._pipe, 1) == b"."


@pytest.fixture
def here() -> Iterator[Here]:
    here = Here()
    try:
        yield here
    finally:
        here.wait(here.worker.stop())


def wait_for_end(pid: int) -> bool:
    """Whether a process ends before long."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], PATIENCE_S)[0])
    finally:
        os.close(process)


def test_there_is_no_process_before_the_first_question(here: Here) -> None:
    threads = threading.active_count()

    assert here.worker.pid is None
    here.pid()
    assert here.worker.pid is not None
    assert threading.active_count() == threads + 1


def test_one_process_answers_every_question_and_nothing_computes_here(here: Here) -> None:
    asked = [here.ask("pid"), here.ask("print"), here.ask("pid")]

    assert [here.wait(one) for one in asked] == [here.worker.pid] * 3 != [os.getpid()] * 3


def test_questions_and_answers_may_be_larger_than_a_pipe(here: Here) -> None:
    large = bytes(range(250)) * (MANY // 250)

    assert here.wait(here.ask(large)) == large[::-1]


def test_an_answer_comes_on_the_thread_that_asked(here: Here) -> None:
    threads: list[int] = []
    asked = here.ask("pid")
    asked.addCallback(lambda pid: threads.append(threading.get_ident()))

    here.wait(asked)

    assert threads == [threading.get_ident()]


def test_the_process_has_no_reactor(here: Here) -> None:
    modules = here.wait(here.ask("modules"))

    assert isinstance(modules, list)
    assert "twisted.internet.reactor" not in modules


def test_the_process_has_none_of_the_files_that_are_open_here(here: Here, tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - the library's signature

        files = here.wait(here.ask("files"))

    assert isinstance(files, list)
    assert files
    assert str(tmp_path / "open") not in files


def test_the_process_lets_others_have_the_processor_first(here: Here) -> None:
    expected = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)

    assert os.getpriority(os.PRIO_PROCESS, here.pid()) == expected


def test_a_process_that_dies_is_made_anew_and_asked_again(here: Here, tmp_path: Path) -> None:
    first = here.pid()

    second = here.wait(here.ask(f"die-once {tmp_path / 'died'}"))

    assert isinstance(second, int)
    assert first != second == here.worker.pid


def test_a_process_that_is_killed_over_a_question_is_made_anew_and_asked_again(here: Here, tmp_path: Path) -> None:
    first, signpost = here.pid(), Signpost(tmp_path)
    asked = here.ask(f"compute-at-first {signpost.path}")
    signpost.wait()

    os.kill(first, signal.SIGKILL)

    assert here.wait(asked) == here.worker.pid != first


def test_a_process_that_was_killed_between_two_questions_is_made_anew(here: Here) -> None:
    first = here.pid()
    os.kill(first, signal.SIGKILL)

    assert here.pid() == here.worker.pid != first


def test_when_it_dies_twice_over_a_question_there_is_no_answer_nor_soon_after(here: Here) -> None:
    with pytest.raises(WorkerLost):
        here.wait(here.ask("die"))

    with pytest.raises(WorkerLost):
        here.wait(here.ask("pid"))
    assert here.worker.pid is None


def test_what_cannot_be_sent_is_not_answered(here: Here) -> None:
    with pytest.raises(WorkerLost):
        here.wait(here.ask(lambda: "of this thread alone"))


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_for_the_server_are_not_for_the_process(here: Here, number: signal.Signals) -> None:
    pid = here.pid()

    os.kill(pid, number)

    assert here.pid() == pid
    assert os.getpgid(pid) != os.getpgid(0)


def test_a_process_that_nobody_asks_is_ended_and_another_one_begun_when_somebody_does() -> None:
    here = Here(idle_s=0)
    try:
        first = here.pid()

        assert wait_for_end(first)
        assert here.pid() != first
        assert not Path(f"/proc/{first}").exists()
    finally:
        here.wait(here.worker.stop())


def test_what_is_not_waited_for_any_more_is_not_computed(here: Here, tmp_path: Path) -> None:
    signpost = Signpost(tmp_path)
    computed = here.ask(f"compute-at-first {signpost.path}")
    waiting = here.ask(f"touch {tmp_path / 'touched'}")
    signpost.wait()

    for one in (computed, waiting):
        one.cancel()
        with pytest.raises(CancelledError):
            here.wait(one)
    pid = here.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    assert here.pid() != pid
    assert not (tmp_path / "touched").exists()


def test_stopping_ends_what_is_computed_and_what_waits(here: Here, tmp_path: Path) -> None:
    pid, signpost = here.pid(), Signpost(tmp_path)
    asked = [here.ask(f"compute {signpost.path}"), here.ask("pid")]
    signpost.wait()

    here.wait(here.worker.stop())

    for one in asked:
        with pytest.raises(WorkerStopped):
            here.wait(one)
    with pytest.raises(WorkerStopped):
        here.wait(here.ask("pid"))
    assert here.worker.pid is None
    assert not Path(f"/proc/{pid}").exists()


def test_stopping_what_never_began_begins_nothing(here: Here) -> None:
    here.wait(here.worker.stop())

    with pytest.raises(WorkerStopped):
        here.wait(here.ask("pid"))
    assert here.worker.pid is None


ASKER: Final = """
import sys
from tests.runtime.test_worker_process import Here
here = Here()
print(here.pid(), flush=True)
here.wait(here.ask("compute " + sys.argv[1]))
"""


def test_the_process_ends_with_the_one_that_asks_though_that_was_killed_and_it_computes(tmp_path: Path) -> None:
    signpost = Signpost(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", ASKER, str(signpost.path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as asker:
        assert asker.stdout is not None
        pid = int(asker.stdout.readline())
        signpost.wait()

        asker.kill()

    assert wait_for_end(pid)
