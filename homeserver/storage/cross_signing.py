"""The keys with which users sign other keys, and the signatures that were verified.

Signatures are rows of their own; what a device publishes may carry more (device_keys.py). Which signatures somebody may
see is part of each query: client-server-api/#key-and-signature-security
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from homeserver.core.cross_signing import CrossSigningKey, KeyUsage, VerifiedSignature
from homeserver.core.identifiers import DeviceID, KeyID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


class PublishedDevice(NamedTuple):
    """A device with its keys: `keys` is the JSON object that it uploaded."""

    user_id: UserID
    device_id: DeviceID
    display_name: str | None
    keys: bytes


class StoredSignature(NamedTuple):
    """A verified signature on a key of `user_id`: `key_id` is a device ID or the public part of a key."""

    user_id: UserID
    key_id: str
    signer_id: UserID
    signing_key_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What some users publish, as far as one viewer may see it; the user-signing keys of all, to be filtered."""

    devices: list[PublishedDevice]
    cross_signing_keys: list[CrossSigningKey]
    signatures: list[StoredSignature]


PUBLISHED = """
    SELECT 'device', device_keys.user_id, device_keys.device_id, devices.display_name, NULL, device_keys.keys
      FROM device_keys
      JOIN devices ON devices.user_id = device_keys.user_id AND devices.device_id = device_keys.device_id
     WHERE device_keys.user_id IN :user_ids[text]
    UNION ALL
    SELECT usage, user_id, public_key, NULL, NULL, payload FROM cross_signing_keys
     WHERE user_id IN :user_ids[text]
    UNION ALL
    SELECT 'signed by owner', user_id, key_id, signing_key_id, signature, NULL FROM key_signatures
     WHERE user_id IN :user_ids[text]
    UNION ALL
    SELECT 'signed by viewer', user_id, key_id, signing_key_id, signature, NULL FROM user_signatures
     WHERE signer_id = :viewer_id AND user_id IN :user_ids[text]"""


def published_keys(tx: Transaction, user_ids: Collection[UserID], *, viewer_id: str) -> PublishedKeys:
    """Everything that these users publish: in one statement, however many they are.

    Signatures are those of the owners and of the viewer. `viewer_id` is empty when another server asks.
    """
    devices: list[PublishedDevice] = []
    keys: list[CrossSigningKey] = []
    signatures: list[StoredSignature] = []
    for kind, user, key_id, detail, signature, body in tx.all(PUBLISHED, user_ids=list(user_ids), viewer_id=viewer_id):
        user_id = UserID(user)
        if kind == "device":
            devices.append(PublishedDevice(user_id, DeviceID(key_id), detail, bytes(body)))
        elif kind == "signed by owner":
            signatures.append(StoredSignature(user_id, key_id, user_id, detail, signature))
        elif kind == "signed by viewer":
            signatures.append(StoredSignature(user_id, key_id, UserID(viewer_id), detail, signature))
        else:
            keys.append(CrossSigningKey(user_id, KeyUsage(kind), key_id, orjson.loads(bytes(body))))
    return PublishedKeys(devices, keys, signatures)


OF_USER = "SELECT usage, public_key, payload FROM cross_signing_keys WHERE user_id = :user_id"


def cross_signing_keys_of(tx: Transaction, user_id: UserID) -> dict[KeyUsage, CrossSigningKey]:
    """The user's keys, without signatures."""
    keys = [
        CrossSigningKey(user_id, KeyUsage(row[0]), row[1], orjson.loads(bytes(row[2])))
        for row in tx.all(OF_USER, user_id=user_id)
    ]
    return {key.usage: key for key in keys}


MASTERS = (
    "SELECT user_id, public_key, payload FROM cross_signing_keys WHERE usage = 'master' AND user_id IN :user_ids[text]"
)


