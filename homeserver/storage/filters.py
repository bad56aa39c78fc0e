"""Filters that clients uploaded to name them in a sync. What a filter does is in core/filters.py."""

from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MOST_FILTERS: Final = 200  # per user; beyond them, those that were uploaded longest ago go

FIND = "SELECT definition FROM filters WHERE user_id = :user_id AND filter_id = :filter_id"


def find_filter(tx: Transaction, user_id: UserID, filter_id: str) -> bytes | None:
    """The JSON of the user's filter of this ID."""
    row = tx.one(FIND, user_id=user_id, filter_id=filter_id)
    return None if row is None else bytes(row[0])


STORE = """
    INSERT INTO filters (user_id, filter_id, definition, written_ms)
    VALUES (:user_id, :filter_id, :definition, :written_ms)
    ON CONFLICT (user_id, filter_id) DO UPDATE SET written_ms = excluded.written_ms"""
DROP_OLDEST = """
    DELETE FROM filters WHERE user_id = :user_id AND filter_id NOT IN (
        SELECT filter_id FROM filters WHERE user_id = :user_id ORDER BY written_ms DESC, filter_id LIMIT :most)"""


def store_filter(tx: Transaction, user_id: UserID, filter_id: str, definition: bytes, *, now_ms: int) -> None:
    """Keep a filter under an ID that follows from what it says; of too many, let the oldest go."""
    tx.run(STORE, user_id=user_id, filter_id=filter_id, definition=definition, written_ms=now_ms)
    tx.run(DROP_OLDEST, user_id=user_id, most=MOST_FILTERS)


TABLES: Final[tuple[Table, ...]] = (
    Table("filters", owners={Owner.USER: "user_id"}, retention=Retention.bounded(f"{MOST_FILTERS} per user")),
)
