"""Transaction IDs of clients and what became of them. Spec: client-server-api/#transaction-identifiers"""

from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 14 * 24 * 3600 * 1000

FIND = """
    SELECT outcome FROM client_transactions
     WHERE user_id = :user_id AND device_id = :device_id AND scope = :scope AND transaction_id = :transaction_id"""


def find_outcome(tx: Transaction, user_id: UserID, device_id: str, scope: str, transaction_id: str) -> str | None:
    """What this transaction ID led to before (an event ID, or empty), or None if it is new."""
    row = tx.one(FIND, user_id=user_id, device_id=device_id, scope=scope, transaction_id=transaction_id)
    return None if row is None else row[0]


INSERT = """
    INSERT INTO client_transactions (user_id, device_id, scope, transaction_id, outcome, written_ms)
    VALUES (:user_id, :device_id, :scope, :transaction_id, :outcome, :written_ms)"""


def insert_outcome(
    tx: Transaction, user_id: UserID, device_id: str, scope: str, transaction_id: str, *, outcome: str, now_ms: int
) -> None:
    """Note what a transaction ID led to, in the transaction of what it led to.

    `scope` is the endpoint with its path parameters: the same ID under another path is another transaction.
    """
    row = {
        "user_id": user_id,
        "device_id": device_id,
        "scope": scope,
        "transaction_id": transaction_id,
        "outcome": outcome,
        "written_ms": now_ms,
    }
    tx.insert_many(INSERT, [row])


SWEEP = """
    DELETE FROM client_transactions WHERE (user_id, device_id, scope, transaction_id) IN (
        SELECT user_id, device_id, scope, transaction_id FROM client_transactions
         WHERE written_ms < :before LIMIT :limit)"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget transaction IDs so old that no client retries them."""
    return tx.run(SWEEP, before=now_ms - KEPT_MS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "client_transactions",
        owners={Owner.USER: "user_id", Owner.DEVICE: "device_id"},
        retention=Retention.expires(sweep),
    ),
)
