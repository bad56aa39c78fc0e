"""PostgreSQL through psycopg2: a connection that writes in batches, and connections that read snapshots.

The order in which jobs run and what a failure means to their neighbours is in storage/database.py.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg2
import psycopg2.errors
from psycopg2 import extensions

from homeserver.core.errors import BadJson
from homeserver.core.slices import slices
from homeserver.storage import dialect as dialects
from homeserver.storage.database import DatabaseRefused, Durability, Transaction, Trouble
from homeserver.storage.dialect import Dialect, InsertShape, Statement, adapted, check_values
from homeserver.storage.migrations.runner import REVISIONS, Revision, migrate
from homeserver.storage.postgresql_tables import PostgreSQLFilling, PostgreSQLSnapshot
from homeserver.storage.whole_tables import NotFilled

Connection = extensions.connection
Cursor = extensions.cursor

OLDEST_SERVER: Final = 130_000
CONNECT_S: Final = 10
WRITER_LIMITS: Final = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'"
RECONNECT_AFTER_S: Final = 1.0  # after a failed attempt, requests fail at once for this long
ROWS_PER_INSERT: Final = 500
IDS_PER_BLOCK: Final = 256
MIGRATION_LOCK: Final = 0x436F6C756D6261  # "Columba"

BEGIN_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "

# The lock on this row is held until COMMIT: so the order of positions is the order of commits, in every process.
NEXT_POSITIONS: Final = "UPDATE log_position SET value = value + :count RETURNING value"
READ_POSITION: Final = "SELECT value FROM log_position"
NEXT_IDS: Final = """
    INSERT INTO counters (name, value) VALUES (:counter, :count)
        ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value RETURNING value"""

BYTEA_OID: Final = 17
BYTEA_ARRAY_OID: Final = 1001
NUMERIC_OID: Final = 1700


def read_bytes(value: str | bytes | None, cursor: Cursor) -> bytes | None:  # noqa: ARG001 - the driver's signature
    """A BYTEA as bytes, where the driver would make a memoryview."""
    return bytes.fromhex(value[2:]) if isinstance(value, str) else None


def read_number(value: str | bytes | None, cursor: Cursor) -> int | float | None:  # noqa: ARG001 - the driver's signature
    """A sum of BIGINTs as an integer, where the driver would make a Decimal."""
    if not isinstance(value, str):
        return None
    return int(value) if value.lstrip("-").isdigit() else float(value)


BYTES_TYPE: Final = extensions.new_type((BYTEA_OID,), "BYTES", read_bytes)
BYTES_ARRAY_TYPE: Final = extensions.new_array_type((BYTEA_ARRAY_OID,), "BYTES[]", BYTES_TYPE)
NUMBER_TYPE: Final = extensions.new_type((NUMERIC_OID,), "NUMBER", read_number)


class Link:
    """A connection that is made when it is needed, and anew when it was lost."""

    def __init__(self, dsn: str, setting_up: str | None = None) -> None:
        self.dsn = dsn
        self.setting_up = setting_up  # a statement for each new connection
        self.connection: Connection | None = None
        self._failed: psycopg2.OperationalError | None = None
        self._failed_until = 0.0

    def cursor(self) -> Cursor:
        """A cursor on the connection.

        Raises psycopg2.OperationalError when the server cannot be reached.
        """
        if self.connection is None or self.connection.closed:
            if self._failed is not None and time.monotonic() < self._failed_until:
                raise self._failed
            try:
                self.connection = connect(self.dsn)
                if self.setting_up is not None:
                    self.connection.cursor().execute(self.setting_up)
            except psycopg2.OperationalError as error:
                self._failed, self._failed_until = error, time.monotonic() + RECONNECT_AFTER_S
                raise
            self._failed = None
        return self.connection.cursor()

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection to work with."""
        return self.connection is None or bool(self.connection.closed)

    @property
    def status(self) -> int:
        """The state of the connection's transaction, as one of extensions.TRANSACTION_STATUS_*."""
        if self.connection is None or self.connection.closed:
            return extensions.TRANSACTION_STATUS_UNKNOWN
        return self.connection.info.transaction_status

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()


@dataclass(slots=True)
class WaitingRows:
    """Rows of one INSERT that wait for the end of the batch, already in the server's words."""

    shape: InsertShape
    rows: list[bytes] = field(default_factory=list)
    keys: set[tuple[Any, ...]] = field(default_factory=set)  # Any: the values of the conflict target's columns


