"""Whole tables of a PostgreSQL database: see whole_tables.py."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import psycopg2
from psycopg2 import extensions

from homeserver.storage.dialect import Dialect
from homeserver.storage.whole_tables import (
    NOT_COPIED,
    POSITION,
    Kind,
    NotFilled,
    Row,
    Snapshot,
    SnapshotLost,
    TableShape,
    Value,
    kind_of,
)

Connection = extensions.connection

COLUMNS: Final = """
    SELECT c.table_name, c.column_name, c.data_type
      FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
     WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
     ORDER BY c.table_name COLLATE "C", c.ordinal_position"""
KINDS: Final[Mapping[str, Kind]] = {
    "bigint": Kind.INTEGER,
    "boolean": Kind.INTEGER,
    "text": Kind.TEXT,
    "bytea": Kind.BYTES,
    "double precision": Kind.REAL,
}
BOOLEAN: Final = "boolean"
ROWS_AT_ONCE: Final = 500
# Whoever reads or writes so much takes pauses, and takes long.
PATIENT: Final = "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0"
# Nobody has had a server on it: its first start moves the position.
TABLE_NAMES: Final = """
    SELECT table_name FROM information_schema.tables
     WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"""
IS_NEW: Final = "SELECT value FROM log_position WHERE value = 0"
ESCAPED: Final = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class PostgreSQLSnapshot(Snapshot):
    """See Snapshot. While it is there the server keeps rows that others delete."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._numbers = count(1)
        with _told_as(SnapshotLost):
            self._connection = connection = connect()
            with connection.cursor() as cursor:
                cursor.execute(PATIENT)
            connection.set_session(extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True, autocommit=False)
            with connection.cursor() as cursor:
                cursor.execute(POSITION)  # the first statement takes the snapshot

    def shapes(self) -> list[TableShape]:
        """See Snapshot."""
        with _told_as(SnapshotLost):
            return [shape for shape, _ in _shapes(self._connection, SnapshotLost)]

    def count(self, table: TableShape) -> int:
        """See Snapshot."""
        with _told_as(SnapshotLost):
            return _count(self._connection, table)

    def rows(self, table: TableShape) -> Iterator[Row]:
        """See Snapshot."""
        for row in self.answers(f"SELECT {table.quoted_names} FROM {table.quoted}"):  # noqa: S608 - of the schema
            yield [int(value) if value is True or value is False else value for value in row]

    def answers(self, sql: str) -> Iterator[tuple[Any, ...]]:  # Any: see Transaction
        """See Snapshot."""
        with _told_as(SnapshotLost), self._connection.cursor(name=f"rows_{next(self._numbers)}") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(sql)
            yield from cursor

    def find_damage(self) -> str | None:
        """See Snapshot. The server checks what it reads, if it was made with checksums; it tells then of itself."""
        return None

    def close(self) -> None:
        """See Snapshot."""
        self._connection.close()


class PostgreSQLFilling:
    """See Filling. All rows are written in one transaction."""

    def __init__(
        self, make: Callable[[], None], renew: Callable[[], None], connect: Callable[[], Connection], dialect: Dialect
    ) -> None:
        """`make` makes the schema, which `renew` brings up to date. Raises NotFilled, as they do."""
        self._renew = renew
        self._dialect = dialect
        with _told_as(NotFilled):
            connection = connect()
        try:
            _refuse_used(connection)
            make()
            with _told_as(NotFilled), connection.cursor() as cursor:
                cursor.execute(PATIENT)
                connection.set_session(autocommit=False)
            self._booleans = {shape.name: booleans for shape, booleans in _shapes(connection, NotFilled)}
        except NotFilled:
            connection.close()
            raise
        self._connection = connection

    def shapes(self) -> list[TableShape]:
        """See Filling."""
        with _told_as(NotFilled):
            return [shape for shape, _ in _shapes(self._connection, NotFilled)]

    def clear(self, table: TableShape) -> None:
        """See Filling."""
        self._execute(f"DELETE FROM {table.quoted}")  # noqa: S608 - a name of the schema

    def add(self, table: TableShape, rows: Sequence[Row]) -> None:
        """See Filling."""
        booleans = self._booleans[table.name]
        flags = [name in booleans for name in table.names]
        text = io.StringIO()
        for row in rows:
            text.write("\t".join(map(_copied, row, flags)))
            text.write("\n")
        text.seek(0)
        with _told_as(NotFilled), self._connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table.quoted} ({table.quoted_names}) FROM STDIN", text)

    def count(self, table: TableShape) -> int:
        """See Filling."""
        with _told_as(NotFilled):
            return _count(self._connection, table)

    def run(self, sql: str, **parameters: Any) -> None:  # Any: see Transaction
        """See Filling."""
        self._execute(self._dialect.statement(sql).sql, parameters)

    def keep(self) -> None:
        """See Filling."""
        with _told_as(NotFilled):
            self._connection.commit()
            self._connection.close()
        self._renew()

    def abandon(self) -> None:
        """See Filling. An empty schema may stay."""
        self._connection.close()

    def _execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:  # Any: see Transaction
        with _told_as(NotFilled), self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)


def _refuse_used(connection: Connection) -> None:
    """Raises NotFilled unless there is nothing yet, or tables that no server has used."""
    with _told_as(NotFilled), connection.cursor() as cursor:
        cursor.execute(TABLE_NAMES)
        names = {row[0] for row in cursor.fetchall()}
        if not names:
            return
        if {"log_position", "schema_revisions"} <= names:
            cursor.execute(IS_NEW)
            if cursor.fetchone() is not None:
                return
    raise NotFilled("the database is not empty: a backup is restored into one that is new")


@contextmanager
def _told_as(failure: type[SnapshotLost] | type[NotFilled]) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        raise failure(f"the database failed: {error}".strip()) from error


def _shapes(
    connection: Connection, failure: type[SnapshotLost] | type[NotFilled]
) -> list[tuple[TableShape, frozenset[str]]]:
    """The tables, each with which of its columns are truth values."""
    found: dict[str, list[tuple[str, str]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        for table, column, type_ in cursor.fetchall():
            if table not in NOT_COPIED:
                found.setdefault(table, []).append((column, type_))
    return [
        (
            TableShape(table, tuple((column, kind_of(KINDS, type_, table, failure)) for column, type_ in columns)),
            frozenset(column for column, type_ in columns if type_ == BOOLEAN),
        )
        for table, columns in found.items()
    ]


def _count(connection: Connection, table: TableShape) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table.quoted}")  # noqa: S608 - a name of the schema
        row = cursor.fetchone()
    return 0 if row is None else int(row[0])


def _copied(value: Value, is_boolean: bool) -> str:
    """A value as COPY reads it. Spec: https://www.postgresql.org/docs/current/sql-copy.html (text format)"""
    if value is None:
        return "\\N"
    if is_boolean:
        return "t" if value else "f"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(value, str):
        return value.translate(ESCAPED)
    return repr(value)
