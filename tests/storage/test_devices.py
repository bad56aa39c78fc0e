"""Devices, as stored."""

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.devices import (
    Device,
    Sighting,
    device_names,
    devices_of_user,
    find_device,
    insert_device,
    rename_device,
    store_sightings,
)
from tests.databases import SyncDatabase

ALICE, BOB = UserID("@alice:example.org"), UserID("@bob:example.org")
PHONE, TABLET = DeviceID("PHONE"), DeviceID("TABLET")


def test_a_device_is_made_once_per_user(db: SyncDatabase) -> None:
    assert db.write(insert_device, ALICE, PHONE, display_name="phone", now_ms=1)
    assert db.write(insert_device, BOB, PHONE, display_name=None, now_ms=1)

    assert not db.write(insert_device, ALICE, PHONE, display_name="other", now_ms=2)

    assert db.read(find_device, ALICE, PHONE) == Device(ALICE, PHONE, "phone", 1)
    assert db.read(find_device, BOB, PHONE) == Device(BOB, PHONE, None, 1)
    assert db.read(find_device, BOB, TABLET) is None


def test_devices_come_oldest_first(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name=None, now_ms=2)
    db.write(insert_device, ALICE, TABLET, display_name=None, now_ms=1)

    assert [device.device_id for device in db.read(devices_of_user, ALICE)] == [TABLET, PHONE]


def test_names_change_and_are_read_for_many_users_at_once(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name="phone", now_ms=1)
    db.write(insert_device, ALICE, TABLET, display_name=None, now_ms=1)
    db.write(insert_device, BOB, PHONE, display_name="bobs", now_ms=1)

    assert db.write(rename_device, ALICE, PHONE, "my phone")
    assert not db.write(rename_device, BOB, TABLET, "nothing")

    assert db.read(device_names, [ALICE, BOB]) == {(ALICE, PHONE): "my phone", (BOB, PHONE): "bobs"}


def test_sightings_are_stored_for_devices_that_are_there(db: SyncDatabase) -> None:
    db.write(insert_device, ALICE, PHONE, display_name=None, now_ms=1)

    db.write(
        store_sightings,
        [Sighting(ALICE, PHONE, 5, "192.0.2.1", "browser"), Sighting(ALICE, TABLET, 5, "192.0.2.1", "browser")],
    )

    assert db.read(devices_of_user, ALICE) == [Device(ALICE, PHONE, None, 1, 5, "192.0.2.1", "browser")]
