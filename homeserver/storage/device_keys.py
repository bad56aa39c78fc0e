"""What devices publish: their own keys, one-time keys that are handed out once, and fallback keys.

One-time keys that were here when the database was put back to a backup (continuity.py) count as handed out.
Keys that sign other keys, and their signatures, are in cross_signing.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from homeserver.core.device_keys import KeyClaim, OneTimeKey
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

CLAIMED_KEPT_MS: Final = 7 * 24 * 3600 * 1000
IS_WITHHELD: Final = "number <= (SELECT keys_upto FROM continuity)"


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """What a device has left: unclaimed one-time keys by algorithm, and algorithms whose fallback key is unused."""

    one_time: dict[str, int]
    unused_fallback: list[str]


@dataclass(frozen=True, slots=True)
class StoredOneTimeKey:
    """A one-time key as it was uploaded, and whether it was handed out."""

    key: OneTimeKey
    is_claimed: bool


class ClaimedKey(NamedTuple):
    """A key that was handed out: a one-time key, or a fallback key. `key` is JSON."""

    claim: KeyClaim
    key_id: str
    key: bytes

    @property
    def full_id(self) -> str:
        """The key's name in answers: `algorithm:key_id`."""
        return f"{self.claim.algorithm}:{self.key_id}"


FIND = "SELECT keys FROM device_keys WHERE user_id = :user_id AND device_id = :device_id"


def find_device_keys(tx: Transaction, user_id: UserID, device_id: DeviceID) -> bytes | None:
    """What the device publishes of itself: JSON, without the signatures that were added later."""
    row = tx.one(FIND, user_id=user_id, device_id=device_id)
    return None if row is None else bytes(row[0])


STORE = """
    INSERT INTO device_keys (user_id, device_id, keys) VALUES (:user_id, :device_id, :keys)
    ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys"""


def store_device_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, keys: bytes) -> None:
    """Put the device's keys in place of what it published before."""
    tx.run(STORE, user_id=user_id, device_id=device_id, keys=keys)


OF_USER = """
    SELECT devices.device_id, device_keys.keys FROM devices
      LEFT JOIN device_keys ON device_keys.user_id = devices.user_id AND device_keys.device_id = devices.device_id
     WHERE devices.user_id = :user_id"""


def device_keys_of_user(tx: Transaction, user_id: UserID) -> dict[str, dict[str, Any]]:
    """All devices of a user, by their IDs, with what they publish; {} for one that publishes nothing. Any: JSON."""
    rows = tx.all(OF_USER, user_id=user_id)
    return {row[0]: {} if row[1] is None else orjson.loads(bytes(row[1])) for row in rows}


FIND_ONE_TIME = f"""
    SELECT algorithm, key_id, key, claimed_ms IS NOT NULL OR {IS_WITHHELD} FROM one_time_keys
     WHERE user_id = :user_id AND device_id = :device_id AND key_id IN :key_ids[text]"""  # noqa: S608 - a constant


def find_one_time_keys(
    tx: Transaction, user_id: UserID, device_id: DeviceID, key_ids: Collection[str]
) -> dict[str, StoredOneTimeKey]:
    """The device's keys with these IDs, of any algorithm, by their full IDs."""
    rows = tx.all(FIND_ONE_TIME, user_id=user_id, device_id=device_id, key_ids=list(key_ids))
    found = [StoredOneTimeKey(OneTimeKey(row[0], row[1], orjson.loads(bytes(row[2]))), bool(row[3])) for row in rows]
    return {stored.key.full_id: stored for stored in found}


INSERT_ONE_TIME = """
    INSERT INTO one_time_keys (number, user_id, device_id, algorithm, key_id, slot, key)
    VALUES (:number, :user_id, :device_id, :algorithm, :key_id, :slot, :key)"""


def insert_one_time_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, keys: Sequence[OneTimeKey]) -> None:
    """Add keys that the device does not have, behind all that it has."""
    if not keys:
        return
    first = tx.next_ids("one_time_key", len(keys))
    rows = _key_rows(user_id, device_id, keys)
    tx.insert_many(INSERT_ONE_TIME, [{**row, "number": number} for number, row in enumerate(rows, first)])


FORGET_CLAIMED = f"""
    DELETE FROM one_time_keys
     WHERE user_id = :user_id AND device_id = :device_id AND key_id IN :key_ids[text]
       AND (claimed_ms IS NOT NULL OR {IS_WITHHELD})"""  # noqa: S608 - a constant


def forget_claimed_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, key_ids: Collection[str]) -> None:
    """Forget keys of these IDs that were handed out: the device gives the IDs to other keys."""
    if key_ids:
        tx.run(FORGET_CLAIMED, user_id=user_id, device_id=device_id, key_ids=list(key_ids))


WITHHOLD = f"""
    UPDATE one_time_keys SET claimed_ms = :now_ms
     WHERE user_id = :user_id AND device_id = :device_id AND claimed_ms IS NULL AND NOT {IS_WITHHELD}"""  # noqa: S608


def withhold_one_time_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, *, now_ms: int) -> int:
    """Have the one-time keys of a device count as handed out; return how many did not."""
    return tx.run(WITHHOLD, user_id=user_id, device_id=device_id, now_ms=now_ms)


FALLBACK_OF_DEVICE = """
    SELECT algorithm, key_id, key FROM fallback_keys WHERE user_id = :user_id AND device_id = :device_id"""


def fallback_keys_of(tx: Transaction, user_id: UserID, device_id: DeviceID) -> dict[str, OneTimeKey]:
    """The device's fallback keys by algorithm."""
    rows = tx.all(FALLBACK_OF_DEVICE, user_id=user_id, device_id=device_id)
    return {row[0]: OneTimeKey(row[0], row[1], orjson.loads(bytes(row[2]))) for row in rows}


