"""Tokens with which one logs in once. They come here as SHA-256 hashes."""

from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

INSERT = "INSERT INTO login_tokens (token_hash, user_id, expires_ms) VALUES (:token_hash, :user_id, :expires_ms)"


def insert_login_token(tx: Transaction, token_hash: bytes, user_id: UserID, *, expires_ms: int) -> None:
    """Let the bearer of a token log in once."""
    tx.run(INSERT, token_hash=token_hash, user_id=user_id, expires_ms=expires_ms)


FIND = "SELECT user_id FROM login_tokens WHERE token_hash = :token_hash AND expires_ms > :now_ms"


def find_login_token(tx: Transaction, token_hash: bytes, *, now_ms: int) -> UserID | None:
    """Who would log in with a token."""
    row = tx.one(FIND, token_hash=token_hash, now_ms=now_ms)
    return None if row is None else UserID(row[0])


TAKE = "DELETE FROM login_tokens WHERE token_hash = :token_hash RETURNING user_id, expires_ms"


def take_login_token(tx: Transaction, token_hash: bytes, *, now_ms: int) -> UserID | None:
    """Use a token up: who logs in with it. None when there is no such token, or not any more."""
    row = tx.one(TAKE, token_hash=token_hash)
    return None if row is None or row[1] <= now_ms else UserID(row[0])


DELETE_OF_USER = "DELETE FROM login_tokens WHERE user_id = :user_id"


def delete_login_tokens(tx: Transaction, user_id: UserID) -> None:
    """Take back all that would log this user in."""
    tx.run(DELETE_OF_USER, user_id=user_id)


SWEEP = """
    DELETE FROM login_tokens WHERE token_hash IN (
        SELECT token_hash FROM login_tokens WHERE expires_ms <= :now_ms LIMIT :limit)"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Delete what has expired."""
    return tx.run(SWEEP, now_ms=now_ms, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table("login_tokens", owners={Owner.USER: "user_id"}, retention=Retention.expires(sweep)),
)
