"""The accounts of this server: who they are and what they may.

Their devices, tokens and profiles have files of their own.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


class AccountKind(Enum):
    """What kind of user an account is for."""

    USER = "user"
    GUEST = "guest"
    APPSERVICE = "appservice"


@dataclass(frozen=True, slots=True)
class Account:
    """One account of this server."""

    user_id: UserID
    kind: AccountKind
    created_ms: int
    appservice_id: str | None = None
    password_hash: str | None = None  # None: nobody logs in with a password
    is_admin: bool = False
    is_deactivated: bool = False
    is_erased: bool = False  # deactivated, and what the user sent is to be shown to nobody new
    is_locked: bool = False
    is_suspended: bool = False
    is_shadow_banned: bool = False
    is_rate_limited: bool = True
    rate_limit: RateLimit | None = None  # how fast the user may act, instead of what the settings say
    probation_until_ms: int | None = None  # until when the user may do less than others


INSERT = """
    INSERT INTO users (
        user_id, kind, appservice_id, password_hash, created_ms, is_admin,
        is_deactivated, is_erased, is_locked, is_suspended, is_shadow_banned, is_rate_limited,
        rate_per_second, rate_burst, probation_until_ms)
    VALUES (
        :user_id, :kind, :appservice_id, :password_hash, :created_ms, :is_admin,
        :is_deactivated, :is_erased, :is_locked, :is_suspended, :is_shadow_banned, :is_rate_limited,
        :rate_per_second, :rate_burst, :probation_until_ms)
    ON CONFLICT (user_id) DO NOTHING"""


def insert_account(tx: Transaction, account: Account) -> bool:
    """Make an account. False when the user ID is taken."""
    return tx.run(INSERT, **_values(account)) > 0


FIND = """
    SELECT user_id, kind, created_ms, appservice_id, password_hash, is_admin,
           is_deactivated, is_erased, is_locked, is_suspended, is_shadow_banned, is_rate_limited,
           rate_per_second, rate_burst, probation_until_ms
      FROM users WHERE user_id = :user_id"""


def find_account(tx: Transaction, user_id: UserID) -> Account | None:
    """The account of this user ID."""
    row = tx.one(FIND, user_id=user_id)
    return None if row is None else _account(row)


PAGE = """
    SELECT user_id, kind, created_ms, appservice_id, password_hash, is_admin,
           is_deactivated, is_erased, is_locked, is_suspended, is_shadow_banned, is_rate_limited,
           rate_per_second, rate_burst, probation_until_ms
      FROM users WHERE user_id > :after ORDER BY user_id LIMIT :limit"""


def accounts_after(tx: Transaction, after: str, *, limit: int) -> list[Account]:
    """A page of all accounts, in the order of their user IDs; the first page is after ""."""
    return [_account(row) for row in tx.all(PAGE, after=after, limit=limit)]


UPDATE = """
    UPDATE users
       SET kind = :kind, appservice_id = :appservice_id, password_hash = :password_hash, is_admin = :is_admin,
           is_deactivated = :is_deactivated, is_erased = :is_erased, is_locked = :is_locked,
           is_suspended = :is_suspended, is_shadow_banned = :is_shadow_banned, is_rate_limited = :is_rate_limited,
           rate_per_second = :rate_per_second, rate_burst = :rate_burst,
           probation_until_ms = :probation_until_ms
     WHERE user_id = :user_id"""


def update_account(tx: Transaction, account: Account) -> None:
    """Put `account` in place of what is stored of it. Read it in the same transaction."""
    values = _values(account)
    del values["created_ms"]
    tx.run(UPDATE, **values)


SET_PASSWORD = "UPDATE users SET password_hash = :password_hash WHERE user_id = :user_id"  # noqa: S105 - SQL


def set_password_hash(tx: Transaction, user_id: UserID, password_hash: str) -> None:
    """Put another password in place of the user's."""
    tx.run(SET_PASSWORD, user_id=user_id, password_hash=password_hash)


