"""Devices of other servers' users, as far as they share a room with a user of this server, and how fresh that is.

Their cross-signing keys are in cross_signing.py. Who asks the other servers is services/e2ee/.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.core.remote_keys import RemoteDevice
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

LOOKED_AT_EVERY_MS: Final = 3_600_000  # whether a room is still shared


@dataclass(frozen=True, slots=True)
class RemoteDeviceList:
    """How the list of a user's devices is kept: see the migration."""

    user_id: UserID
    stream_id: int | None
    checked_position: int
    is_stale: bool
    marks: int
    failures: int
    next_attempt_ms: int


COLUMNS: Final = "user_id, stream_id, checked_position, is_stale, marks, failures, next_attempt_ms"

FIND = f"SELECT {COLUMNS} FROM remote_device_lists WHERE user_id IN :user_ids[text]"  # noqa: S608 - the columns are a constant


def lists_of(tx: Transaction, user_ids: Collection[UserID]) -> dict[UserID, RemoteDeviceList]:
    """The lists of those of the users of whom one is kept."""
    lists = [_list(row) for row in tx.all(FIND, user_ids=list(user_ids))] if user_ids else []
    return {one.user_id: one for one in lists}


def find_list(tx: Transaction, user_id: UserID) -> RemoteDeviceList | None:
    """The list of a user, if one is kept."""
    return lists_of(tx, [user_id]).get(user_id)


STORE = f"""
    INSERT INTO remote_device_lists ({COLUMNS}, looked_at_ms)
    VALUES (:user_id, :stream_id, :checked_position, :is_stale, :marks, :failures, :next_attempt_ms, :now_ms)
    ON CONFLICT (user_id) DO UPDATE SET
        stream_id = excluded.stream_id, checked_position = excluded.checked_position, is_stale = excluded.is_stale,
        marks = excluded.marks, failures = excluded.failures, next_attempt_ms = excluded.next_attempt_ms"""  # noqa: S608 - the columns are a constant


def store_list(tx: Transaction, kept: RemoteDeviceList, *, now_ms: int) -> None:
    """Put this in place of what is known of the user's list."""
    tx.run(
        STORE,
        user_id=kept.user_id,
        stream_id=kept.stream_id,
        checked_position=kept.checked_position,
        is_stale=kept.is_stale,
        marks=kept.marks,
        failures=kept.failures,
        next_attempt_ms=kept.next_attempt_ms,
        now_ms=now_ms,
    )


FRESH = """
    SELECT l.user_id FROM remote_device_lists l
     WHERE l.user_id IN :user_ids[text] AND NOT l.is_stale AND EXISTS (
        SELECT 1 FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
         WHERE m.user_id = l.user_id AND m.membership = 'join' AND m.log_position <= l.checked_position
           AND s.server = :server AND s.until_position IS NULL AND s.since_position <= l.checked_position)"""


def fresh_lists(tx: Transaction, user_ids: Collection[UserID], server: ServerName) -> set[UserID]:
    """Those of the users whose list is as their server has it: `server`, this one, is told of each change."""
    if not user_ids:
        return set()
    return {UserID(row[0]) for row in tx.all(FRESH, user_ids=list(user_ids), server=server)}


SHARING = """
    SELECT DISTINCT m.user_id FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
     WHERE m.user_id IN :user_ids[text] AND m.membership = 'join' AND s.server = :server
       AND s.until_position IS NULL"""


def users_in_rooms_of(tx: Transaction, user_ids: Collection[UserID], server: ServerName) -> set[UserID]:
    """Those of the users who are joined to a room in which the server is."""
    if not user_ids:
        return set()
    return {UserID(row[0]) for row in tx.all(SHARING, user_ids=list(user_ids), server=server)}


DUE = f"""
    SELECT {COLUMNS} FROM remote_device_lists WHERE is_stale AND next_attempt_ms <= :now_ms
     ORDER BY next_attempt_ms LIMIT :limit"""  # noqa: S608 - the columns are a constant


def due_lists(tx: Transaction, *, now_ms: int, limit: int) -> list[RemoteDeviceList]:
    """Stale lists that are to be asked for now, those that have waited longest first."""
    return [_list(row) for row in tx.all(DUE, now_ms=now_ms, limit=limit)]


NEXT_DUE = "SELECT MIN(next_attempt_ms) FROM remote_device_lists WHERE is_stale"


def next_due_ms(tx: Transaction) -> int | None:
    """When the next stale list is to be asked for; None when none is stale."""
    row = tx.one(NEXT_DUE)
    return None if row is None else row[0]


BRING_FORWARD = """
    UPDATE remote_device_lists SET next_attempt_ms = :now_ms
     WHERE is_stale AND next_attempt_ms > :now_ms AND user_id LIKE :of_server"""


def bring_forward(tx: Transaction, servers: Iterable[ServerName], *, now_ms: int) -> None:
    """Stale lists of users of these servers are to be asked for now."""
    for server in servers:  # a server's name has no character that means anything in a pattern
        tx.run(BRING_FORWARD, now_ms=now_ms, of_server=f"%:{server}")


