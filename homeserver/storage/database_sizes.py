"""How large the database is, and each table with its indexes: measured where that is cheap, else estimated.

What is found costs a bounded number of pages, however large the database is. Whose the tables are is in schema.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.storage.database import Transaction

SQLITE: Final = "sqlite"
SAMPLED_PAGES: Final = 100  # of each tree of SQLite


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """What the database takes up, and how much of that holds nothing now: None where nobody can say."""

    size_bytes: int
    unused_bytes: int | None


SQLITE_SIZE = """
    SELECT c.page_count * s.page_size, f.freelist_count * s.page_size
      FROM pragma_page_count c, pragma_page_size s, pragma_freelist_count f"""
POSTGRESQL_SIZE = "SELECT pg_database_size(current_database()), NULL"


def database_size(tx: Transaction) -> DatabaseSize:
    """The whole database, without SQLite's log."""
    (row,) = tx.all(SQLITE_SIZE) if tx.dialect.name == SQLITE else tx.all(POSTGRESQL_SIZE)
    return DatabaseSize(int(row[0]), None if row[1] is None else int(row[1]))


@dataclass(frozen=True, slots=True)
class Tree:
    """A table or an index as it is stored. `table` is that which it belongs to."""

    name: str
    table: str


TREES = "SELECT name, tbl_name FROM sqlite_schema WHERE rootpage > 0 ORDER BY name"
RELATIONS = """
    SELECT relname, relname FROM pg_class
     WHERE relkind = 'r' AND pg_table_is_visible(oid) AND relnamespace = CAST(CURRENT_SCHEMA() AS REGNAMESPACE)
     ORDER BY relname"""


def stored_trees(tx: Transaction) -> list[Tree]:
    """All that has a size of its own: in PostgreSQL tables, each with its indexes, in SQLite both."""
    rows = tx.all(TREES) if tx.dialect.name == SQLITE else tx.all(RELATIONS)
    return [Tree(row[0], row[1]) for row in rows]


@dataclass(frozen=True, slots=True)
class TreeSize:
    """The size of a tree."""

    size_bytes: int
    is_estimate: bool


SAMPLE = "SELECT path, ncell, pgsize FROM dbstat WHERE name = :name LIMIT :limit"
MEASURE = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
     WHERE relkind = 'r' AND pg_table_is_visible(oid) AND relname IN :names[text]"""


def tree_sizes(tx: Transaction, names: Sequence[str], sampled_pages: int = SAMPLED_PAGES) -> dict[str, TreeSize]:
    """The sizes of these trees; in SQLite that of one which has more pages than are looked at is an estimate."""
    if tx.dialect.name == SQLITE:
        return {name: _estimated(tx.all(SAMPLE, name=name, limit=sampled_pages), sampled_pages) for name in names}
    rows = tx.all(MEASURE, names=list(names))
    return {row[0]: TreeSize(int(row[1]), is_estimate=False) for row in rows}


def _estimated(pages: Sequence[tuple[Any, ...]], limit: int) -> TreeSize:  # Any: rows
    """What the first pages of a tree, in the order of their paths, say of the whole.

    A page names as many on the next level as it has cells, and one more. So the pages of a level are as many as those
    of the level above, times what one of them names on average.
    """
    size_bytes = sum(page[2] for page in pages)
    if len(pages) < limit:
        return TreeSize(size_bytes, is_estimate=False)
    by_level: dict[int, list[int]] = {}
    overflowing = 0
    for path, cells, _ in pages:
        if "+" in path:
            overflowing += 1
        else:
            by_level.setdefault(path.count("/"), []).append(int(cells))
    on_level, estimate = 1.0, 0.0
    deepest = max(by_level)
    for level in range(1, deepest + 1):
        seen = by_level.get(level, [])
        estimate += on_level
        if level < deepest:
            on_level *= _average(cells + 1 for cells in seen)
    known = sum(map(len, by_level.values()))
    return TreeSize(int(estimate * (known + overflowing) / known * pages[0][2]), is_estimate=True)


def _average(numbers: Iterable[int]) -> float:
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else 1.0
