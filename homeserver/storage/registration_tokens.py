"""Tokens that administrators give to those who may make an account."""

from dataclasses import dataclass
from typing import Any, Final

from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A token, how often it may be used, and how often it was."""

    token: str
    uses_allowed: int | None  # None: as often as one likes
    times_used: int
    created_ms: int
    expires_ms: int | None

    def is_valid(self, now_ms: int) -> bool:
        """True if one more account can be made with it."""
        is_used_up = self.uses_allowed is not None and self.times_used >= self.uses_allowed
        return not is_used_up and (self.expires_ms is None or self.expires_ms > now_ms)


STORE = """
    INSERT INTO registration_tokens (token, uses_allowed, times_used, created_ms, expires_ms)
    VALUES (:token, :uses_allowed, :times_used, :created_ms, :expires_ms)
    ON CONFLICT (token) DO NOTHING"""


def insert_registration_token(tx: Transaction, token: RegistrationToken) -> bool:
    """Make a token. False when there is one that reads the same."""
    inserted = tx.run(
        STORE,
        token=token.token,
        uses_allowed=token.uses_allowed,
        times_used=token.times_used,
        created_ms=token.created_ms,
        expires_ms=token.expires_ms,
    )
    return inserted > 0


FIND = """
    SELECT token, uses_allowed, times_used, created_ms, expires_ms FROM registration_tokens WHERE token = :token"""


def find_registration_token(tx: Transaction, token: str) -> RegistrationToken | None:
    """The token that reads like this."""
    row = tx.one(FIND, token=token)
    return None if row is None else _token(row)


ALL = (
    "SELECT token, uses_allowed, times_used, created_ms, expires_ms FROM registration_tokens ORDER BY created_ms, token"
)


def registration_tokens(tx: Transaction) -> list[RegistrationToken]:
    """All tokens, the oldest first."""
    return [_token(row) for row in tx.all(ALL)]


USE = """
    UPDATE registration_tokens SET times_used = times_used + 1
     WHERE token = :token AND (uses_allowed IS NULL OR times_used < uses_allowed)
       AND (expires_ms IS NULL OR expires_ms > :now_ms)"""


def use_registration_token(tx: Transaction, token: str, *, now_ms: int) -> bool:
    """Count one more account. False when the token allows none."""
    return tx.run(USE, token=token, now_ms=now_ms) > 0


CHANGE = "UPDATE registration_tokens SET uses_allowed = :uses_allowed, expires_ms = :expires_ms WHERE token = :token"


def change_registration_token(tx: Transaction, token: str, *, uses_allowed: int | None, expires_ms: int | None) -> bool:
    """Let a token be used more or less often, or longer or shorter. False when there is none."""
    return tx.run(CHANGE, token=token, uses_allowed=uses_allowed, expires_ms=expires_ms) > 0


DELETE = "DELETE FROM registration_tokens WHERE token = :token"


def delete_registration_token(tx: Transaction, token: str) -> bool:
    """Take a token back. False when there is none."""
    return tx.run(DELETE, token=token) > 0


def _token(row: tuple[Any, ...]) -> RegistrationToken:  # Any: a row
    return RegistrationToken(row[0], row[1], row[2], row[3], row[4])


TABLES: Final[tuple[Table, ...]] = (
    Table("registration_tokens", retention=Retention.bounded("tokens that administrators made and can delete")),
)