STORE_FALLBACK = """
    INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, slot, key, is_used)
    VALUES (:user_id, :device_id, :algorithm, :key_id, :slot, :key, :is_used)
    ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET
        key_id = excluded.key_id, key = excluded.key, is_used = excluded.is_used"""


def store_fallback_keys(tx: Transaction, user_id: UserID, device_id: DeviceID, keys: Sequence[OneTimeKey]) -> None:
    """Put these, unused, in place of the device's fallback keys of the same algorithms."""
    tx.insert_many(STORE_FALLBACK, [{**row, "is_used": False} for row in _key_rows(user_id, device_id, keys)])


COUNTS = f"""
    SELECT slot, COUNT(*) FROM one_time_keys
     WHERE slot >= :first AND slot < :behind AND claimed_ms IS NULL AND NOT {IS_WITHHELD}
     GROUP BY slot
    UNION ALL
    SELECT slot, -1 FROM fallback_keys
     WHERE user_id = :user_id AND device_id = :device_id AND NOT is_used
    ORDER BY 1"""  # noqa: S608 - a constant


def key_counts(tx: Transaction, user_id: UserID, device_id: DeviceID) -> KeyCounts:
    """What the device has left to be claimed."""
    first, behind = _slots(user_id, device_id)
    rows = [
        (orjson.loads(row[0])[2], row[1])
        for row in tx.all(COUNTS, first=first, behind=behind, user_id=user_id, device_id=device_id)
    ]
    return KeyCounts(
        {algorithm: count for algorithm, count in rows if count >= 0},
        [algorithm for algorithm, count in rows if count < 0],
    )


# Another process may have taken the key that the inner query chose: the outer condition sees that.
CLAIM_ONE_TIME = f"""
    UPDATE one_time_keys SET claimed_ms = :now_ms
     WHERE claimed_ms IS NULL AND number IN (
           SELECT MIN(number) FROM one_time_keys
            WHERE slot IN :slots[text] AND claimed_ms IS NULL AND NOT {IS_WITHHELD} GROUP BY slot)
    RETURNING slot, key_id, key"""  # noqa: S608 - a constant


def claim_one_time_keys(tx: Transaction, claims: Collection[KeyClaim], *, now_ms: int) -> list[ClaimedKey]:
    """Hand out the oldest one-time key for each of these claims, never to be handed out again."""
    slots = {_slot(claim.user_id, claim.device_id, claim.algorithm): claim for claim in claims}
    if not slots:
        return []
    rows = tx.all(CLAIM_ONE_TIME, slots=list(slots), now_ms=now_ms)
    return [ClaimedKey(slots[row[0]], row[1], bytes(row[2])) for row in rows]


CLAIM_FALLBACK = """
    UPDATE fallback_keys SET is_used = :is_used WHERE slot IN :slots[text] RETURNING slot, key_id, key"""


def claim_fallback_keys(tx: Transaction, claims: Collection[KeyClaim]) -> list[ClaimedKey]:
    """Hand out the fallback key for each of these claims; from now on it counts as used."""
    slots = {_slot(claim.user_id, claim.device_id, claim.algorithm): claim for claim in claims}
    if not slots:
        return []
    rows = tx.all(CLAIM_FALLBACK, slots=list(slots), is_used=True)
    return [ClaimedKey(slots[row[0]], row[1], bytes(row[2])) for row in rows]


USE_UP_FALLBACK = "UPDATE fallback_keys SET is_used = :is_used WHERE NOT is_used"


def use_up_fallback_keys(tx: Transaction) -> None:
    """Have all fallback keys count as used, so that devices put others in their place. Until then they are there."""
    tx.run(USE_UP_FALLBACK, is_used=True)


SWEEP = """
    DELETE FROM one_time_keys WHERE number IN (
        SELECT number FROM one_time_keys WHERE claimed_ms < :before LIMIT :limit)"""
SWEEP_WITHHELD = """
    DELETE FROM one_time_keys WHERE number IN (
        SELECT number FROM one_time_keys
         WHERE number <= (SELECT keys_upto FROM continuity WHERE broken_ms < :before) LIMIT :limit)"""


def sweep_claimed(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget keys that were handed out, or may have been, so long ago that nobody tries their upload again."""
    before = now_ms - CLAIMED_KEPT_MS
    gone = tx.run(SWEEP, before=before, limit=limit)
    return gone + tx.run(SWEEP_WITHHELD, before=before, limit=limit - gone)


def _slot(user_id: str, device_id: str, algorithm: str) -> str:
    return orjson.dumps([user_id, device_id, algorithm]).decode()


def _slots(user_id: str, device_id: str) -> tuple[str, str]:
    """All slots of a device lie from the first of these on, and before the second; no others do."""
    begin = orjson.dumps([user_id, device_id]).decode().removesuffix("]")
    return f'{begin},"', f"{begin},#"  # what follows the quotation mark in the order of bytes


def _key_rows(user_id: UserID, device_id: DeviceID, keys: Sequence[OneTimeKey]) -> list[dict[str, object]]:
    slots = {algorithm: _slot(user_id, device_id, algorithm) for algorithm in {key.algorithm for key in keys}}
    return [
        {
            "user_id": user_id,
            "device_id": device_id,
            "algorithm": key.algorithm,
            "key_id": key.key_id,
            "slot": slots[key.algorithm],
            "key": orjson.dumps(key.key),
        }
        for key in keys
    ]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "device_keys",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.bounded("one row per device"),
    ),
    Table(
        "one_time_keys",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.expires(sweep_claimed),
    ),
    Table(
        "fallback_keys",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.bounded("one row per device and algorithm"),
    ),
)
