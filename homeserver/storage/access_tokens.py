"""Sessions, and the tokens by which they are known: access tokens and refresh tokens.

Tokens come here as SHA-256 hashes: the database knows no token. What tokens look like is in
services/accounts/token_values.py.
"""

from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.storage.accounts import AccountKind, rate_limit_of
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

EXPIRED_KEPT: Final = 100  # access tokens of one session
ENDED_KEPT: Final = 20  # refresh tokens of a session: whoever shows one of them again got it from somewhere else


@dataclass(frozen=True, slots=True)
class Session:
    """One login of a device."""

    session_id: int
    user_id: UserID
    device_id: DeviceID


@dataclass(frozen=True, slots=True)
class FoundAccessToken:
    """An access token, with what its account is and may."""

    session: Session
    expires_ms: int | None
    replaces: bytes | None  # the refresh token that ends with the first use of this token
    kind: AccountKind
    is_admin: bool
    is_deactivated: bool
    is_locked: bool
    is_suspended: bool
    is_shadow_banned: bool
    is_rate_limited: bool
    rate_limit: RateLimit | None
    probation_until_ms: int | None


@dataclass(frozen=True, slots=True)
class FoundRefreshToken:
    """A refresh token. One that has ended is known for a while, so that it is noticed when somebody shows it again."""

    session: Session
    replaces: bytes | None
    ended_ms: int | None = None


INSERT_SESSION = """
    INSERT INTO sessions (session_id, user_id, device_id, created_ms)
    VALUES (:session_id, :user_id, :device_id, :created_ms)"""


def insert_session(tx: Transaction, user_id: UserID, device_id: DeviceID, *, now_ms: int) -> Session:
    """Begin a session of a device."""
    session = Session(tx.next_ids("session_id"), user_id, device_id)
    tx.run(INSERT_SESSION, session_id=session.session_id, user_id=user_id, device_id=device_id, created_ms=now_ms)
    return session


INSERT_ACCESS = """
    INSERT INTO access_tokens (token_hash, session_id, user_id, device_id, created_ms, expires_ms, replaces)
    VALUES (:token_hash, :session_id, :user_id, :device_id, :created_ms, :expires_ms, :replaces)"""


def insert_access_token(
    tx: Transaction,
    token_hash: bytes,
    session: Session,
    *,
    now_ms: int,
    expires_ms: int | None,
    replaces: bytes | None,
) -> None:
    """Give a session an access token. `expires_ms` is None for one that never expires."""
    tx.run(
        INSERT_ACCESS,
        token_hash=token_hash,
        session_id=session.session_id,
        user_id=session.user_id,
        device_id=session.device_id,
        created_ms=now_ms,
        expires_ms=expires_ms,
        replaces=replaces,
    )


INSERT_REFRESH = """
    INSERT INTO refresh_tokens (token_hash, session_id, user_id, device_id, created_ms, replaces)
    VALUES (:token_hash, :session_id, :user_id, :device_id, :created_ms, :replaces)"""


def insert_refresh_token(
    tx: Transaction, token_hash: bytes, session: Session, *, now_ms: int, replaces: bytes | None
) -> None:
    """Give a session a refresh token."""
    tx.run(
        INSERT_REFRESH,
        token_hash=token_hash,
        session_id=session.session_id,
        user_id=session.user_id,
        device_id=session.device_id,
        created_ms=now_ms,
        replaces=replaces,
    )


FIND_ACCESS = """
    SELECT t.session_id, t.user_id, t.device_id, t.expires_ms, t.replaces, u.kind, u.is_admin,
           u.is_deactivated, u.is_locked, u.is_suspended, u.is_shadow_banned, u.is_rate_limited,
           u.rate_per_second, u.rate_burst, u.probation_until_ms
      FROM access_tokens t JOIN users u ON u.user_id = t.user_id WHERE t.token_hash = :token_hash"""


def find_access_token(tx: Transaction, token_hash: bytes) -> FoundAccessToken | None:
    """The access token with this hash."""
    row = tx.one(FIND_ACCESS, token_hash=token_hash)
    if row is None:
        return None
    return FoundAccessToken(
        session=_session(row),
        expires_ms=row[3],
        replaces=None if row[4] is None else bytes(row[4]),
        kind=AccountKind(row[5]),
        is_admin=bool(row[6]),
        is_deactivated=bool(row[7]),
        is_locked=bool(row[8]),
        is_suspended=bool(row[9]),
        is_shadow_banned=bool(row[10]),
        is_rate_limited=bool(row[11]),
        rate_limit=rate_limit_of(row[12], row[13]),
        probation_until_ms=row[14],
    )


# A token that has ended stands as its own successor, with the time of its end in place of that of its beginning.
FIND_REFRESH = """
    SELECT session_id, user_id, device_id, replaces, created_ms FROM refresh_tokens WHERE token_hash = :token_hash"""