@dataclass(frozen=True, slots=True)
class WaitingPosition:
    """A function that waits for its position, and the after_commits of the job that it is part of."""

    fn: Callable[[Transaction, int], None]
    after_commits: list[Callable[[], None]]


class PostgreSQLTransaction(Transaction):
    """Statements on one connection. The first one also begins the transaction."""

    __slots__ = (
        "begin",
        "begun",
        "broken",
        "counters",
        "cursor",
        "dirty",
        "position",
        "positions",
        "positions_names",
        "rows",
        "rows_names",
    )

    def __init__(self, dialect: Dialect, begin: str, counters: "Counters | None") -> None:
        super().__init__(dialect)
        self.begin = begin
        self.counters = counters
        self.cursor: Cursor | None = None
        self.reset(None)

    def reset(self, cursor: Cursor | None) -> None:
        """Forget everything, and go on with `cursor`."""
        self.cursor = cursor
        self.begun = False
        self.dirty = False  # whether the job has done anything that would have to be undone
        self.broken = False  # whether something failed that another job had asked for
        self.position: int | None = None
        self.rows: dict[str, WaitingRows] = {}
        self.rows_names: set[str] = set()
        self.positions: list[WaitingPosition] = []
        self.positions_names: set[str] = set()

    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: see Transaction
        """Every row of a query."""
        return self._execute(sql, parameters).fetchall()

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:  # Any: see Transaction
        """The first row of a query, or None."""
        return self._execute(sql, parameters).fetchone()

    def run(self, sql: str, **parameters: Any) -> int:  # Any: see Transaction
        """Run a statement for its effect: the number of rows that it changed."""
        return max(0, self._execute(sql, parameters).rowcount)

    def run_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: see Transaction
        """Run a statement once for each of `rows`, in order."""
        statement = self.dialect.statements.get(sql) or self.dialect.statement(sql)
        self._settle_for(statement)
        cursor = self._cursor()
        try:
            texts = [cursor.mogrify(statement.sql, adapted(statement, dict(row))) for row in rows]
        except UnicodeEncodeError as error:
            raise BadJson("a string is not valid Unicode") from error
        for some in slices(texts, ROWS_PER_INSERT):
            self._send(b";".join(some))

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:  # Any: see Transaction
        """Keep rows for one INSERT at the end of the batch, or before a statement that names their table."""
        statement = self.dialect.statements.get(sql) or self.dialect.statement(sql)
        shape = statement.insert
        if shape is None:
            self.run_many(sql, rows)
            return
        cursor = self._writing_cursor()
        waiting = self.rows.get(sql)
        if waiting is None:
            if shape.table in self.rows_names:
                self._insert_rows()  # in another way: the order of the two is kept
            waiting = self.rows[sql] = WaitingRows(shape)
            self.rows_names.add(shape.table)
        for row in rows:
            check_values(row.values())
            if shape.key:
                key = tuple(row[name] for name in shape.key)
                if key in waiting.keys:  # one INSERT cannot update a row twice
                    self._insert_rows()
                    waiting = self.rows[sql] = WaitingRows(shape)
                    self.rows_names.add(shape.table)
                waiting.keys.add(key)
            try:
                waiting.rows.append(cursor.mogrify(shape.row, row))
            except UnicodeEncodeError as error:
                raise BadJson("a string is not valid Unicode") from error

    def next_ids(self, counter: str, count: int = 1) -> int:
        """The first of `count` fresh numbers of a counter."""
        if self.counters is None:
            raise psycopg2.errors.ReadOnlySqlTransaction("this transaction only reads")
        return self.counters.take(counter, count)

    def at_position(self, tables: tuple[str, ...], fn: Callable[[Transaction, int], None]) -> None:
        """Keep `fn` for the end of the batch, or until a statement names one of `tables`."""
        self._writing_cursor()
        self.positions.append(WaitingPosition(fn, self.after_commits))
        self.positions_names.update(tables)

    @property
    def log_position(self) -> int:
        """The highest position of the change log that this transaction sees."""
        row = self.one(READ_POSITION)
        return int(row[0]) if row is not None else 0

    def settle(self) -> None:
        """Write everything that waits: rows first, for whoever holds the log's position makes others wait."""
        while self.rows or self.positions:
            self._insert_rows()
            self._give_positions()

    def _execute(self, sql: str, parameters: dict[str, Any]) -> Cursor:  # Any: see Transaction
        statement = self.dialect.statements.get(sql) or self.dialect.statement(sql)
        adapted(statement, parameters)
        self._settle_for(statement)
        cursor = self._cursor()
        begun, self.begun = self.begun, True
        try:
            cursor.execute(statement.sql if begun else self.begin + statement.sql, parameters)
        except UnicodeEncodeError as error:
            self.begun = begun
            raise BadJson("a string is not valid Unicode") from error
        return cursor

    def _send(self, text: bytes) -> None:
        begun, self.begun = self.begun, True
        self._cursor().execute(text if begun else self.begin.encode() + text)

    def _settle_for(self, statement: Statement) -> None:
        """Write what waits and `statement` would miss."""
        if statement.writes:
            self.dirty = True
        if self.positions_names and not self.positions_names.isdisjoint(statement.names):
            self._give_positions()
        if self.rows_names and not self.rows_names.isdisjoint(statement.names):
            self._insert_rows()

    def _cursor(self) -> Cursor:
        if self.cursor is None:
            raise psycopg2.InterfaceError("the connection is closed")
        return self.cursor

    def _writing_cursor(self) -> Cursor:
        if self.counters is None:
            raise psycopg2.errors.ReadOnlySqlTransaction("this transaction only reads")
        self.dirty = True
        return self._cursor()

    def _insert_rows(self) -> None:
        waiting, self.rows = self.rows, {}
        self.rows_names.clear()
        cursor = self._cursor()
        try:
            for each in waiting.values():
                head = cursor.mogrify(each.shape.head, {})
                tail = cursor.mogrify(each.shape.tail, {}) if each.shape.tail.strip() else b""
                for some in slices(each.rows, ROWS_PER_INSERT):
                    self._send(head + b",".join(some) + tail)
        except psycopg2.Error:
            self.broken = True
            raise

    def _give_positions(self) -> None:
        waiting, self.positions = self.positions, []
        self.positions_names.clear()
        if not waiting:
            return
        row = self.one(NEXT_POSITIONS, count=len(waiting))
        last: int = row[0] if row is not None else 0
        own = self.after_commits
        settled = False
        try:
            for number, each in enumerate(waiting):
                self.after_commits = each.after_commits
                each.fn(self, last - len(waiting) + 1 + number)
            settled = True
        finally:
            self.after_commits = own
            self.broken = self.broken or not settled
        self.position = last


