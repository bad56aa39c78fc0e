"""Dehydrated devices, as stored."""

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.dehydrated_devices import DehydratedDevice, find_dehydrated_device, insert_dehydrated_device
from homeserver.storage.owned_rows import delete_device_rows
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
BOB = UserID("@bob:example.org")
DRY = DehydratedDevice(DeviceID("DRY"), b'{"pickle":"secret"}')


def test_each_user_has_their_own_until_that_device_goes(db: SyncDatabase) -> None:
    other = DehydratedDevice(DeviceID("DRY"), b"{}")
    db.write(insert_dehydrated_device, ALICE, DRY)
    db.write(insert_dehydrated_device, BOB, other)

    db.write(delete_device_rows, ALICE, [DeviceID("WET")])
    assert db.read(find_dehydrated_device, ALICE) == DRY

    db.write(delete_device_rows, ALICE, [DRY.device_id])
    assert db.read(find_dehydrated_device, ALICE) is None
    assert db.read(find_dehydrated_device, BOB) == other
