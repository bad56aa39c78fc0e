"""What goes through all tables: owners and sweeps. That each table declares itself is in tests/architecture/."""

from homeserver.storage.schema import sweep_all, tables_of
from homeserver.storage.tables import Owner
from tests.databases import SyncDatabase


def test_a_device_is_found_with_its_user() -> None:
    assert all(Owner.USER in table.owners for table in tables_of(Owner.DEVICE))


def test_a_table_expires_or_is_bounded() -> None:
    tables = [table for owner in Owner for table in tables_of(owner)]

    assert [table.name for table in tables if (table.retention.bound is None) == (table.retention.sweep is None)] == []


def test_an_empty_database_has_nothing_to_sweep(db: SyncDatabase) -> None:
    assert db.write(sweep_all, now_ms=2**50, limit=100) == 0