class Counters:
    """Numbers taken from the database in blocks, on a connection of their own: a rollback gives none of them back.

    A block need not wait for the disk: any transaction that uses its numbers commits after it, and does wait.
    """

    def __init__(self, dsn: str) -> None:
        self.link = Link(dsn, "SET synchronous_commit = off")
        self._blocks: dict[str, tuple[int, int]] = {}  # the next number, and the one after the last

    @property
    def is_lost(self) -> bool:
        """Whether there was a connection and it is gone."""
        return self.link.connection is not None and self.link.is_lost

    def take(self, counter: str, count: int) -> int:
        """The first of `count` fresh numbers."""
        first, end = self._blocks.get(counter, (0, 0))
        if end - first < count:
            block = max(count, IDS_PER_BLOCK)
            with self.link.cursor() as cursor:
                cursor.execute(DIALECT.statement(NEXT_IDS).sql, {"counter": counter, "count": block})
                row = cursor.fetchone()
            end = int(row[0]) + 1 if row is not None else 0
            first = end - block
        self._blocks[counter] = (first + count, end)
        return first


class PostgreSQLWriter:
    """The connection that writes. A batch has a transaction; its jobs have no savepoints."""

    def __init__(self, dsn: str) -> None:
        self.link = Link(dsn, WRITER_LIMITS)
        self.counters = Counters(dsn)
        self.transaction = PostgreSQLTransaction(DIALECT, BEGIN_WRITE, self.counters)
        self._committing = False
        self.begin()
        self.position = self.transaction.log_position
        self.commit()

    def begin(self) -> None:
        """Have a connection; the first statement begins the transaction."""
        self._committing = False
        self.transaction.reset(None)
        self.transaction.reset(self.link.cursor())

    def begin_job(self) -> None:
        """Nothing is done yet that a failure would have to undo."""
        self.transaction.dirty = False

    def end_job(self) -> None:
        """See that the job has not gone on after a statement that failed."""
        self._refuse_broken()

    def undo_job(self) -> bool:
        """Whether the transaction is as the job found it, which it is unless the job wrote or a statement failed."""
        tx = self.transaction
        usable = self.link.status in (extensions.TRANSACTION_STATUS_IDLE, extensions.TRANSACTION_STATUS_INTRANS)
        return usable and not tx.dirty and not tx.broken

    def commit(self) -> None:
        """Write what waits for the end of the batch, then commit and wait for the server's disk."""
        tx = self.transaction
        tx.settle()
        self._refuse_broken()
        if tx.begun and tx.cursor is not None:
            self._committing = True
            tx.cursor.execute("COMMIT")
            self._committing = False
        if tx.position is not None:
            self.position = tx.position
        tx.reset(None)

    def rollback(self) -> None:
        """Forget the transaction."""
        cursor = self.transaction.cursor
        self.transaction.reset(None)
        self._committing = False
        if cursor is not None and self.link.status != extensions.TRANSACTION_STATUS_IDLE and not self.link.is_lost:
            try:
                cursor.execute("ROLLBACK")
            except psycopg2.Error:
                self.link.close()  # begin() makes another

    def trouble(self, error: Exception) -> Trouble:
        """What an exception means."""
        lost = self.link.is_lost or self.counters.is_lost
        return trouble_of(error, lost=lost, committing=self._committing)

    def after_batch(self) -> None:
        """Nothing to do: the server tidies."""

    def close(self) -> None:
        """Close the connections."""
        self.link.close()
        self.counters.link.close()

    def _refuse_broken(self) -> None:
        if self.transaction.broken or self.link.status == extensions.TRANSACTION_STATUS_INERROR:
            raise psycopg2.errors.InFailedSqlTransaction("a statement failed, and its job went on")


