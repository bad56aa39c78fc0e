"""A database that is watched: how many rows each write touches; and that ends, as a server does that is killed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from homeserver.storage.database import Database, Transaction
from tests.storage.statements import CountedStatements

P = ParamSpec("P")
T = TypeVar("T")


class CountedRows(CountedStatements):
    """Counts rows that are written: those that go in together too, and those that are written at a position."""

    __slots__ = ()

    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self.inner.all(sql, **parameters)

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:
        return self.inner.one(sql, **parameters)

    def run(self, sql: str, **parameters: Any) -> int:
        changed = self.inner.run(sql, **parameters)
        self.count += changed
        return changed

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.count += len(rows)
        self.inner.insert_many(sql, rows)

    def at_position(self, tables: tuple[str, ...], fn: Callable[[Transaction, int], None]) -> None:
        self.inner.at_position(tables, lambda _, position: fn(self, position))


class TheEnd(Exception):  # noqa: N818 - of the server
    """The server was killed."""


class Watched(Database):
    """Passes everything on to a database, counts the rows that each write touches, and ends after so many writes."""

    def __init__(self, inner: Database, last: int | None = None) -> None:
        self.inner = inner
        self.left = last
        self.rows: list[int] = []

    async def write(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self.left == 0:
            raise TheEnd
        self.left = None if self.left is None else self.left - 1

        def counted(tx: Transaction) -> T:
            counting = CountedRows(tx)
            counting.after_commits = tx.after_commits
            value = fn(counting, *args, **kwargs)
            self.rows.append(counting.count)
            return value

        return await self.inner.write(counted)

    async def read(self, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.inner.read(fn, *args, **kwargs)
