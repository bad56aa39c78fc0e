"""Transaction IDs of clients and what became of them. Spec: client-server-api/#transaction-identifiers"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

DAY_MS: Final = 24 * 3600 * 1000
DAYS_KEPT: Final = 2  # besides today: a client that retries does so within hours

FIND = """
    SELECT outcome FROM client_transactions
     WHERE day IN (:today, :today - 1, :today - 2) AND user_id = :user_id AND device_id = :device_id
       AND scope = :scope AND transaction_id = :transaction_id"""


def find_outcome(
    tx: Transaction, user_id: UserID, device_id: str, scope: str, transaction_id: str, *, now_ms: int
) -> str | None:
    """What this transaction ID led to before (an event ID, or empty), or None if it is new."""
    row = tx.one(
        FIND,
        today=now_ms // DAY_MS,
        user_id=user_id,
        device_id=device_id,
        scope=scope,
        transaction_id=transaction_id,
    )
    return None if row is None else row[0]


INSERT = """
    INSERT INTO client_transactions (day, user_id, device_id, scope, transaction_id, outcome)
    VALUES (:day, :user_id, :device_id, :scope, :transaction_id, :outcome)"""


def insert_outcome(
    tx: Transaction, user_id: UserID, device_id: str, scope: str, transaction_id: str, *, outcome: str, now_ms: int
) -> None:
    """Note what a transaction ID led to, in the transaction of what it led to.

    `scope` is the endpoint with its path parameters: the same ID under another path is another transaction.
    """
    row = {
        "day": now_ms // DAY_MS,
        "user_id": user_id,
        "device_id": device_id,
        "scope": scope,
        "transaction_id": transaction_id,
        "outcome": outcome,
    }
    tx.insert_many(INSERT, [row])


FORGET_DEVICES = """
    DELETE FROM client_transactions
     WHERE day IN ((SELECT MAX(day) FROM client_transactions), (SELECT MAX(day) - 1 FROM client_transactions),
                   (SELECT MAX(day) - 2 FROM client_transactions))
       AND user_id = :user_id AND device_id IN :device_ids[text]"""


def forget_devices(tx: Transaction, user_id: UserID, device_ids: Sequence[str]) -> None:
    """Let the transaction IDs of devices that are gone be used anew: one may log in again under its old ID."""
    tx.run(FORGET_DEVICES, user_id=user_id, device_ids=list(device_ids))


SWEEP = """
    DELETE FROM client_transactions WHERE (day, user_id, device_id, scope, transaction_id) IN (
        SELECT day, user_id, device_id, scope, transaction_id FROM client_transactions
         WHERE day < :first_kept ORDER BY day LIMIT :limit)"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget transaction IDs so old that no client retries them."""
    return tx.run(SWEEP, first_kept=now_ms // DAY_MS - DAYS_KEPT, limit=limit)


# A device's rows are found by `forget_devices`: by the owner's column alone they would be looked for in all days.
TABLES: Final[tuple[Table, ...]] = (
    Table("client_transactions", owners={Owner.USER: "user_id"}, retention=Retention.expires(sweep)),
)
