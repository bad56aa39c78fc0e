"""How large the database says it is."""

import pytest

from homeserver.storage.database_sizes import database_size, stored_trees, tree_sizes
from homeserver.storage.schema import TABLES, tables_by_family
from tests.databases import SyncDatabase

INSERT = "INSERT INTO aged (number, text) VALUES (:number, :text)"
ROWS = 20_000


def test_every_table_is_of_one_family_and_is_found_in_the_database(db: SyncDatabase) -> None:
    families = tables_by_family()

    stored = {tree.table for tree in db.read(stored_trees)}

    assert sorted(table.name for tables in families.values() for table in tables) == sorted(
        table.name for table in TABLES
    )
    assert {table.name for table in TABLES} - {"search_index"} <= stored


def test_small_tables_are_measured_and_the_whole_is_not_smaller_than_they_are(db: SyncDatabase) -> None:
    names = [tree.name for tree in db.read(stored_trees)]

    sizes = db.read(tree_sizes, names)
    whole = db.read(database_size)

    assert sizes.keys() == set(names)
    assert not any(size.is_estimate for size in sizes.values())
    assert 0 < sum(size.size_bytes for size in sizes.values()) <= whole.size_bytes


@pytest.mark.parametrize("text", ["x" * 40, "y" * 9_000], ids=["short rows", "rows that overflow their pages"])
def test_a_large_table_is_estimated_from_a_few_of_its_pages(db: SyncDatabase, text: str) -> None:
    db.write(lambda tx: tx.run("CREATE TABLE aged (number BIGINT NOT NULL PRIMARY KEY, text TEXT NOT NULL)"))
    rows = ROWS if len(text) < 100 else ROWS // 10
    db.write(lambda tx: tx.insert_many(INSERT, [{"number": number, "text": text} for number in range(rows)]))

    exact = db.read(tree_sizes, ["aged"], sampled_pages=1_000_000)["aged"]
    found = db.read(tree_sizes, ["aged"], sampled_pages=30)["aged"]

    assert not exact.is_estimate
    assert 0.5 < found.size_bytes / exact.size_bytes < 2
    if db.database.dialect.name == "sqlite":
        assert found.is_estimate
