"""Whole tables of an SQLite file: see whole_tables.py."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from homeserver.runtime.archive_files import give_name
from homeserver.storage.whole_tables import (
    NOT_COPIED,
    POSITION,
    Kind,
    NotFilled,
    Row,
    Snapshot,
    SnapshotLost,
    TableShape,
    kind_of,
)

# FTS5 keeps its own in tables beside, which are of another type.
TABLES: Final = """
    SELECT name FROM pragma_table_list
     WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"""
COLUMNS: Final = "SELECT name, type FROM pragma_table_info(?) ORDER BY cid"
KINDS: Final[Mapping[str, Kind]] = {
    "INTEGER": Kind.INTEGER,
    "TEXT": Kind.TEXT,
    "BLOB": Kind.BYTES,
    "REAL": Kind.REAL,
}
PART_SUFFIX: Final = ".filling"
BESIDE: Final = ("-wal", "-shm", "-journal")


class SQLiteSnapshot(Snapshot):
    """See Snapshot. While it is there the file's log grows by what others write."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        with _told_as(SnapshotLost):
            self._connection = connect()
            self._connection.execute("BEGIN")
            self._connection.execute(POSITION).fetchall()  # the first statement takes the snapshot

    def shapes(self) -> list[TableShape]:
        """See Snapshot."""
        with _told_as(SnapshotLost):
            return _shapes(self._connection, SnapshotLost)

    def count(self, table: TableShape) -> int:
        """See Snapshot."""
        with _told_as(SnapshotLost):
            return _count(self._connection, table)

    def rows(self, table: TableShape) -> Iterator[Row]:
        """See Snapshot."""
        return self.answers(f"SELECT {table.quoted_names} FROM {table.quoted}")  # noqa: S608 - names of the schema

    def answers(self, sql: str) -> Iterator[tuple[Any, ...]]:  # Any: see Transaction
        """See Snapshot."""
        with _told_as(SnapshotLost):
            yield from self._connection.execute(sql)

    def find_damage(self) -> str | None:
        """See Snapshot. Reads the whole file."""
        with _told_as(SnapshotLost):
            return _find_damage(self._connection)

    def close(self) -> None:
        """See Snapshot."""
        self._connection.close()


class SQLiteFilling:
    """See Filling. The file is made under another name, and gets its own when it is whole."""

    def __init__(
        self,
        path: Path,
        make: Callable[[Path], None],
        renew: Callable[[Path], None],
        connect: Callable[[Path], apsw.Connection],
    ) -> None:
        """`make` makes a file with a schema, which `renew` brings up to date. Raises NotFilled, as they do."""
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        if any(each.exists() for each in (path, *_beside(path))):
            raise NotFilled(f"{path} is there already: a backup is restored where no database is")
        self._renew = renew
        self._clean()
        make(self._part)
        self._connection: apsw.Connection | None = connect(self._part)
        with _told_as(NotFilled):
            # Until it is whole the file is nobody's: what a crash leaves of it is thrown away.
            self._connection.pragma("journal_mode", "off")
            self._connection.pragma("synchronous", 0)
            self._connection.execute("BEGIN IMMEDIATE")

    def shapes(self) -> list[TableShape]:
        """See Filling."""
        with _told_as(NotFilled):
            return _shapes(self._open, NotFilled)

    def clear(self, table: TableShape) -> None:
        """See Filling."""
        with _told_as(NotFilled):
            self._open.execute(f"DELETE FROM {table.quoted}")  # noqa: S608 - a name of the schema

    def add(self, table: TableShape, rows: Sequence[Row]) -> None:
        """See Filling."""
        places = ", ".join("?" * len(table.columns))
        sql = f"INSERT INTO {table.quoted} ({table.quoted_names}) VALUES ({places})"  # noqa: S608 - as above
        with _told_as(NotFilled):
            self._open.executemany(sql, rows)

    def count(self, table: TableShape) -> int:
        """See Filling."""
        with _told_as(NotFilled):
            return _count(self._open, table)

    def run(self, sql: str, **parameters: Any) -> None:  # Any: see Transaction
        """See Filling."""
        with _told_as(NotFilled):
            self._open.execute(sql, parameters).fetchall()

    def keep(self) -> None:
        """See Filling."""
        with _told_as(NotFilled):
            self._open.execute("COMMIT")
            if (damage := _find_damage(self._open)) is not None:
                raise NotFilled(f"the database came out damaged: {damage}")
            self._open.close()
            self._connection = None
            self._renew(self._part)
            descriptor = os.open(self._part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            give_name(self._part, self._path)

    def abandon(self) -> None:
        """See Filling."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._clean()

    @property
    def _open(self) -> apsw.Connection:
        if self._connection is None:
            raise NotFilled("the database is closed")
        return self._connection

    def _clean(self) -> None:
        for each in (self._part, *_beside(self._part)):
            each.unlink(missing_ok=True)


@contextmanager
def _told_as(failure: type[SnapshotLost] | type[NotFilled]) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise failure(f"the database failed: {error}") from error


def _shapes(connection: apsw.Connection, failure: type[SnapshotLost] | type[NotFilled]) -> list[TableShape]:
    names = [row[0] for row in connection.execute(TABLES) if row[0] not in NOT_COPIED]
    return [
        TableShape(
            name, tuple((row[0], kind_of(KINDS, row[1], name, failure)) for row in connection.execute(COLUMNS, (name,)))
        )
        for name in names
    ]


def _count(connection: apsw.Connection, table: TableShape) -> int:
    return int(connection.execute(f"SELECT COUNT(*) FROM {table.quoted}").get)  # noqa: S608 - as above


def _find_damage(connection: apsw.Connection) -> str | None:
    answer = str(connection.pragma("integrity_check", 1))
    return None if answer == "ok" else answer


def _beside(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in BESIDE)