def find_refresh_token(tx: Transaction, token_hash: bytes) -> FoundRefreshToken | None:
    """The refresh token with this hash."""
    row = tx.one(FIND_REFRESH, token_hash=token_hash)
    if row is None:
        return None
    replaces = None if row[3] is None else bytes(row[3])
    if replaces == token_hash:
        return FoundRefreshToken(_session(row), None, ended_ms=row[4])
    return FoundRefreshToken(_session(row), replaces)


EXPIRE_SUCCESSORS = """
    UPDATE access_tokens SET expires_ms = :now_ms, replaces = NULL
     WHERE session_id = :session_id AND replaces = :token_hash RETURNING token_hash"""
FORGET_OLD = """
    DELETE FROM access_tokens
     WHERE session_id = :session_id AND expires_ms <= :now_ms
       AND token_hash NOT IN (SELECT token_hash FROM access_tokens WHERE session_id = :session_id
                               ORDER BY created_ms DESC, token_hash LIMIT :kept)"""
DELETE_SUCCESSORS = "DELETE FROM refresh_tokens WHERE session_id = :session_id AND replaces = :token_hash"


def expire_successors(tx: Transaction, session: Session, token_hash: bytes, *, now_ms: int) -> list[bytes]:
    """End the pairs that a refresh token was exchanged for and that were not used yet: their access tokens' hashes."""
    tx.run(DELETE_SUCCESSORS, session_id=session.session_id, token_hash=token_hash)
    rows = tx.all(EXPIRE_SUCCESSORS, session_id=session.session_id, token_hash=token_hash, now_ms=now_ms)
    # Expired tokens tell a client that it need not log in anew; one that never uses what it gets piles them up.
    tx.run(FORGET_OLD, session_id=session.session_id, now_ms=now_ms, kept=EXPIRED_KEPT)
    return [bytes(row[0]) for row in rows]


END_REFRESH_TOKEN = """
    UPDATE refresh_tokens SET replaces = token_hash, created_ms = :now_ms WHERE token_hash = :token_hash"""  # noqa: S105
FORGET_ENDED = """
    DELETE FROM refresh_tokens
     WHERE session_id = :session_id AND replaces = token_hash
       AND token_hash NOT IN (SELECT token_hash FROM refresh_tokens
                               WHERE session_id = :session_id AND replaces = token_hash
                               ORDER BY created_ms DESC, token_hash LIMIT :kept)"""
CONFIRM_ACCESS_TOKENS = """
    UPDATE access_tokens SET replaces = NULL WHERE session_id = :session_id AND replaces = :token_hash"""
CONFIRM_REFRESH_TOKENS = """
    UPDATE refresh_tokens SET replaces = NULL WHERE session_id = :session_id AND replaces = :token_hash"""
DELETE_EXPIRED = """
    DELETE FROM access_tokens WHERE session_id = :session_id AND expires_ms IS NOT NULL AND expires_ms <= :now_ms"""


def end_refresh_token(tx: Transaction, session: Session, token_hash: bytes, *, now_ms: int) -> None:
    """End a refresh token because what it was exchanged for is used; expired access tokens of the session go too."""
    tx.run(CONFIRM_ACCESS_TOKENS, session_id=session.session_id, token_hash=token_hash)
    tx.run(CONFIRM_REFRESH_TOKENS, session_id=session.session_id, token_hash=token_hash)
    tx.run(END_REFRESH_TOKEN, token_hash=token_hash, now_ms=now_ms)
    tx.run(FORGET_ENDED, session_id=session.session_id, kept=ENDED_KEPT)
    tx.run(DELETE_EXPIRED, session_id=session.session_id, now_ms=now_ms)


END_SESSIONS = "DELETE FROM sessions WHERE user_id = :user_id AND device_id = :device_id"
END_ACCESS_TOKENS = "DELETE FROM access_tokens WHERE user_id = :user_id AND device_id = :device_id"
END_REFRESH_TOKENS = "DELETE FROM refresh_tokens WHERE user_id = :user_id AND device_id = :device_id"


def end_sessions(tx: Transaction, user_id: UserID, device_id: DeviceID) -> None:
    """End the sessions of a device, which itself stays."""
    tx.run(END_SESSIONS, user_id=user_id, device_id=device_id)
    tx.run(END_ACCESS_TOKENS, user_id=user_id, device_id=device_id)
    tx.run(END_REFRESH_TOKENS, user_id=user_id, device_id=device_id)


def _session(row: tuple[Any, ...]) -> Session:  # Any: a row
    return Session(row[0], UserID(row[1]), DeviceID(row[2]))


_OWNERS: Final = {Owner.USER: "user_id", Owner.DEVICE: "device_id"}

TABLES: Final[tuple[Table, ...]] = (
    Table("sessions", owners=_OWNERS, retention=Retention.bounded("one row per device")),
    Table(
        "access_tokens",
        owners=_OWNERS,
        retention=Retention.bounded(f"one per session, and {EXPIRED_KEPT} expired since its newest was used"),
    ),
    Table(
        "refresh_tokens",
        owners=_OWNERS,
        retention=Retention.bounded(f"two per session, and {ENDED_KEPT} that have ended"),
    ),
)
