"""Whole tables, read row by row in one snapshot, or written into a database that is empty: what backups are made of.

What a row is does not depend on the kind of database: a column holds whole numbers (a truth value is 0 or 1), text,
bytes or numbers, and None where there is nothing. How each kind of database does it is in sqlite_tables.py and
postgresql_tables.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

# What each database makes for itself: its schema's history, and the index of words (search.py), which is made again.
NOT_COPIED: Final = frozenset({"schema_revisions", "search_index"})
REVISIONS: Final = "SELECT number, sha256 FROM schema_revisions ORDER BY number"
POSITION: Final = "SELECT value FROM log_position"

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = Sequence[Value]


class SnapshotLost(Exception):  # noqa: N818 - a state of the database
    """The database could not be read, or not any more; `reason` is for the administrator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotFilled(Exception):  # noqa: N818 - a state of the database
    """The database cannot be filled: it is in use, or does not take what it was given. It is as empty as before."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Kind(Enum):
    """What a column holds."""

    INTEGER = "integer"
    TEXT = "text"
    BYTES = "bytes"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table with its columns, in their order."""

    name: str
    columns: tuple[tuple[str, Kind], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self.columns)

    @property
    def quoted(self) -> str:
        """Its name, as a statement has it."""
        return f'"{self.name}"'

    @property
    def quoted_names(self) -> str:
        """The names of the columns, as a statement has them."""
        return ", ".join(f'"{name}"' for name in self.names)


class Snapshot(Protocol):
    """A database as it was at one moment, whoever goes on writing. Used by one thread. Methods raise SnapshotLost."""

    def revisions(self) -> Mapping[int, str]:
        """The revisions of the schema, with their checksums."""
        return {row[0]: row[1] for row in self.answers(REVISIONS)}

    def position(self) -> int:
        """How far the log of changes had come."""
        return int(next(self.answers(POSITION))[0])

    def shapes(self) -> Sequence[TableShape]:
        """The tables, by their names, but for NOT_COPIED."""

    def count(self, table: TableShape) -> int:
        """How many rows a table has, counted by the database."""

    def rows(self, table: TableShape) -> Iterator[Row]:
        """All rows of a table, a few at a time in memory."""

    def answers(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query without parameters, a few at a time in memory. Any: see Transaction."""

    def find_damage(self) -> str | None:
        """The first damage that the database finds in its files, where it can tell, or None."""

    def close(self) -> None:
        """Let the snapshot go."""


class Filling(Protocol):
    """A database that is being filled, and is empty to everybody else until `keep`. Methods raise NotFilled."""

    def shapes(self) -> Sequence[TableShape]:
        """The tables that there are, as of a Snapshot."""

    def clear(self, table: TableShape) -> None:
        """Take out what a new table has."""

    def add(self, table: TableShape, rows: Sequence[Row]) -> None:
        """Add rows to a table, their values in the order of its columns."""

    def count(self, table: TableShape) -> int:
        """How many rows a table has."""

    def run(self, sql: str, **parameters: Any) -> None:
        """Run a statement for its effect. Any: see Transaction."""

    def keep(self) -> None:
        """Bring the schema up to date, and have the database be there, all at once and on the disk."""

    def abandon(self) -> None:
        """Leave it as it was found. Nothing happens after `keep`."""


def kind_of(kinds: Mapping[str, Kind], type_: str, table: str, failure: type[SnapshotLost] | type[NotFilled]) -> Kind:
    """What a column of a type holds. Raises `failure` for a type that no column of this server has."""
    kind = kinds.get(type_)
    if kind is None:
        raise failure(f"the table {table} is none of this server's: it has a column of the type {type_}")
    return kind
