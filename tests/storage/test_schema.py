"""Every table says who owns its rows and how it shrinks."""

from pathlib import Path

from homeserver.storage.database import Transaction
from homeserver.storage.schema import TABLES, sweep_all, tables_of
from homeserver.storage.tables import Owner
from tests.databases import SyncDatabase, fresh_sqlite

COLUMNS = """
    SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
     WHERE t.schema = 'main' AND t.type <> 'shadow' AND t.name NOT LIKE 'sqlite_%'"""


def columns(tx: Transaction) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table, column in tx.all(COLUMNS):
        found.setdefault(table, set()).add(column)
    return found


def test_every_table_is_declared_once(tmp_path: Path) -> None:
    database = SyncDatabase(fresh_sqlite(tmp_path / "homeserver.db"))

    names = sorted(table.name for table in TABLES)

    assert names == sorted(database.read(columns))
    database.close()


def test_owners_are_found_by_columns_that_exist(tmp_path: Path) -> None:
    database = SyncDatabase(fresh_sqlite(tmp_path / "homeserver.db"))

    existing = database.read(columns)

    missing = [
        (table.name, column)
        for table in TABLES
        for owner, column in table.owners.items()
        if owner is not Owner.SERVER and column not in existing[table.name]
    ]
    assert missing == []
    database.close()


def test_a_device_is_found_with_its_user() -> None:
    assert all(Owner.USER in table.owners for table in tables_of(Owner.DEVICE))


def test_every_table_has_one_rule_by_which_it_shrinks() -> None:
    assert [table.name for table in TABLES if (table.retention.bound is None) == (table.retention.sweep is None)] == []
    assert [table.name for table in TABLES if not table.owners] == []


def test_an_empty_database_has_nothing_to_sweep(db: SyncDatabase) -> None:
    assert db.write(sweep_all, now_ms=2**50, limit=100) == 0
