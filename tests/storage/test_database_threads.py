"""The database with its threads: answers come to the reactor's thread in groups, and stopping answers everybody."""

import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.storage.database import Backend, Database, DatabaseUnavailable, Transaction

ADD = "INSERT INTO counters (name, value) VALUES (:name, :value)"
COUNT = "SELECT count(*) FROM counters"


class StorageFailedError(Exception):
    """What a storage function raises in these tests."""


class Reactor:
    """The thread that tests run in, as a reactor: calls from other threads wait until it turns."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = queue.SimpleQueue()
        self.turns = 0

    def call_from_thread(self, fn: Callable[..., object], *args: Any) -> None:
        self.calls.put((fn, args))

    def turn(self) -> None:
        fn, args = self.calls.get(timeout=30)
        self.turns += 1
        fn(*args)

    def run(self, *coroutines: Coroutine[Any, Any, Any] | Deferred[Any]) -> list[Any]:
        """The answer of each, or the exception that it ended with."""
        answers: dict[int, Any] = {}
        for number, coroutine in enumerate(coroutines):
            deferred = coroutine if isinstance(coroutine, Deferred) else Deferred.fromCoroutine(coroutine)
            deferred.addCallbacks(
                lambda value, number=number: answers.update({number: value}),
                lambda failure, number=number: answers.update({number: failure.value}),
            )
        while len(answers) < len(coroutines):
            self.turn()
        return [answers[number] for number in range(len(coroutines))]


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def database(backend: Backend, reactor: Reactor) -> Iterator[Database]:
    fatal: list[Exception] = []
    database = Database(backend, call_from_thread=reactor.call_from_thread, on_fatal=fatal.append)
    database.start()
    yield database
    reactor.run(database.stop())
    assert fatal == []


def add(tx: Transaction, number: int) -> str:
    tx.at_position(("counters",), lambda *_: None)
    tx.run(ADD, name=str(number), value=number)
    return threading.current_thread().name


def count(tx: Transaction) -> int:
    row = tx.one(COUNT)
    return 0 if row is None else int(row[0])


def fail(tx: Transaction) -> int:
    raise StorageFailedError


def test_a_write_is_answered_once_committed(database: Database, reactor: Reactor) -> None:
    assert reactor.run(database.write(add, 1)) == ["database-writer"]
    assert reactor.run(database.read(count)) == [1]
    assert database.position == 1


def test_writes_that_wait_are_committed_together_and_cross_once(database: Database, reactor: Reactor) -> None:
    holding, held = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> str:
        held.set()
        holding.wait(30)
        return ""

    first = Deferred.fromCoroutine(database.write(hold))
    held.wait(30)
    others = [Deferred.fromCoroutine(database.write(add, number)) for number in range(10)]
    holding.set()
    answers = reactor.run(first, *others)

    assert answers[1:] == ["database-writer"] * 10
    assert reactor.turns <= 2
    assert (database.counts.writes, database.counts.hops) == (11, reactor.turns)
    assert database.counts.batches == reactor.turns
    assert database.position == 10


def test_what_follows_the_commit_runs_here_before_the_answers(database: Database, reactor: Reactor) -> None:
    heard: list[tuple[str, str]] = []

    def tell(tx: Transaction, name: str) -> None:
        tx.after_commit(lambda: heard.append((name, threading.current_thread().name)))

    async def ask(name: str) -> None:
        await database.write(tell, name)
        heard.append((f"{name} answered", threading.current_thread().name))

    reactor.run(ask("a"))

    here = threading.current_thread().name
    assert heard == [("a", here), ("a answered", here)]


def test_failures_come_back_to_who_asked(database: Database, reactor: Reactor) -> None:
    answers = reactor.run(database.write(fail), database.read(fail), database.read(count))

    assert [type(answer) for answer in answers] == [StorageFailedError, StorageFailedError, int]


def test_reads_run_beside_one_another(database: Database, reactor: Reactor) -> None:
    together = threading.Barrier(3)

    def meet(tx: Transaction) -> int:
        together.wait(30)
        return count(tx)

    assert reactor.run(*(database.read(meet) for _ in range(3))) == [0, 0, 0]


def test_who_gave_up_waiting_harms_nobody(database: Database, reactor: Reactor) -> None:
    gone = Deferred.fromCoroutine(database.write(add, 1))
    gone.addErrback(lambda _: None)
    gone.cancel()

    reactor.run(database.write(add, 2))

    assert reactor.run(database.read(count)) == [2]


def test_stopping_answers_what_was_asked_and_refuses_what_comes(backend: Backend, reactor: Reactor) -> None:
    database = Database(backend, call_from_thread=reactor.call_from_thread, on_fatal=lambda error: None)
    database.start()

    writes = [Deferred.fromCoroutine(database.write(add, number)) for number in range(100)]
    stopped = database.stop()
    late = Deferred.fromCoroutine(database.write(add, 100))
    answers = reactor.run(*writes, late, stopped)

    assert answers[:100] == ["database-writer"] * 100
    assert isinstance(answers[100], DatabaseUnavailable)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("database-")] in (
        [],
        ["database-stop"],
    )


def test_every_boot_has_an_epoch_of_its_own(backend: Backend, reactor: Reactor) -> None:
    epochs = {
        Database(backend, call_from_thread=reactor.call_from_thread, on_fatal=lambda error: None).epoch
        for _ in range(5)
    }

    assert len(epochs) == 5
