"""The database's door: `await db.write(fn, …)` on the one writer thread, `await db.read(fn, …)` on a few readers.

Here is how work is queued, grouped into transactions, retried and answered. What a connection of either database does
is in storage/sqlite.py and storage/postgresql.py; how a statement is said to each in storage/dialect.py; which one is
opened in storage/opening.py.
"""

import logging
import queue
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

from homeserver.storage.dialect import Dialect
from homeserver.storage.whole_tables import Snapshot

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

MOST_JOBS_PER_BATCH: Final = 64
BATCH_MS: Final = 20  # a batch takes no further job once it has worked this long
ATTEMPTS_ALONE: Final = 5


class Conflict(Exception):  # noqa: N818 - an answer of compare-and-swap, not an error
    """A compare-and-swap failed: raised inside a write, which is then run again alone, a few times."""


class DatabaseRefused(Exception):  # noqa: N818 - the database is refused; it stays as it was
    """The database cannot be used by this server, and was left as it was. `reason` is for the administrator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DatabaseUnavailable(Exception):  # noqa: N818 - a state of the database
    """The database cannot be reached, or has stopped; nothing of this request was stored."""


class OutcomeUnknown(Exception):  # noqa: N818 - a state of the request
    """The connection or the disk failed while committing: whether the write is stored, only a later read can tell."""


class Transaction(ABC):
    """What every storage function gets first. Statements are constants with named parameters; see storage/dialect.py.

    Rows are tuples as the driver makes them: say `bool(row[i])` for a BOOLEAN. Any: a column's type is known to the
    reader of its SQL alone.
    """

    __slots__ = ("after_commits", "dialect")

    dialect: Dialect
    after_commits: list[Callable[[], None]]

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.after_commits = []

    @abstractmethod
    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Every row of a query."""

    @abstractmethod
    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""

    @abstractmethod
    def run(self, sql: str, **parameters: Any) -> int:
        """Run a statement for its effect: the number of rows that it changed."""

    @abstractmethod
    def run_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once for each of `rows`, in order."""

    @abstractmethod
    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows by a one-row INSERT; on PostgreSQL many at once, before anybody in this batch can miss them."""

    @abstractmethod
    def next_ids(self, counter: str, count: int = 1) -> int:
        """The first of `count` fresh numbers of a counter. A number that was stored is never given again."""

    @abstractmethod
    def at_position(self, tables: tuple[str, ...], fn: "Callable[[Transaction, int], None]") -> None:
        """Have `fn(tx, position)` write rows of `tables` at the next position of the change log.

        SQLite calls it at once; PostgreSQL at the end of the batch, or before a statement that names one of `tables`.
        """

    @property
    @abstractmethod
    def log_position(self) -> int:
        """The highest position of the change log that this transaction sees."""

    def after_commit(self, fn: Callable[[], None]) -> None:
        """Have `fn` called on the reactor thread once this is committed, before the awaiting caller goes on.

        The only place where a write touches memory that it shares.
        """
        self.after_commits.append(fn)


class Trouble(Enum):
    """What an exception means for the transaction it happened in."""

    JOB = "job"  # this job's own fault
    CONTENTION = "contention"  # deadlock or serialisation: the same job may succeed next time
    LOST = "lost"  # the connection is gone; what was not committed never happened
    UNKNOWN = "unknown"  # the connection went while committing
    FATAL = "fatal"  # the disk failed: nothing may be written any more


class WriteConnection(Protocol):
    """The one connection of a process that writes. Used by one thread at a time."""

    @property
    def transaction(self) -> Transaction: ...

    @property
    def position(self) -> int:
        """The newest position given, committed or about to be."""

    def begin(self) -> None: ...

    def begin_job(self) -> None:
        """Set a mark to which undo_job can return."""

    def end_job(self) -> None: ...

    def undo_job(self) -> bool:
        """Undo what the job did and keep the others'; False when that cannot be done."""

    def commit(self) -> None:
        """Write what waits for the end of the batch, then commit."""

    def rollback(self) -> None:
        """Forget the transaction. Never raises; the connection may need `begin` to open it anew."""

    def trouble(self, error: Exception) -> Trouble: ...

    def after_batch(self) -> None:
        """What is due between two batches, after the answers are out: checkpoints."""

    def close(self) -> None: ...


class ReadConnection(Protocol):
    """A connection that only reads; each read sees one snapshot."""

    @property
    def transaction(self) -> Transaction: ...

    def begin(self) -> None: ...

    def end(self) -> None:
        """Let the snapshot go. Never raises."""

    def trouble(self, error: Exception) -> Trouble: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Durability:
    """What the database says of how it keeps what was committed, read back from it."""

    settings: Mapping[str, str]
    survives_power_loss: bool


