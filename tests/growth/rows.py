"""How many rows each table has, and which of them name somebody."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from homeserver.storage.database import Transaction
from homeserver.storage.schema import TABLES

COLUMNS: Final = {
    "sqlite": "SELECT name FROM pragma_table_info(:table_name)",
    "postgresql": """
        SELECT column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = :table_name ORDER BY ordinal_position""",
}


def count_rows(tx: Transaction) -> dict[str, int]:
    """How many rows each table has."""
    return {table.name: tx.all(f"SELECT COUNT(*) FROM {table.name}")[0][0] for table in TABLES}


def columns_that_name(tx: Transaction, identifier: str) -> set[tuple[str, str]]:
    """Tables and columns in which an identifier occurs, as a whole or within JSON."""
    return {
        (table.name, column)
        for table in TABLES
        for row in rows_of(tx, table.name)
        for column, value in row.items()
        if identifier in as_text(value)
    }


def rows_of(tx: Transaction, table: str) -> Iterator[Mapping[str, Any]]:  # Any: values of several types
    """Every row of a table by the names of its columns."""
    columns = [row[0] for row in tx.all(COLUMNS[tx.dialect.name], table_name=table)]
    for row in tx.all(f"SELECT {', '.join(columns)} FROM {table}"):
        yield dict(zip(columns, row, strict=True))


def as_text(value: Any) -> str:  # Any: as above
    """A value in which an identifier can be looked for."""
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