def master_keys_of(tx: Transaction, user_ids: Collection[UserID]) -> dict[UserID, CrossSigningKey]:
    """The master keys of those of the users who have one, without signatures."""
    rows = tx.all(MASTERS, user_ids=list(user_ids))
    return {
        UserID(row[0]): CrossSigningKey(row[0], KeyUsage.MASTER, row[1], orjson.loads(bytes(row[2]))) for row in rows
    }


STORE = """
    INSERT INTO cross_signing_keys (user_id, usage, public_key, payload)
    VALUES (:user_id, :usage, :public_key, :payload)
    ON CONFLICT (user_id, usage) DO UPDATE SET
        public_key = excluded.public_key, payload = excluded.payload, replaceable_until_ms = NULL"""


def store_cross_signing_keys(tx: Transaction, keys: Sequence[CrossSigningKey]) -> None:
    """Put keys in place of their users' keys for the same usages, without their signatures."""
    rows = [
        {
            "user_id": key.user_id,
            "usage": key.usage.value,
            "public_key": key.public_key,
            "payload": orjson.dumps({name: value for name, value in key.payload.items() if name != "signatures"}),
        }
        for key in keys
    ]
    tx.insert_many(STORE, rows)


MAKE_REPLACEABLE = """
    UPDATE cross_signing_keys SET replaceable_until_ms = :until_ms WHERE user_id = :user_id AND usage = 'master'"""


def make_keys_replaceable(tx: Transaction, user_id: UserID, *, until_ms: int) -> bool:
    """Note that the user may replace their keys without more ado, once, until then. False if they have none."""
    return tx.run(MAKE_REPLACEABLE, user_id=user_id, until_ms=until_ms) > 0


REPLACEABLE = """
    SELECT 1 FROM cross_signing_keys
     WHERE user_id = :user_id AND usage = 'master' AND replaceable_until_ms > :now_ms"""


def are_keys_replaceable(tx: Transaction, user_id: UserID, *, now_ms: int) -> bool:
    """Whether the user may replace their keys without more ado."""
    return tx.one(REPLACEABLE, user_id=user_id, now_ms=now_ms) is not None


DELETE = "DELETE FROM cross_signing_keys WHERE user_id = :user_id AND usage = :usage"


def delete_cross_signing_key(tx: Transaction, user_id: UserID, usage: KeyUsage) -> None:
    """Take a key away, if the user has it."""
    tx.run(DELETE, user_id=user_id, usage=usage.value)


STORE_OWN_SIGNATURE = """
    INSERT INTO key_signatures (user_id, key_id, signing_key_id, signature)
    VALUES (:user_id, :key_id, :signing_key_id, :signature)
    ON CONFLICT (user_id, key_id, signing_key_id) DO UPDATE SET signature = excluded.signature"""


def store_key_signatures(
    tx: Transaction, user_id: UserID, key_id: str, signatures: Sequence[VerifiedSignature]
) -> None:
    """Add signatures of a user on a key of the same user."""
    rows = [
        {"user_id": user_id, "key_id": key_id, "signing_key_id": one.key_id, "signature": one.signature}
        for one in signatures
    ]
    tx.insert_many(STORE_OWN_SIGNATURE, rows)


FORGET_OWN_ON = "DELETE FROM key_signatures WHERE user_id = :user_id AND key_id = :key_id"


def replace_key_signatures(
    tx: Transaction, user_id: UserID, key_id: str, signatures: Sequence[VerifiedSignature]
) -> None:
    """Put these signatures of a user in place of all that the user has on a key of theirs."""
    tx.run(FORGET_OWN_ON, user_id=user_id, key_id=key_id)
    store_key_signatures(tx, user_id, key_id, signatures)


STORE_USER_SIGNATURE = """
    INSERT INTO user_signatures (signer_id, user_id, key_id, signing_key_id, signature, log_position)
    VALUES (:signer_id, :user_id, :key_id, :signing_key_id, :signature, :log_position)
    ON CONFLICT (signer_id, user_id, key_id, signing_key_id) DO UPDATE SET
        signature = excluded.signature, log_position = excluded.log_position"""


