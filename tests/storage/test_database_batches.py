"""The writer's discipline against a connection that fails on demand."""

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import pytest

from homeserver.storage import dialect
from homeserver.storage.database import (
    ATTEMPTS_ALONE,
    MOST_JOBS_PER_BATCH,
    Batches,
    DatabaseUnavailable,
    Job,
    OutcomeUnknown,
    Transaction,
    Trouble,
    WaitingJobs,
)
from homeserver.storage.sqlite import SQLiteTransaction


class BrokenError(Exception):
    """What the connection raises, with what it means."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


@dataclass
class Unreliable:
    """A connection whose commits and begins fail in the order given. It keeps what was committed in a list."""

    transaction: Transaction
    commits: list[Trouble | None] = field(default_factory=list)
    begins: list[Trouble | None] = field(default_factory=list)
    can_undo: bool = True
    position: int = 0
    wrote: list[str] = field(default_factory=list)
    kept: list[list[str]] = field(default_factory=list)
    mark: int = 0

    def begin(self) -> None:
        self.wrote = []
        fail(self.begins)

    def begin_job(self) -> None:
        self.mark = len(self.wrote)

    def end_job(self) -> None: ...

    def undo_job(self) -> bool:
        del self.wrote[self.mark :]
        return self.can_undo

    def commit(self) -> None:
        fail(self.commits)
        self.kept.append(self.wrote)

    def rollback(self) -> None:
        self.wrote = []

    def trouble(self, error: Exception) -> Trouble:
        return error.trouble if isinstance(error, BrokenError) else Trouble.JOB

    def after_batch(self) -> None: ...

    def close(self) -> None: ...

    def job(self, name: str, *troubles: Trouble | None) -> Job[Any]:
        """A job that writes its name, or fails so the first times."""
        waiting = list(troubles)

        def fn(tx: Transaction) -> str:
            self.wrote.append(name)
            fail(waiting)
            return name

        return Job(fn, (), {})


def fail(troubles: list[Trouble | None]) -> None:
    if troubles and (trouble := troubles.pop(0)) is not None:
        raise BrokenError(trouble)


def run(connection: Unreliable, *jobs: Job[Any]) -> Batches:
    batches = Batches(connection)
    waiting = iter(jobs)
    batches.run(lambda: next(waiting, None))
    return batches


@pytest.fixture
def connection() -> Unreliable:
    return Unreliable(NoTransaction(dialect.sqlite()))


class NoTransaction(SQLiteTransaction):
    """A transaction without a database: these jobs use none."""

    def __init__(self, dialect: dialect.Dialect) -> None:
        Transaction.__init__(self, dialect)


def test_a_commit_that_fails_fails_nobody_until_each_was_tried_alone(connection: Unreliable) -> None:
    connection.commits = [Trouble.JOB, None, Trouble.JOB, None]
    jobs = [connection.job(name) for name in "abc"]

    run(connection, *jobs)

    assert [job.value for job in jobs] == ["a", None, "c"]
    assert isinstance(jobs[1].error, BrokenError)
    assert connection.kept == [["a"], ["c"]]


def test_given_no_savepoints_a_job_that_fails_sends_each_alone(connection: Unreliable) -> None:
    connection.can_undo = False
    jobs = [connection.job("a"), connection.job("b", Trouble.JOB, Trouble.JOB), connection.job("c")]

    run(connection, *jobs)

    assert [job.value for job in jobs] == ["a", None, "c"]
    assert connection.kept == [["a"], ["c"]]


def test_contention_is_tried_again(connection: Unreliable) -> None:
    job = connection.job("a", Trouble.CONTENTION, Trouble.CONTENTION)

    run(connection, job)

    assert job.value == "a"


def test_contention_that_stays_is_told(connection: Unreliable) -> None:
    job = connection.job("a", *[Trouble.CONTENTION] * (ATTEMPTS_ALONE + 1))

    run(connection, job)

    assert isinstance(job.error, BrokenError)


def test_a_connection_that_was_lost_before_the_commit_costs_nothing(connection: Unreliable) -> None:
    connection.can_undo = False
    jobs = [connection.job("a"), connection.job("b", Trouble.LOST)]

    run(connection, *jobs)

    assert [job.value for job in jobs] == ["a", "b"]
    assert connection.kept == [["a"], ["b"]]


def test_a_connection_that_was_lost_while_committing_leaves_the_outcome_unknown(connection: Unreliable) -> None:
    connection.commits = [Trouble.UNKNOWN]
    jobs = [connection.job("a"), connection.job("b", Trouble.JOB), connection.job("c")]

    run(connection, *jobs)

    assert [type(job.error) for job in jobs] == [OutcomeUnknown, BrokenError, OutcomeUnknown]
    assert connection.kept == []


def test_a_server_that_stays_away_is_told(connection: Unreliable) -> None:
    connection.begins = [Trouble.LOST] * 20
    jobs = [connection.job("a"), connection.job("b")]

    run(connection, *jobs)

    assert [type(job.error) for job in jobs] == [DatabaseUnavailable, DatabaseUnavailable]


def test_after_the_disk_has_failed_nothing_is_written(connection: Unreliable) -> None:
    connection.commits = [Trouble.FATAL]
    jobs = [connection.job("a"), connection.job("b")]
    later = connection.job("c")

    batches = run(connection, *jobs)
    batches.run(iter([later, None]).__next__)

    assert batches.fatal is not None
    assert [type(job.error) for job in jobs] == [OutcomeUnknown, OutcomeUnknown]
    assert isinstance(later.error, DatabaseUnavailable)
    assert connection.kept == []


def test_a_disk_that_fails_within_a_job_ends_the_batch(connection: Unreliable) -> None:
    jobs = [connection.job("a"), connection.job("b", Trouble.FATAL), connection.job("c")]

    batches = run(connection, *jobs)

    assert batches.fatal is not None
    assert all(isinstance(job.error, DatabaseUnavailable) for job in jobs)
    assert connection.kept == []


def test_a_group_is_bounded() -> None:
    jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
    for _ in range(MOST_JOBS_PER_BATCH + 3):
        jobs.put(Job(lambda tx: None, (), {}))
    jobs.put(None)
    waiting = WaitingJobs(jobs)

    sizes = []
    while waiting.wait():
        size = 0
        while waiting.take() is not None:
            size += 1
        sizes.append(size)

    assert sum(sizes) == MOST_JOBS_PER_BATCH + 3
    assert max(sizes) <= MOST_JOBS_PER_BATCH
