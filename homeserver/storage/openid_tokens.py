"""Tokens by which users show third parties who they are. They come here as SHA-256 hashes."""

from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

INSERT = "INSERT INTO openid_tokens (token_hash, user_id, expires_ms) VALUES (:token_hash, :user_id, :expires_ms)"


def insert_openid_token(tx: Transaction, token_hash: bytes, user_id: UserID, *, expires_ms: int) -> None:
    """Let whoever has a token know the user who gave it away."""
    tx.run(INSERT, token_hash=token_hash, user_id=user_id, expires_ms=expires_ms)


FIND = "SELECT user_id FROM openid_tokens WHERE token_hash = :token_hash AND expires_ms > :now_ms"


def find_openid_user(tx: Transaction, token_hash: bytes, *, now_ms: int) -> UserID | None:
    """Whose token it is. None when there is no such token, or not any more."""
    row = tx.one(FIND, token_hash=token_hash, now_ms=now_ms)
    return None if row is None else UserID(row[0])


SWEEP = """
    DELETE FROM openid_tokens WHERE token_hash IN (
        SELECT token_hash FROM openid_tokens WHERE expires_ms <= :now_ms LIMIT :limit)"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Delete what has expired."""
    return tx.run(SWEEP, now_ms=now_ms, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table("openid_tokens", owners={Owner.USER: "user_id"}, retention=Retention.expires(sweep)),
)
