"""The devices of this server's users.

Their sessions and tokens are in access_tokens.py, their keys in device_keys.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class Device:
    """A device, and when and from where it was last heard of."""

    user_id: UserID
    device_id: DeviceID
    display_name: str | None
    created_ms: int
    last_seen_ms: int | None = None
    last_seen_ip: str | None = None
    last_seen_user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device was heard of."""

    user_id: UserID
    device_id: DeviceID
    seen_ms: int
    ip: str
    user_agent: str


INSERT = """
    INSERT INTO devices (user_id, device_id, display_name, created_ms)
    VALUES (:user_id, :device_id, :display_name, :created_ms) ON CONFLICT (user_id, device_id) DO NOTHING"""


def insert_device(
    tx: Transaction, user_id: UserID, device_id: DeviceID, *, display_name: str | None, now_ms: int
) -> bool:
    """Make a device. False, and nothing changes, when the user has it already."""
    return tx.run(INSERT, user_id=user_id, device_id=device_id, display_name=display_name, created_ms=now_ms) > 0


FIND = """
    SELECT user_id, device_id, display_name, created_ms, last_seen_ms, last_seen_ip, last_seen_user_agent
      FROM devices WHERE user_id = :user_id AND device_id = :device_id"""


def find_device(tx: Transaction, user_id: UserID, device_id: DeviceID) -> Device | None:
    """One device of a user."""
    row = tx.one(FIND, user_id=user_id, device_id=device_id)
    return None if row is None else _device(row)


OF_USER = """
    SELECT user_id, device_id, display_name, created_ms, last_seen_ms, last_seen_ip, last_seen_user_agent
      FROM devices WHERE user_id = :user_id ORDER BY created_ms, device_id"""


def devices_of_user(tx: Transaction, user_id: UserID) -> list[Device]:
    """All devices of a user, the oldest first."""
    return [_device(row) for row in tx.all(OF_USER, user_id=user_id)]


NAMES = """
    SELECT user_id, device_id, display_name FROM devices
     WHERE user_id IN :user_ids[text] AND display_name IS NOT NULL"""


def device_names(tx: Transaction, user_ids: Sequence[str]) -> dict[tuple[UserID, DeviceID], str]:
    """The display names of all devices of these users; those without one are left out."""
    return {(UserID(row[0]), DeviceID(row[1])): row[2] for row in tx.all(NAMES, user_ids=list(user_ids))}


RENAME = "UPDATE devices SET display_name = :display_name WHERE user_id = :user_id AND device_id = :device_id"


def rename_device(tx: Transaction, user_id: UserID, device_id: DeviceID, display_name: str) -> bool:
    """Show a device under another name. False when the user has no such device."""
    return tx.run(RENAME, user_id=user_id, device_id=device_id, display_name=display_name) > 0


SEE = """
    UPDATE devices SET last_seen_ms = :seen_ms, last_seen_ip = :ip, last_seen_user_agent = :user_agent
     WHERE user_id = :user_id AND device_id = :device_id"""


def store_sightings(tx: Transaction, sightings: Sequence[Sighting]) -> None:
    """Note where devices were last heard of."""
    rows = [
        {
            "user_id": sighting.user_id,
            "device_id": sighting.device_id,
            "seen_ms": sighting.seen_ms,
            "ip": sighting.ip,
            "user_agent": sighting.user_agent,
        }
        for sighting in sightings
    ]
    tx.run_many(SEE, rows)


def _device(row: tuple[Any, ...]) -> Device:  # Any: a row
    return Device(UserID(row[0]), DeviceID(row[1]), row[2], row[3], row[4], row[5], row[6])


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "devices",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.bounded("what users log in with, and can log out"),
    ),
)
