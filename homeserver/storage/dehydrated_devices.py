"""Devices that lie on the server until somebody logs in and wakes them: at most one of each user. See MSC3814."""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class DehydratedDevice:
    """Which device, and what its user's clients need to wake it: JSON that the server cannot read."""

    device_id: DeviceID
    data: bytes


STORE = "INSERT INTO dehydrated_devices (user_id, device_id, data) VALUES (:user_id, :device_id, :data)"


def insert_dehydrated_device(tx: Transaction, user_id: UserID, device: DehydratedDevice) -> None:
    """Note that a device of a user is dehydrated. There must be no other."""
    tx.run(STORE, user_id=user_id, device_id=device.device_id, data=device.data)


FIND = "SELECT device_id, data FROM dehydrated_devices WHERE user_id = :user_id"


def find_dehydrated_device(tx: Transaction, user_id: UserID) -> DehydratedDevice | None:
    """The user's dehydrated device."""
    row = tx.one(FIND, user_id=user_id)
    return None if row is None else DehydratedDevice(DeviceID(row[0]), bytes(row[1]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "dehydrated_devices",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.bounded("one row per user"),
    ),
)
