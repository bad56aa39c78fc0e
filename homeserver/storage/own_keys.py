"""The public halves of all keys that this server has ever signed by. The secret one in use is in a file.

Who uses them is services/events/own_keys.py.
"""

from collections.abc import Iterable
from typing import Final

from homeserver.core.identifiers import KeyID
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.signing import VerifyKey
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table

ALL = "SELECT key_id, public_key, expired_ms FROM own_keys ORDER BY key_id, public_key"


def own_keys(tx: Transaction) -> list[PublishedKey]:
    """Every key, whether in use or not."""
    return [
        PublishedKey(VerifyKey(KeyID(row[0]), bytes(row[1])), FOR_EVER_MS if row[2] is None else row[2], row[2])
        for row in tx.all(ALL)
    ]


EXPIRE = """
    INSERT INTO own_keys (key_id, public_key, expired_ms) VALUES (:key_id, :public_key, :expired_ms)
    ON CONFLICT (key_id, public_key) DO UPDATE SET expired_ms = COALESCE(own_keys.expired_ms, excluded.expired_ms)"""
EXPIRE_OTHERS = """
    UPDATE own_keys SET expired_ms = :now_ms
     WHERE expired_ms IS NULL AND NOT (key_id = :key_id AND public_key = :public_key)"""
USE = """
    INSERT INTO own_keys (key_id, public_key, expired_ms) VALUES (:key_id, :public_key, NULL)
    ON CONFLICT (key_id, public_key) DO UPDATE SET expired_ms = NULL"""


def use_own_key(tx: Transaction, key: VerifyKey, old: Iterable[PublishedKey] = (), *, now_ms: int) -> None:
    """Note that `key` is the one in use, and when the `old` ones expired; others in use until now do at `now_ms`."""
    for each in old:
        name = each.verify_key
        tx.run(EXPIRE, key_id=name.key_id, public_key=name.public, expired_ms=each.expired_ms)
    tx.run(EXPIRE_OTHERS, key_id=key.key_id, public_key=key.public, now_ms=now_ms)
    tx.run(USE, key_id=key.key_id, public_key=key.public)


TABLES: Final[tuple[Table, ...]] = (Table("own_keys", retention=Retention.bounded("one per rotation")),)
