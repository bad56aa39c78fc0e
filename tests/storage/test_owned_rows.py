"""Deleting what belongs to devices and accounts."""

from typing import Any

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.device_keys import find_device_keys, store_device_keys
from homeserver.storage.devices import devices_of_user, insert_device
from homeserver.storage.owned_rows import GONE_WITH_ACCOUNT, delete_device_rows, delete_private_rows
from homeserver.storage.schema import TABLES, tables_of
from homeserver.storage.tables import Owner
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
PHONE, TABLET = DeviceID("PHONE"), DeviceID("TABLET")


def count(tx: Transaction, table: str) -> Any:
    row = tx.one(f"SELECT count(*) FROM {table}")
    assert row is not None
    return row[0]


def test_with_a_device_goes_what_is_its_own_and_nothing_else(db: SyncDatabase) -> None:
    for user_id, device_id in ((ALICE, PHONE), (ALICE, TABLET), (BOB, PHONE)):
        db.write(insert_device, user_id, device_id, display_name=None, now_ms=1)
        db.write(store_device_keys, user_id, device_id, b"{}")

    db.write(delete_device_rows, ALICE, [PHONE])

    assert [device.device_id for device in db.read(devices_of_user, ALICE)] == [TABLET]
    assert db.read(find_device_keys, ALICE, PHONE) is None
    assert db.read(find_device_keys, ALICE, TABLET) == b"{}"
    assert db.read(find_device_keys, BOB, PHONE) == b"{}"


def test_every_table_with_rows_of_devices_is_among_those_that_are_emptied(db: SyncDatabase) -> None:
    names = [table.name for table in tables_of(Owner.DEVICE)]

    db.write(delete_device_rows, ALICE, [PHONE, TABLET])

    assert {"devices", "sessions", "access_tokens", "refresh_tokens"} <= set(names)
    assert all(Owner.USER in table.owners for table in tables_of(Owner.DEVICE))
    assert all(db.read(count, name) == 0 for name in names)


def test_what_goes_with_an_account_is_named_as_in_the_schema(db: SyncDatabase) -> None:
    db.write(delete_private_rows, ALICE)

    assert {table.name for table in TABLES} >= GONE_WITH_ACCOUNT