def store_user_signatures(
    tx: Transaction, user_id: UserID, key_id: str, signatures: Sequence[VerifiedSignature], *, log_position: int
) -> None:
    """Add signatures of others on the master key of a user."""
    rows = [
        {
            "signer_id": one.signer_id,
            "user_id": user_id,
            "key_id": key_id,
            "signing_key_id": one.key_id,
            "signature": one.signature,
            "log_position": log_position,
        }
        for one in signatures
    ]
    tx.insert_many(STORE_USER_SIGNATURE, rows)


SIGNATURES_ON = "SELECT signing_key_id, signature FROM key_signatures WHERE user_id = :user_id AND key_id = :key_id"


def key_signatures_on(tx: Transaction, user_id: UserID, key_id: str) -> list[VerifiedSignature]:
    """The signatures of a user on a key of the same user."""
    rows = tx.all(SIGNATURES_ON, user_id=user_id, key_id=key_id)
    return [VerifiedSignature(user_id, KeyID(row[0]), row[1]) for row in rows]


NOTE_USER_SIGNING = """
    UPDATE cross_signing_keys SET log_position = :log_position
     WHERE user_id = :user_id AND usage = 'user_signing'"""


def note_user_signing_change(tx: Transaction, user_id: UserID, log_position: int) -> None:
    """The user-signing key of a user became another at this position."""
    tx.run(NOTE_USER_SIGNING, user_id=user_id, log_position=log_position)


PRIVATE_CHANGES = """
    SELECT user_id FROM user_signatures
     WHERE signer_id = :signer_id AND log_position > :after AND log_position <= :upto
    UNION
    SELECT user_id FROM cross_signing_keys
     WHERE user_id = :signer_id AND log_position > :after AND log_position <= :upto"""


def private_changes_of(tx: Transaction, signer_id: UserID, *, after: int, upto: int) -> set[UserID]:
    """The users of whom something changed in (after, upto] that this user alone may see.

    They are those whose master keys the user signed, and the user themself if their user-signing key became another.
    """
    return {UserID(row[0]) for row in tx.all(PRIVATE_CHANGES, signer_id=signer_id, after=after, upto=upto)}


FORGET_OTHERS_ON = "DELETE FROM user_signatures WHERE user_id = :user_id AND key_id = :key_id"


def forget_signatures_on(tx: Transaction, user_id: UserID, key_id: str) -> None:
    """A key of the user is gone, or another: nobody's signatures on it hold."""
    tx.run(FORGET_OWN_ON, user_id=user_id, key_id=key_id)
    tx.run(FORGET_OTHERS_ON, user_id=user_id, key_id=key_id)


FORGET_OWN_BY = "DELETE FROM key_signatures WHERE user_id = :user_id AND signing_key_id = :signing_key_id"
FORGET_OTHERS_BY = "DELETE FROM user_signatures WHERE signer_id = :user_id AND signing_key_id = :signing_key_id"


def forget_signatures_by(tx: Transaction, user_id: UserID, signing_key_id: str) -> None:
    """A key of the user is gone: what it signed counts as unsigned."""
    tx.run(FORGET_OWN_BY, user_id=user_id, signing_key_id=signing_key_id)
    tx.run(FORGET_OTHERS_BY, user_id=user_id, signing_key_id=signing_key_id)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "cross_signing_keys",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("one row per user and usage"),
    ),
    Table(
        "key_signatures",
        owners={Owner.USER: "user_id", Owner.DEVICE: "key_id"},
        retention=Retention.bounded("one row per key and key that signed it"),
    ),
    Table(
        "user_signatures",
        owners={Owner.USER: "signer_id"},
        retention=Retention.bounded("one row per user and user whom they verified"),
    ),
)