def trouble_of(error: Exception, *, lost: bool, committing: bool) -> Trouble:
    """What an exception means, given the state of the connection that it came from."""
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) and lost:
        return Trouble.UNKNOWN if committing else Trouble.LOST
    if isinstance(
        error,
        psycopg2.errors.DeadlockDetected | psycopg2.errors.SerializationFailure | psycopg2.errors.LockNotAvailable,
    ):
        return Trouble.CONTENTION
    return Trouble.JOB


class PostgreSQLReader:
    """A connection that reads: one snapshot from the first statement to `end`."""

    def __init__(self, dsn: str) -> None:
        self.link = Link(dsn)
        self.link.cursor().close()
        self.transaction = PostgreSQLTransaction(DIALECT, BEGIN_READ, None)

    def begin(self) -> None:
        """Have a connection; the first statement takes the snapshot."""
        self.transaction.reset(None)
        self.transaction.reset(self.link.cursor())

    def end(self) -> None:
        """Let the snapshot go."""
        cursor = self.transaction.cursor
        self.transaction.reset(None)
        if cursor is not None and self.link.status not in (
            extensions.TRANSACTION_STATUS_IDLE,
            extensions.TRANSACTION_STATUS_UNKNOWN,
        ):
            try:
                cursor.execute("ROLLBACK")
            except psycopg2.Error:
                self.link.close()  # begin() makes another

    def trouble(self, error: Exception) -> Trouble:
        """What an exception means."""
        return trouble_of(error, lost=self.link.is_lost, committing=False)

    def close(self) -> None:
        """Close the connection."""
        self.link.close()


@dataclass(frozen=True, slots=True)
class PostgreSQLBackend:
    """A database that was checked and migrated by open_postgresql."""

    dsn: str = field(repr=False)  # it holds the password

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return DIALECT

    def open_writer(self) -> PostgreSQLWriter:
        """Open a connection that writes. Each process has one."""
        return PostgreSQLWriter(self.dsn)

    def open_reader(self) -> PostgreSQLReader:
        """Open a connection that reads."""
        return PostgreSQLReader(self.dsn)

    def open_snapshot(self) -> PostgreSQLSnapshot:
        """All of it as it is now, on a connection of its own. Raises SnapshotLost."""
        return PostgreSQLSnapshot(lambda: connect(self.dsn))

    def durability(self) -> Durability:
        """How the server keeps what was committed."""
        connection = connect(self.dsn)
        try:
            settings: dict[str, str] = {}
            with connection.cursor() as cursor:
                for name in ("fsync", "synchronous_commit", "full_page_writes"):
                    cursor.execute("SELECT current_setting(%(name)s)", {"name": name})
                    row = cursor.fetchone()
                    settings[name] = str(row[0]) if row is not None else ""
        finally:
            connection.close()
        kept = settings["fsync"] == "on" and settings["synchronous_commit"] != "off"
        return Durability(settings, survives_power_loss=kept)


