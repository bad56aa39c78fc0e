"""A database for tests that have no reactor: writes and reads happen at once, by the code that the threads run."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from homeserver.storage.database import Backend, DatabaseCounts, InlineDatabase, Job, Transaction
from homeserver.storage.sqlite import SQLiteBackend, SQLiteWriter, open_sqlite

P = ParamSpec("P")
T = TypeVar("T")


@cache
def migrated_file() -> Path:
    """An SQLite file with the newest schema, made once per run."""
    folder = tempfile.TemporaryDirectory(prefix="columba-sqlite-")
    path = Path(folder.name) / "homeserver.db"
    open_sqlite(path)
    FOLDERS.append(folder)
    return path


FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # deleted when the interpreter ends


class ImpatientBackend(SQLiteBackend):
    """A database file whose commits do not wait for the disk: what a power loss leaves is tried in durability/."""

    def open_writer(self) -> SQLiteWriter:
        """Open the connection that writes."""
        writer = super().open_writer()
        writer.connection.pragma("synchronous", 0)
        return writer


def fresh_sqlite(path: Path) -> SQLiteBackend:
    """A new SQLite file at `path` with the newest schema."""
    shutil.copyfile(migrated_file(), path)
    return ImpatientBackend(path)


class SyncDatabase:
    """A database whose writes and reads happen at once, by the code that the threads run."""

    def __init__(self, backend: Backend, epoch: str = "test") -> None:
        self.backend = backend
        self.fatal: list[Exception] = []
        self.database = InlineDatabase(
            backend, call_from_thread=lambda fn, *args: fn(*args), on_fatal=self.fatal.append, epoch=epoch
        )
        self.database.start()
        self.dialect = backend.dialect

    @property
    def counts(self) -> DatabaseCounts:
        """What was asked of the database."""
        return self.database.counts

    @property
    def position(self) -> int:
        """The newest committed position."""
        return self.database.position

    def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` and commit."""
        return self.database.write_now(fn, *args, **kwargs)

    def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn(tx, …)` in a snapshot."""
        return self.database.read_now(fn, *args, **kwargs)

    def write_batch(self, fns: Sequence[Callable[[Transaction], Any]]) -> list[Any]:
        """Run functions as one group: of each what it returned, or the exception that it ended with."""
        jobs: list[Job[Any]] = [Job(fn, (), {}) for fn in fns]
        self.database.run_batch(jobs)
        return [job.value if job.error is None else job.error for job in jobs]

    def close(self) -> None:
        """Close the connections."""
        self.database.stop()
