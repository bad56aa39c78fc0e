"""SQLite through apsw: one connection that writes and does every checkpoint, and connections that read.

The order in which jobs run and what a failure means to their neighbours is in storage/database.py.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from homeserver.core.errors import BadJson
from homeserver.storage import dialect as dialects
from homeserver.storage.database import DatabaseRefused, Durability, Transaction, Trouble
from homeserver.storage.dialect import Dialect, adapted, check_values
from homeserver.storage.file_systems import unsuitable_file_system
from homeserver.storage.migrations.runner import REVISIONS, Revision, migrate, read_revisions, refuse_unknown
from homeserver.storage.sqlite_tables import SQLiteFilling, SQLiteSnapshot
from homeserver.storage.whole_tables import NotFilled

BUSY_MS: Final = 10_000
STATEMENT_CACHE: Final = 1_000
CACHE_KIB: Final = 16_384  # of pages, per connection
CHECKPOINT_PAGES: Final = 1_000  # of 4 KiB in the log: then a checkpoint that waits for nobody
RESTART_PAGES: Final = 16_000  # then one that waits a little for the readers, to begin the log anew
RESTART_WAIT_MS: Final = 50
TRUNCATE_WAIT_MS: Final = 2_000
LOG_SIZE_BYTES: Final = 64 * 2**20
CHECK_S: Final = 10.0
APPLICATION_ID: Final = 0x436F6C75  # "Colu"
HEADER: Final = b"SQLite format 3\0"

NEXT_POSITION: Final = "UPDATE log_position SET value = value + 1 RETURNING value"
READ_POSITION: Final = "SELECT value FROM log_position"
IDS_PER_BLOCK: Final = 64  # so the counters' page is not written with every event
NEXT_IDS: Final = """
    INSERT INTO counters (name, value) VALUES (:counter, :count)
        ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"""


class SQLiteTransaction(Transaction):
    """Statements on one connection. The writer's and the readers' differ in what SQLite lets them do."""

    __slots__ = ("_blocks", "connection", "cursor", "position")

    def __init__(self, connection: apsw.Connection, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.connection = connection
        self.cursor = connection.cursor()
        self.position: int | None = None  # the newest that was given in this transaction
        self._blocks: dict[str, tuple[int, int]] = {}  # of each counter: the next number, and where the block ends

    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: see Transaction
        """Every row of a query."""
        return self._execute(sql, parameters).fetchall()

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:  # Any: see Transaction
        """The first row of a query, or None."""
        cursor = self._execute(sql, parameters)
        if self.dialect.statements[sql].writes:  # a statement that writes is run to its end
            return next(iter(cursor.fetchall()), None)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row

    def run(self, sql: str, **parameters: Any) -> int:  # Any: see Transaction
        """Run a statement for its effect: the number of rows that it changed."""
        self._execute(sql, parameters).fetchall()
        return self.connection.changes()

    def run_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: see Transaction
        """Run a statement once for each of `rows`, in order."""
        for row in rows:
            self._execute(sql, dict(row)).fetchall()

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: see Transaction
        """Insert rows by a one-row INSERT."""
        statement = self.dialect.statements.get(sql) or self.dialect.statement(sql)
        if statement.arrays:
            self.run_many(sql, rows)
            return
        for row in rows:
            check_values(row.values())
        try:
            self.cursor.executemany(statement.sql, rows)
        except UnicodeEncodeError as error:
            raise BadJson("a string is not valid Unicode") from error

    def next_ids(self, counter: str, count: int = 1) -> int:
        """The first of `count` fresh numbers of a counter, from a block that is taken at once."""
        first, end = self._blocks.get(counter, (0, 0))
        if first + count > end:
            taken = max(count, IDS_PER_BLOCK)
            row = self.one(NEXT_IDS, counter=counter, count=taken)
            last: int = row[0] if row is not None else 0
            first, end = last - taken + 1, last + 1
        self._blocks[counter] = (first + count, end)
        return first

    def forget_blocks(self) -> None:
        """What was taken is not sure to be taken any more: a transaction, or a part of one, was undone."""
        self._blocks.clear()

    def at_position(self, tables: tuple[str, ...], fn: Callable[[Transaction, int], None]) -> None:  # noqa: ARG002
        """Call `fn` with the next position, at once: there is no other writer."""
        row = self.one(NEXT_POSITION)
        position: int = row[0] if row is not None else 0
        self.position = position
        fn(self, position)

    @property
    def log_position(self) -> int:
        """The highest position of the change log that this transaction sees."""
        row = self.one(READ_POSITION)
        return int(row[0]) if row is not None else 0

    def _execute(self, sql: str, parameters: dict[str, Any]) -> apsw.Cursor:  # Any: see Transaction
        statement = self.dialect.statements.get(sql) or self.dialect.statement(sql)
        try:
            return self.cursor.execute(statement.sql, adapted(statement, parameters))
        except UnicodeEncodeError as error:
            raise BadJson("a string is not valid Unicode") from error


class SQLiteWriter:
    """The connection that writes. Each job has a savepoint; the batch has the transaction."""

    def __init__(self, connection: apsw.Connection, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        self.connection = connection
        self.checkpoint_pages = checkpoint_pages
        self.transaction = SQLiteTransaction(connection, DIALECT)
        self.position = self.transaction.log_position
        self._before_job: int | None = None
        self._pages_in_log = 0
        self._pages_due = checkpoint_pages  # when the log has grown to so many, it is time for a checkpoint
        connection.set_wal_hook(self._log_grew)

    def begin(self) -> None:
        """Begin a transaction that holds the write lock from its start."""
        self.transaction.position = None
        self.transaction.cursor.execute("BEGIN IMMEDIATE")

    def begin_job(self) -> None:
        """Set a savepoint."""
        self._before_job = self.transaction.position
        self.transaction.cursor.execute("SAVEPOINT job")

    def end_job(self) -> None:
        """Release the savepoint."""
        self.transaction.cursor.execute("RELEASE job")

    def undo_job(self) -> bool:
        """Return to the savepoint. False when SQLite has rolled everything back, as it does when the disk is full."""
        if not self.connection.in_transaction:
            return False
        try:
            self.transaction.cursor.execute("ROLLBACK TO job")
            self.transaction.cursor.execute("RELEASE job")
        except apsw.Error:
            return False
        self.transaction.position = self._before_job
        self.transaction.forget_blocks()
        return True

    def commit(self) -> None:
        """Commit, and wait for the disk."""
        self.transaction.cursor.execute("COMMIT")
        if self.transaction.position is not None:
            self.position = self.transaction.position

    def rollback(self) -> None:
        """Forget the transaction, if there still is one."""
        self.transaction.position = None
        self.transaction.forget_blocks()
        if self.connection.in_transaction:
            try:
                self.transaction.cursor.execute("ROLLBACK")
            except apsw.Error:
                return  # what made the transaction fail has been told; begin() will say whether it goes on

    def trouble(self, error: Exception) -> Trouble:
        """What an exception means. A disk that fails to write may have lost what it said it kept."""
        if isinstance(error, apsw.IOError):
            return Trouble.FATAL
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return Trouble.CONTENTION
        return Trouble.JOB

    def after_batch(self) -> None:
        """Move the log into the database when it has grown."""
        pages = self._pages_in_log
        if pages < self._pages_due:
            if pages < self.checkpoint_pages:
                self._pages_due = self.checkpoint_pages  # the log began anew
            return
        self._pages_due = pages + self.checkpoint_pages
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE if pages < RESTART_PAGES else apsw.SQLITE_CHECKPOINT_RESTART
        self.connection.set_busy_timeout(RESTART_WAIT_MS)
        try:
            self.connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            return  # a reader holds the log: next time
        finally:
            self.connection.set_busy_timeout(BUSY_MS)

    def close(self) -> None:
        """Empty the log into the database and close."""
        self.connection.set_busy_timeout(TRUNCATE_WAIT_MS)
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:
            pass  # the log stays beside the database, and is read at the next start
        finally:
            self.connection.close()

    def _log_grew(self, connection: apsw.Connection, name: str, pages: int) -> int:  # noqa: ARG002
        self._pages_in_log = pages
        return apsw.SQLITE_OK


class SQLiteReader:
    """A connection that reads: one snapshot from `begin` to `end`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.transaction = SQLiteTransaction(connection, DIALECT)

    def begin(self) -> None:
        """Begin a transaction, which takes its snapshot at its first statement."""
        self.transaction.cursor.execute("BEGIN")

    def end(self) -> None:
        """Let the snapshot go."""
        try:
            self.transaction.cursor.execute("END")
        except apsw.Error:
            return  # the statement that failed has ended the transaction

    def trouble(self, error: Exception) -> Trouble:
        """What an exception means: a read that fails is a matter of its own."""
        if isinstance(error, apsw.BusyError | apsw.LockedError | apsw.SchemaChangeError):
            return Trouble.CONTENTION
        return Trouble.JOB

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@dataclass(frozen=True, slots=True)
class SQLiteBackend:
    """A database file that was checked and migrated by open_sqlite."""

    path: Path
    vfs: str | None = None
    checkpoint_pages: int = CHECKPOINT_PAGES

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return DIALECT

    def open_writer(self) -> SQLiteWriter:
        """Open the connection that writes. There is one per file."""
        return SQLiteWriter(connect(self.path, self.vfs), self.checkpoint_pages)

    def open_reader(self) -> SQLiteReader:
        """Open a connection that reads."""
        return SQLiteReader(connect(self.path, self.vfs, readonly=True))

    def open_snapshot(self) -> SQLiteSnapshot:
        """All of it as it is now, on a connection of its own. Raises SnapshotLost."""
        return SQLiteSnapshot(lambda: connect(self.path, self.vfs, readonly=True))

    def durability(self) -> Durability:
        """How SQLite keeps what was committed: the log's mode, and whether COMMIT waits for the disk."""
        connection = connect(self.path, self.vfs)
        try:
            settings = {
                name: str(connection.pragma(name)) for name in ("journal_mode", "synchronous", "wal_autocheckpoint")
            }
        finally:
            connection.close()
        kept = settings["journal_mode"] == "wal" and settings["synchronous"] == "2"
        return Durability(settings, survives_power_loss=kept)