DEPARTING = """
    SELECT DISTINCT u.user_id FROM users u JOIN memberships m ON m.user_id = u.user_id
     WHERE u.is_deactivated AND m.membership IN ('join', 'invite', 'knock') ORDER BY u.user_id"""


def departing_users(tx: Transaction) -> list[UserID]:
    """The users whose accounts were deactivated and who have not left all their rooms yet."""
    return [UserID(row[0]) for row in tx.all(DEPARTING)]


IS_GUEST = "SELECT 1 FROM users WHERE user_id = :user_id AND kind = 'guest'"


def is_guest(tx: Transaction, user_id: UserID) -> bool:
    """Whether a user of this server is a guest. Whether those of others are is for their servers to know."""
    return tx.one(IS_GUEST, user_id=user_id) is not None


GUESTS_IN_ROOM = """
    SELECT u.user_id FROM memberships m JOIN users u ON u.user_id = m.user_id
     WHERE m.room_id = :room_id AND m.membership = 'join' AND m.is_local AND u.kind = 'guest' ORDER BY u.user_id"""


def guests_in_room(tx: Transaction, room_id: RoomID) -> list[UserID]:
    """The guests of this server who are in a room."""
    return [UserID(row[0]) for row in tx.all(GUESTS_IN_ROOM, room_id=room_id)]


ROOMS_WITH_GUESTS = """
    SELECT DISTINCT m.room_id FROM users u JOIN memberships m ON m.user_id = u.user_id
     WHERE u.kind = 'guest' AND m.membership = 'join' ORDER BY m.room_id"""


def rooms_with_guests(tx: Transaction) -> list[RoomID]:
    """The rooms that guests of this server are in."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_WITH_GUESTS)]


ERASED = "SELECT user_id FROM users WHERE is_erased"


def erased_users(tx: Transaction) -> list[UserID]:
    """The users who wanted to be erased."""
    return [UserID(row[0]) for row in tx.all(ERASED)]


SHADOW_BANNED = "SELECT user_id FROM users WHERE is_shadow_banned"


def shadow_banned_users(tx: Transaction) -> list[UserID]:
    """The users whom nobody is to hear."""
    return [UserID(row[0]) for row in tx.all(SHADOW_BANNED)]


def _values(account: Account) -> dict[str, Any]:  # Any: column values
    return {
        "user_id": account.user_id,
        "kind": account.kind.value,
        "appservice_id": account.appservice_id,
        "password_hash": account.password_hash,
        "created_ms": account.created_ms,
        "is_admin": account.is_admin,
        "is_deactivated": account.is_deactivated,
        "is_erased": account.is_erased,
        "is_locked": account.is_locked,
        "is_suspended": account.is_suspended,
        "is_shadow_banned": account.is_shadow_banned,
        "is_rate_limited": account.is_rate_limited,
        "rate_per_second": None if account.rate_limit is None else account.rate_limit.per_second,
        "rate_burst": None if account.rate_limit is None else int(account.rate_limit.burst),
        "probation_until_ms": account.probation_until_ms,
    }


def _account(row: tuple[Any, ...]) -> Account:  # Any: a row
    return Account(
        user_id=UserID(row[0]),
        kind=AccountKind(row[1]),
        created_ms=row[2],
        appservice_id=row[3],
        password_hash=row[4],
        is_admin=bool(row[5]),
        is_deactivated=bool(row[6]),
        is_erased=bool(row[7]),
        is_locked=bool(row[8]),
        is_suspended=bool(row[9]),
        is_shadow_banned=bool(row[10]),
        is_rate_limited=bool(row[11]),
        rate_limit=rate_limit_of(row[12], row[13]),
        probation_until_ms=row[14],
    )


def rate_limit_of(per_second: float | None, burst: int | None) -> RateLimit | None:
    """A user's own rate limit, from its two columns."""
    return None if per_second is None or burst is None else RateLimit(per_second, burst)


TABLES: Final[tuple[Table, ...]] = (
    Table("users", owners={Owner.USER: "user_id"}, retention=Retention.bounded("one row per account")),
)