class Backend(Protocol):
    """A database that was opened, checked and migrated."""

    @property
    def dialect(self) -> Dialect: ...

    def open_writer(self) -> WriteConnection: ...

    def open_reader(self) -> ReadConnection: ...

    def open_snapshot(self) -> Snapshot:
        """All of it as it is now, on a connection of its own. Raises SnapshotLost."""

    def durability(self) -> Durability: ...


@dataclass(slots=True)
class DatabaseCounts:
    """What was asked of the database. Changed on the reactor thread alone."""

    reads: int = 0
    writes: int = 0  # jobs, whether or not they succeeded
    batches: int = 0  # transactions that they were grouped into, those tried again apart
    hops: int = 0  # times that an answer crossed from a thread to the reactor


class Job(Generic[T]):
    """One call of a storage function, and what became of it."""

    __slots__ = ("after_commits", "answer", "args", "error", "fn", "kwargs", "value")

    def __init__(
        self,
        fn: Callable[..., T],
        args: tuple[Any, ...],  # Any: P.args and P.kwargs of whoever calls write or read, checked there
        kwargs: Mapping[str, Any],
        answer: "Deferred[T] | None" = None,
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.answer = answer
        self.value: T | None = None
        self.error: Exception | None = None
        self.after_commits: list[Callable[[], None]] = []

    def run(self, tx: Transaction) -> None:
        """Run the function, from the beginning."""
        self.error = None
        self.after_commits = tx.after_commits = []
        try:
            self.value = self.fn(tx, *self.args, **self.kwargs)
        except Exception:
            raise
        except BaseException as error:  # it would end the thread, and everybody else would wait forever
            raise RuntimeError(f"a storage function raised {type(error).__name__}") from error

    def fail(self, error: Exception) -> None:
        """Let the job end with `error`, and leave no trace of it."""
        self.value, self.error, self.after_commits = None, error, []

    def settle(self) -> None:
        """Give the answer to whoever waits for it."""
        if self.answer is None:
            return
        if self.error is None:
            self.answer.callback(self.value)  # type: ignore[arg-type]  # T | None: it is T once run() has returned
        else:
            self.answer.errback(self.error)


class Apart(Exception):  # noqa: N818 - a turn of control inside this file
    """The batch cannot be committed as one: run its jobs one by one."""


class Batches:
    """The writer's discipline: jobs share a transaction, and none pays for another's failure."""

    def __init__(self, connection: WriteConnection) -> None:
        self.connection = connection
        self.fatal: Exception | None = None

    def run(self, take: Callable[[], Job[Any] | None]) -> list[Job[Any]]:
        """Run the jobs that `take` yields in one transaction, and whichever need it once more alone.

        Returns them in the order of their commits; each has its value, committed, or its error. Any: jobs of every
        type share a batch.
        """
        jobs: list[Job[Any]] = []
        again: list[Job[Any]] = []
        try:
            self._together(take, jobs, again)
        except Apart:
            while (job := take()) is not None:
                jobs.append(job)
            again = jobs
        for job in again:
            self._alone(job)
        return jobs if again is jobs else [*(job for job in jobs if job not in again), *again]

    def _together(self, take: Callable[[], Job[Any] | None], jobs: list[Job[Any]], again: list[Job[Any]]) -> None:
        connection, tx = self.connection, self.connection.transaction
        job = take()
        if job is None:
            return
        jobs.append(job)
        if self.fatal is not None:
            raise Apart
        try:
            connection.begin()
        except Exception as error:
            self.note(error)
            raise Apart from error
        while job is not None:
            try:
                connection.begin_job()
                job.run(tx)
                connection.end_job()
            except Exception as error:
                trouble = self.note(error)
                if trouble is Trouble.FATAL or not connection.undo_job():
                    connection.rollback()
                    raise Apart from error
                if trouble is Trouble.JOB and not isinstance(error, Conflict):
                    job.fail(error)
                else:
                    again.append(job)
            job = take()
            if job is not None:
                jobs.append(job)
        try:
            connection.commit()
        except Exception as error:
            trouble = self.note(error)
            connection.rollback()
            if trouble not in (Trouble.UNKNOWN, Trouble.FATAL):
                raise Apart from error
            for job in jobs:
                if job.error is None and job not in again:
                    job.fail(OutcomeUnknown(f"the database failed while committing: {error}"))

    def _alone(self, job: Job[Any]) -> None:
        connection = self.connection
        for attempt in range(1, ATTEMPTS_ALONE + 1):
            if self.fatal is not None:
                job.fail(DatabaseUnavailable(f"the database has stopped: {self.fatal}"))
                return
            try:
                connection.begin()
                job.run(connection.transaction)
                connection.commit()
            except Exception as error:
                trouble = self.note(error)
                connection.rollback()
                passing = trouble in (Trouble.CONTENTION, Trouble.LOST) or isinstance(error, Conflict)
                if passing and attempt < ATTEMPTS_ALONE:
                    continue
                job.fail(answer_for(error, trouble))
            return

    def tidy(self) -> None:
        """Do what is due between two batches; its failure is nobody's but may be the disk's."""
        try:
            self.connection.after_batch()
        except Exception as error:
            self.note(error)
            logger.exception("the database could not be tidied after a commit")

    def note(self, error: Exception) -> Trouble:
        """What an exception of the connection means; one that is fatal ends all writing."""
        trouble = self.connection.trouble(error)
        if trouble is Trouble.FATAL and self.fatal is None:
            self.fatal = error
        return trouble


def answer_for(error: Exception, trouble: Trouble) -> Exception:
    """What the caller of a write is told when it failed for good."""
    if trouble is Trouble.LOST:
        return DatabaseUnavailable(f"the database cannot be reached: {error}")
    if trouble in (Trouble.UNKNOWN, Trouble.FATAL):
        return OutcomeUnknown(f"the database failed while committing: {error}")
    return error


class WaitingJobs:
    """The writer's queue, taken in groups that are bounded by number and by time."""

    def __init__(self, jobs: "queue.SimpleQueue[Job[Any] | None]") -> None:  # Any: as in Batches
        self._jobs = jobs
        self._first: Job[Any] | None = None
        self._taken = 0
        self._until = 0.0
        self._ended = False

    def wait(self) -> bool:
        """Wait for the first job of a group; False when there will be none."""
        if not self._ended:
            self._first = self._jobs.get()
            self._ended = self._first is None
        self._taken = 0
        self._until = time.monotonic() + BATCH_MS / 1000
        return not self._ended

    def take(self) -> Job[Any] | None:
        """The next job of the group, or None when it is complete or nobody waits."""
        job, self._first = self._first, None
        if job is None:
            if self._ended or self._taken >= MOST_JOBS_PER_BATCH or time.monotonic() > self._until:
                return None
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return None
            self._ended = job is None
        self._taken += 1
        return job


def run_read(connection: ReadConnection, job: Job[Any]) -> None:
    """Run one read in a snapshot of its own; once more when the connection turns out to be gone. Any: as in Batches."""
    for may_repeat in (True, False):
        try:
            connection.begin()
            job.run(connection.transaction)
        except Exception as error:
            trouble = connection.trouble(error)
            if may_repeat and trouble in (Trouble.LOST, Trouble.CONTENTION):
                continue
            job.fail(answer_for(error, trouble))
        finally:
            connection.end()
        return


def run_after_commits(jobs: Iterable[Job[Any]]) -> None:
    """Run what the jobs asked for after their commit, in order; a failure is logged, for the write stands."""
    for job in jobs:
        for fn in job.after_commits:
            try:
                fn()
            except Exception:
                logger.exception("what follows a commit failed")


class Database:
    """Writes and reads of one process. Made, started, used and stopped on the reactor thread."""

    def __init__(
        self,
        backend: Backend,
        *,
        call_from_thread: Callable[..., object],
        on_fatal: Callable[[Exception], None],
        readers: int = 3,
        epoch: str | None = None,
    ) -> None:
        self.backend = backend
        self.dialect = backend.dialect
        self.counts = DatabaseCounts()
        self.epoch = secrets.token_hex(4) if epoch is None else epoch
        self.position = 0
        self._call_from_thread = call_from_thread
        self._on_fatal = on_fatal
        self._reader_count = readers
        # Any: jobs of every type share the queues; None ends a thread
        self._writes: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open = False

    def start(self) -> None:
        """Open the connections and start their threads."""
        writer = self.backend.open_writer()
        self.position = writer.position
        readers = [self.backend.open_reader() for _ in range(self._reader_count)]
        self._threads = [
            threading.Thread(target=self._write_loop, args=(writer,), name="database-writer", daemon=True),
            *(
                threading.Thread(target=self._read_loop, args=(reader,), name=f"database-reader-{number}", daemon=True)
                for number, reader in enumerate(readers)
            ),
        ]
        self._open = True
        for thread in self._threads:
            thread.start()

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` on the writer; return what it returned once that is committed.

        `fn` may run more than once, and has no effects but through `tx`.
        """
        self.counts.writes += 1
        return await self._submit(self._writes, fn, args, kwargs)

    async def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` on a reader, in a snapshot of its own."""
        self.counts.reads += 1
        return await self._submit(self._reads, fn, args, kwargs)

    def durability(self) -> Durability:
        """What the database says of how it keeps what was committed. Blocks: for start, tests and checks."""
        return self.backend.durability()

    def stop(self) -> "Deferred[None]":
        """Answer what was asked, then close. Fires when every thread has ended; later requests fail."""
        stopped: Deferred[None] = Deferred()
        if not self._open:
            stopped.callback(None)
            return stopped
        self._open = False
        threads, self._threads = self._threads, []

        def wait() -> None:
            # Readers first: the writer's last checkpoint empties the log only when nobody reads it.
            for _ in threads[1:]:
                self._reads.put(None)
            for thread in threads[1:]:
                thread.join()
            self._writes.put(None)
            threads[0].join()
            self._call_from_thread(stopped.callback, None)

        threading.Thread(target=wait, name="database-stop", daemon=True).start()
        return stopped

    def _submit(
        self,
        jobs: "queue.SimpleQueue[Job[Any] | None]",
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> "Deferred[T]":
        answer: Deferred[T] = Deferred()
        if self._open:
            jobs.put(Job(fn, args, kwargs, answer))
        else:
            answer.errback(DatabaseUnavailable("the database is closed"))
        return answer

    def _write_loop(self, connection: WriteConnection) -> None:
        try:
            self._write_until_stopped(connection)
        except Exception as error:
            logger.critical("the thread that writes the database ended", exc_info=True)
            self._call_from_thread(self._on_fatal, error)

    def _write_until_stopped(self, connection: WriteConnection) -> None:
        batches = Batches(connection)
        waiting = WaitingJobs(self._writes)
        told = False
        while waiting.wait():
            jobs = batches.run(waiting.take)
            self._call_from_thread(self._committed, jobs, connection.position)
            batches.tidy()
            if batches.fatal is not None and not told:
                told = True
                self._call_from_thread(self._on_fatal, batches.fatal)
        connection.close()

    def _read_loop(self, connection: ReadConnection) -> None:
        while (job := self._reads.get()) is not None:
            run_read(connection, job)
            self._call_from_thread(self._was_read, job)
        connection.close()

    def _committed(self, jobs: Sequence[Job[Any]], position: int) -> None:
        self.counts.batches += 1
        self.counts.hops += 1
        run_after_commits(jobs)
        self.position = max(self.position, position)
        for job in jobs:
            job.settle()

    def _was_read(self, job: Job[Any]) -> None:
        self.counts.hops += 1
        run_after_commits((job,))
        job.settle()


class InlineDatabase(Database):
    """A database that works at once, in the thread of the caller: for tools that have no reactor."""

    def start(self) -> None:
        """Open the connections."""
        self._writer = self.backend.open_writer()
        self._reader = self.backend.open_reader()
        self._batches = Batches(self._writer)
        self.position = self._writer.position
        self._open = True

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` in a batch of its own, now."""
        return self.write_now(fn, *args, **kwargs)

    async def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` in a snapshot of its own, now."""
        return self.read_now(fn, *args, **kwargs)

    def write_now(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` in a batch of its own; return what it returned, or raise what it raised."""
        job: Job[T] = Job(fn, args, kwargs)
        self.run_batch((job,))
        return result_of(job)

    def read_now(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` in a snapshot of its own; return what it returned, or raise what it raised."""
        if not self._open:
            raise DatabaseUnavailable("the database is closed")
        self.counts.reads += 1
        job: Job[T] = Job(fn, args, kwargs)
        run_read(self._reader, job)
        self._was_read(job)
        return result_of(job)

    def run_batch(self, jobs: Sequence[Job[Any]]) -> None:
        """Run jobs as the writer thread does when they wait together. Any: jobs of every type share a batch."""
        if not self._open:
            raise DatabaseUnavailable("the database is closed")
        self.counts.writes += len(jobs)
        waiting = iter(jobs)
        done = self._batches.run(lambda: next(waiting, None))
        self._committed(done, self._writer.position)
        self._batches.tidy()
        if self._batches.fatal is not None:
            self._on_fatal(self._batches.fatal)

    def stop(self) -> "Deferred[None]":
        """Close the connections."""
        stopped: Deferred[None] = Deferred()
        if self._open:
            self._open = False
            self._reader.close()
            self._writer.close()
        stopped.callback(None)
        return stopped


def result_of(job: Job[T]) -> T:
    """What a job that has run returned, or raise what it raised."""
    if job.error is not None:
        raise job.error
    return job.value  # type: ignore[return-value]  # T | None: it is T once run() has returned