def open_sqlite(
    path: Path,
    *,
    revisions: Sequence[Revision] = REVISIONS,
    vfs: str | None = None,
    check_s: float = CHECK_S,
    checkpoint_pages: int = CHECKPOINT_PAGES,
) -> SQLiteBackend:
    """Check a database file, or make one, and bring its schema up to date.

    Raises DatabaseRefused, with the file as it was, when this server should not write to it.
    """
    refuse_library(apsw.sqlite_lib_version())
    if (kind := unsuitable_file_system(path)) is not None:
        raise DatabaseRefused(f"{path} is on a file system of the type {kind}, where SQLite's log is not safe")
    try:
        if path.exists() and path.stat().st_size > 0:
            refuse_file(path, vfs, revisions, check_s)
        else:
            make_file(path)
        connection = connect(path, vfs)
        try:
            migrate(MigratingConnection(connection), revisions, now_ms=time.time_ns() // 1_000_000)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            connection.close()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DatabaseRefused(f"{path} is damaged: {error}") from error
    except (
        apsw.CantOpenError,
        apsw.ReadOnlyError,
        apsw.PermissionsError,
        apsw.IOError,
        apsw.BusyError,
        OSError,
    ) as error:
        raise DatabaseRefused(f"{path} cannot be used: {error}") from error
    return SQLiteBackend(path, vfs, checkpoint_pages)


def fill_sqlite(path: Path, revisions: Sequence[Revision]) -> SQLiteFilling:
    """A database file that is to be, with the schema of these revisions. Raises NotFilled where there is one."""

    def make(part: Path, revisions: Sequence[Revision] = revisions) -> None:
        try:
            open_sqlite(part, revisions=revisions)
        except DatabaseRefused as refused:
            raise NotFilled(refused.reason) from refused

    return SQLiteFilling(path, make, lambda part: make(part, REVISIONS), lambda part: connect(part, None))


def make_file(path: Path) -> None:
    """Make an empty file that its owner alone may read, and see that its name is on the disk."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(path: Path, vfs: str | None, *, readonly: bool = False) -> apsw.Connection:
    """A connection with this server's settings."""
    flags = apsw.SQLITE_OPEN_READONLY if readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=STATEMENT_CACHE)
    connection.set_busy_timeout(BUSY_MS)
    connection.pragma("mmap_size", 0)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("temp_store", 2)
    connection.pragma("trusted_schema", 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    connection.wal_autocheckpoint(0)
    if not readonly:
        if connection.pragma("journal_mode", "wal") != "wal":
            raise DatabaseRefused(f"{path} cannot keep a write-ahead log, which this server needs")
        connection.pragma("synchronous", 2)
        connection.pragma("journal_size_limit", LOG_SIZE_BYTES)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    return connection


def refuse_library(version: str) -> None:
    """Refuse the versions of SQLite whose log can be damaged by two connections at once.

    Spec: https://sqlite.org/wal.html#walresetbug
    """
    numbers = tuple(int(part) for part in version.split("."))
    repaired = numbers >= (3, 51, 3) or (3, 50, 7) <= numbers < (3, 51) or (3, 44, 6) <= numbers < (3, 45)
    if not repaired:
        raise DatabaseRefused(f"SQLite {version} can damage its log: 3.51.3 or newer is needed")


def refuse_file(path: Path, vfs: str | None, revisions: Sequence[Revision], check_s: float) -> None:
    """Refuse a file that is not this server's, is damaged, or is of a newer server, by reading it alone."""
    with path.open("rb") as file:
        header = file.read(100)
    if header[:16] != HEADER:
        raise DatabaseRefused(f"{path} is not an SQLite database")
    log = path.with_name(path.name + "-wal")
    stopped_cleanly = not log.exists() or log.stat().st_size == 0
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
    try:
        connection.set_busy_timeout(BUSY_MS)
        connection.wal_autocheckpoint(0)
        application = connection.pragma("application_id")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
        if application != APPLICATION_ID and tables:
            raise DatabaseRefused(f"{path} is the database of another program")
        refuse_unknown(read_revisions(MigratingConnection(connection)), revisions)
        if not stopped_cleanly and (damage := quick_check(connection, check_s)) is not None:
            raise DatabaseRefused(f"{path} is damaged: {damage}")
    finally:
        connection.close()


def quick_check(connection: apsw.Connection, limit_s: float) -> str | None:
    """The first damage that SQLite finds in the file within `limit_s`, or None."""
    until = time.monotonic() + limit_s
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        answer = str(connection.pragma("quick_check", 1))
    except apsw.InterruptError:
        return None
    finally:
        connection.set_progress_handler(None)
    return None if answer == "ok" else answer


@dataclass(frozen=True, slots=True)
class MigratingConnection:
    """A connection as the migrations see it."""

    connection: apsw.Connection

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return DIALECT

    def lock(self) -> None:
        """Nothing to do: BEGIN IMMEDIATE makes the others wait."""

    def unlock(self) -> None:
        """Nothing to do, as in lock."""

    def begin(self) -> None:
        """Begin a revision."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.pragma("application_id", APPLICATION_ID)

    def commit(self) -> None:
        """Keep a revision."""
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget a revision."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""
        found = self.connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,))
        return found.fetchone() is not None

    def execute_as_is(self, sql: str) -> None:
        """Run a statement that is already in SQLite's words."""
        self.connection.execute(sql).fetchall()

    def execute(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: see Transaction
        """Run a statement with named parameters; every row of its answer."""
        rows: list[tuple[Any, ...]] = self.connection.execute(DIALECT.statement(sql).sql, parameters).fetchall()
        return rows


DIALECT: Final = dialects.sqlite()