def open_postgresql(dsn: str, *, revisions: Sequence[Revision] = REVISIONS) -> PostgreSQLBackend:
    """Check a database, and bring its schema up to date; of several processes at once, one does.

    Raises DatabaseRefused, with the database as it was, when this server should not write to it.
    """
    try:
        connection = connect(dsn)
    except psycopg2.OperationalError as error:
        raise DatabaseRefused(f"the database cannot be reached: {error}") from error
    try:
        if connection.server_version < OLDEST_SERVER:
            raise DatabaseRefused(f"PostgreSQL {OLDEST_SERVER // 10_000} or newer is needed")
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise DatabaseRefused(f"the database's encoding is {encoding}, and should be UTF8")
        migrate(MigratingConnection(connection), revisions, now_ms=time.time_ns() // 1_000_000)
    finally:
        connection.close()
    return PostgreSQLBackend(dsn)


def fill_postgresql(dsn: str, revisions: Sequence[Revision]) -> PostgreSQLFilling:
    """A database that is to be filled, with the schema of these revisions. Raises NotFilled unless it is new."""

    def make(revisions: Sequence[Revision] = revisions) -> None:
        try:
            open_postgresql(dsn, revisions=revisions)
        except DatabaseRefused as refused:
            raise NotFilled(refused.reason) from refused

    return PostgreSQLFilling(make, lambda: make(REVISIONS), lambda: connect(dsn), DIALECT)


def connect(dsn: str) -> Connection:
    """A connection with this server's settings; transactions are begun by hand."""
    connection: Connection = psycopg2.connect(
        dsn,
        connect_timeout=CONNECT_S,
        client_encoding="UTF8",
        application_name="columba",
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=60_000,
    )
    connection.autocommit = True
    for type_ in (BYTES_TYPE, BYTES_ARRAY_TYPE, NUMBER_TYPE):
        extensions.register_type(type_, connection)
    with connection.cursor() as cursor:
        cursor.execute("SET bytea_output = 'hex'; SET standard_conforming_strings = on; SHOW synchronous_commit")
        row = cursor.fetchone()
        if row is not None and row[0] == "off":
            cursor.execute("SET synchronous_commit = on")
    return connection


@dataclass(frozen=True, slots=True)
class MigratingConnection:
    """A connection as the migrations see it."""

    connection: Connection

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return DIALECT

    def lock(self) -> None:
        """Make other processes that would migrate wait, until unlock or the end of the connection."""
        self.execute("SELECT pg_advisory_lock(:key)", key=MIGRATION_LOCK)

    def unlock(self) -> None:
        """Let other processes go on."""
        self.execute("SELECT pg_advisory_unlock(:key)", key=MIGRATION_LOCK)

    def begin(self) -> None:
        """Begin a revision."""
        self.execute_as_is("BEGIN")

    def commit(self) -> None:
        """Keep a revision."""
        self.execute_as_is("COMMIT")

    def rollback(self) -> None:
        """Forget a revision, if one was begun."""
        if self.connection.info.transaction_status != extensions.TRANSACTION_STATUS_IDLE:
            self.execute_as_is("ROLLBACK")

    def has_table(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return self.execute("SELECT to_regclass(:name) IS NOT NULL", name=name) == [(True,)]

    def execute_as_is(self, sql: str) -> None:
        """Run a statement that is already in PostgreSQL's words."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def execute(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: see Transaction
        """Run a statement with named parameters; every row of its answer."""
        with self.connection.cursor() as cursor:
            cursor.execute(DIALECT.statement(sql).sql, parameters)
            return cursor.fetchall() if cursor.description is not None else []


DIALECT: Final = dialects.postgresql()
