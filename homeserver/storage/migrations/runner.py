"""Reads the numbered revisions and applies those that a database lacks.

How a database is opened is in storage/sqlite.py and storage/postgresql.py, which call `migrate`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from homeserver.storage.database import DatabaseRefused
from homeserver.storage.dialect import Dialect

FILE_NAME: Final = re.compile(r"(?P<number>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")
PIECE: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^'";-]+|-""", re.DOTALL)
# In SQLite the statements of a trigger stand between BEGIN and END, with semicolons of their own.
UNFINISHED_TRIGGER: Final = re.compile(r"(?!.*\bEND\Z)CREATE\s+TRIGGER\b.*\bBEGIN\b", re.DOTALL | re.IGNORECASE)
SECTION: Final = re.compile(r"-- @(sqlite|postgresql|both)\s*")

ADD_REVISION: Final = """
    INSERT INTO schema_revisions (number, name, sha256, applied_ms) VALUES (:number, :name, :sha256, :applied_ms)"""
REVISIONS_APPLIED: Final = "SELECT number, sha256 FROM schema_revisions ORDER BY number"


class SchemaConnection(Protocol):
    """What a database lends to its migrations."""

    @property
    def dialect(self) -> Dialect: ...

    def lock(self) -> None:
        """Make other processes that would migrate wait."""

    def unlock(self) -> None: ...

    def begin(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def has_table(self, name: str) -> bool: ...

    def execute_as_is(self, sql: str) -> None:
        """Run a statement that is already in this database's words."""

    def execute(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:  # Any: see Transaction
        """Run a statement with named parameters; every row of its answer."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One file of the schema's history."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What tells whether the file has changed since it was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def revisions_in(folder: Path) -> tuple[Revision, ...]:
    """Every revision in a folder, by number.

    Raises ValueError for a file whose name is wrong and for a number that two files have.
    """
    found: dict[int, Revision] = {}
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name} is not a name for a revision")
        number = int(match["number"])
        if number in found:
            raise ValueError(f"revision {number} is there twice: {found[number].name} and {match['name']}")
        found[number] = Revision(number, match["name"], path.read_text(encoding="utf-8"))
    return tuple(found[number] for number in sorted(found))


REVISIONS: Final = revisions_in(Path(__file__).parent)


def statements_for(sql: str, dialect: Dialect) -> Iterator[str]:
    """The statements of a revision that are for one database, in its own words."""
    current: list[str] = []
    section = "both"
    for match in PIECE.finditer(sql):
        piece = match[0]
        if piece == ";":
            text = "".join(current).strip()
            if UNFINISHED_TRIGGER.match(text):
                current.append(piece)
                continue
            current.clear()
            if text and section in ("both", dialect.name):
                yield dialect.ddl(text)
        elif piece.startswith("--"):
            if directive := SECTION.fullmatch(piece):
                if "".join(current).strip():
                    raise ValueError(f"{piece} stands inside a statement")
                section = directive[1]
        else:
            current.append(piece)
    if rest := "".join(current).strip():
        raise ValueError(f"a statement does not end in a semicolon: {rest[:60]}")


def read_revisions(connection: SchemaConnection) -> Mapping[int, str]:
    """The revisions that a database has, with their checksums."""
    if not connection.has_table("schema_revisions"):
        return {}
    return {int(row[0]): str(row[1]) for row in connection.execute(REVISIONS_APPLIED)}


def refuse_unknown(applied: Mapping[int, str], revisions: Sequence[Revision]) -> None:
    """Raise DatabaseRefused when the database's schema is not one that `revisions` made."""
    known = {revision.number: revision for revision in revisions}
    newest = max(applied, default=0)
    for number, sha256 in applied.items():
        revision = known.get(number)
        if revision is None:
            raise DatabaseRefused(f"the database has schema revision {number}, which this version does not know")
        if revision.sha256 != sha256:
            raise DatabaseRefused(f"schema revision {number} ({revision.name}) has changed since it was applied")
    for revision in revisions:
        if revision.number < newest and revision.number not in applied:
            raise DatabaseRefused(f"the database lacks schema revision {revision.number}, and has {newest}")


def revisions_of(applied: Mapping[int, str], revisions: Sequence[Revision] = REVISIONS) -> tuple[Revision, ...]:
    """The revisions that made a schema, given their numbers and checksums. Raises DatabaseRefused as refuse_unknown."""
    refuse_unknown(applied, revisions)
    return tuple(revision for revision in revisions if revision.number in applied)


def migrate(connection: SchemaConnection, revisions: Sequence[Revision], *, now_ms: int) -> list[int]:
    """Apply the revisions that the database lacks, each in a transaction of its own; return their numbers.

    Raises DatabaseRefused, having changed nothing, when the database's schema is not one of this server's history.
    """
    applied_now: list[int] = []
    connection.lock()
    try:
        applied = read_revisions(connection)
        refuse_unknown(applied, revisions)
        for revision in revisions:
            if revision.number in applied:
                continue
            connection.begin()
            try:
                for statement in statements_for(revision.sql, connection.dialect):
                    connection.execute_as_is(statement)
                connection.execute(
                    ADD_REVISION,
                    number=revision.number,
                    name=revision.name,
                    sha256=revision.sha256,
                    applied_ms=now_ms,
                )
                connection.commit()
            finally:
                connection.rollback()
            applied_now.append(revision.number)
    finally:
        connection.unlock()
    return applied_now
