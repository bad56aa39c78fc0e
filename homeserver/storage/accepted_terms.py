"""The policy documents that users accepted when they made their accounts, and in which version."""

from collections.abc import Mapping
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

STORE = """
    INSERT INTO accepted_terms (user_id, policy, version, accepted_ms)
    VALUES (:user_id, :policy, :version, :accepted_ms)
    ON CONFLICT (user_id, policy) DO UPDATE SET version = excluded.version, accepted_ms = excluded.accepted_ms"""


def note_accepted_terms(tx: Transaction, user_id: UserID, versions: Mapping[str, str], *, now_ms: int) -> None:
    """Note the version of each policy that a user has accepted now."""
    tx.insert_many(
        STORE,
        [
            {"user_id": user_id, "policy": policy, "version": version, "accepted_ms": now_ms}
            for policy, version in versions.items()
        ],
    )


OF_USER = "SELECT policy, version FROM accepted_terms WHERE user_id = :user_id ORDER BY policy"


def accepted_terms_of(tx: Transaction, user_id: UserID) -> dict[str, str]:
    """The version of each policy that a user has accepted."""
    return {row[0]: row[1] for row in tx.all(OF_USER, user_id=user_id)}


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "accepted_terms",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("one row per account and policy of this server"),
    ),
)
