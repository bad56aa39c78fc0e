"""A transaction that counts: how many statements a storage function takes, whatever the number of its rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeserver.storage.database import Transaction


class CountedStatements(Transaction):
    """Passes everything on to another transaction. Rows that go in together count as one statement."""

    __slots__ = ("count", "inner")

    def __init__(self, inner: Transaction) -> None:
        super().__init__(inner.dialect)
        self.inner = inner
        self.count = 0

    def all(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        self.count += 1
        return self.inner.all(sql, **parameters)

    def one(self, sql: str, **parameters: Any) -> tuple[Any, ...] | None:
        self.count += 1
        return self.inner.one(sql, **parameters)

    def run(self, sql: str, **parameters: Any) -> int:
        self.count += 1
        return self.inner.run(sql, **parameters)

    def run_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.count += len(rows)
        self.inner.run_many(sql, rows)

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.count += 1
        self.inner.insert_many(sql, rows)

    def next_ids(self, counter: str, count: int = 1) -> int:
        return self.inner.next_ids(counter, count)

    def at_position(self, tables: tuple[str, ...], fn: Callable[[Transaction, int], None]) -> None:
        self.inner.at_position(tables, fn)

    @property
    def log_position(self) -> int:
        return self.inner.log_position