DOUBT = """
    UPDATE remote_device_lists SET is_stale = :is_stale, marks = marks + 1, failures = 0, next_attempt_ms = :now_ms
     WHERE NOT is_stale"""


def doubt_lists(tx: Transaction, *, now_ms: int) -> int:
    """All lists are stale now, and to be asked for; return how many were not."""
    return tx.run(DOUBT, is_stale=True, now_ms=now_ms)


DEVICES = "SELECT user_id, device_id, display_name, keys FROM remote_devices WHERE user_id IN :user_ids[text]"


def remote_devices_of(tx: Transaction, user_ids: Collection[UserID]) -> dict[UserID, dict[DeviceID, RemoteDevice]]:
    """The devices of those of the users of whom any are known."""
    found: dict[UserID, dict[DeviceID, RemoteDevice]] = {}
    if user_ids:
        for user_id, device_id, name, keys in tx.all(DEVICES, user_ids=list(user_ids)):
            device = RemoteDevice(DeviceID(device_id), None if keys is None else orjson.loads(bytes(keys)), name)
            found.setdefault(UserID(user_id), {})[device.device_id] = device
    return found


STORE_DEVICE = """
    INSERT INTO remote_devices (user_id, device_id, display_name, keys)
    VALUES (:user_id, :device_id, :display_name, :keys)
    ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = excluded.display_name, keys = excluded.keys"""


def store_remote_devices(tx: Transaction, user_id: UserID, devices: Iterable[RemoteDevice]) -> None:
    """Put these in place of what is known of the same devices."""
    rows: list[Mapping[str, Any]] = [
        {
            "user_id": user_id,
            "device_id": device.device_id,
            "display_name": device.display_name,
            "keys": None if device.keys is None else encode_canonical(device.keys),
        }
        for device in devices
    ]
    tx.insert_many(STORE_DEVICE, rows)


DELETE_DEVICES = "DELETE FROM remote_devices WHERE user_id = :user_id AND device_id IN :device_ids[text]"


def delete_remote_devices(tx: Transaction, user_id: UserID, device_ids: Collection[DeviceID]) -> None:
    """These devices are no more."""
    if device_ids:
        tx.run(DELETE_DEVICES, user_id=user_id, device_ids=list(device_ids))


LOOK_AT = """
    SELECT l.user_id, (SELECT COUNT(*) FROM remote_devices d WHERE d.user_id = l.user_id), EXISTS (
        SELECT 1 FROM memberships theirs JOIN memberships ours ON ours.room_id = theirs.room_id
         WHERE theirs.user_id = l.user_id AND theirs.membership = 'join'
           AND ours.membership = 'join' AND ours.is_local)
      FROM remote_device_lists l WHERE l.looked_at_ms < :before ORDER BY l.looked_at_ms LIMIT :limit"""
LOOKED_AT = "UPDATE remote_device_lists SET looked_at_ms = :now_ms WHERE user_id IN :user_ids[text]"
FORGET_LISTS = "DELETE FROM remote_device_lists WHERE user_id IN :user_ids[text]"
FORGET_DEVICES = "DELETE FROM remote_devices WHERE user_id IN :user_ids[text]"
FORGET_KEYS = "DELETE FROM cross_signing_keys WHERE user_id IN :user_ids[text]"
FORGET_SIGNATURES = "DELETE FROM key_signatures WHERE user_id IN :user_ids[text]"


def sweep_unshared(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget the devices and keys of users who share no room any more: nobody tells of their changes."""
    rows = tx.all(LOOK_AT, before=now_ms - LOOKED_AT_EVERY_MS, limit=limit)
    shared = [row[0] for row in rows if row[2]]
    if shared:
        tx.run(LOOKED_AT, now_ms=now_ms, user_ids=shared)
    gone: list[str] = []
    devices = 0
    for user_id, count, is_shared in rows:
        if not is_shared and (not gone or devices + count <= limit):
            gone.append(user_id)
            devices += count
    if not gone:
        return 0
    deleted = tx.run(FORGET_LISTS, user_ids=gone) + tx.run(FORGET_DEVICES, user_ids=gone)
    return deleted + tx.run(FORGET_KEYS, user_ids=gone) + tx.run(FORGET_SIGNATURES, user_ids=gone)


def _list(row: tuple[Any, ...]) -> RemoteDeviceList:  # Any: a row
    return RemoteDeviceList(UserID(row[0]), row[1], row[2], bool(row[3]), row[4], row[5], row[6])


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "remote_device_lists",
        owners={Owner.USER: "user_id"},
        retention=Retention.expires(sweep_unshared),
    ),
    Table(
        "remote_devices",
        owners={Owner.USER: "user_id"},  # a device goes with its list: it is never logged out here
        retention=Retention.bounded("of users whose lists are kept, and gone with them; so many per user"),
    ),
)
