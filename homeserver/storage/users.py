"""All accounts of this server, as administrators look through them: filtered, sorted, a page at a time.

One account by its ID, and how it is changed, is in accounts.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import ServerName, UserID
from homeserver.storage.accounts import AccountKind
from homeserver.storage.database import Transaction
from homeserver.storage.dialect import like_pattern


@dataclass(frozen=True, slots=True)
class ListedUser:
    """An account with how its user is shown and when they were last heard of."""

    user_id: UserID
    kind: AccountKind
    created_ms: int
    appservice_id: str | None
    is_admin: bool
    is_deactivated: bool
    is_erased: bool
    is_locked: bool
    is_suspended: bool
    is_shadow_banned: bool
    display_name: str | None
    avatar_url: str | None
    last_seen_ms: int | None


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts: None where it does not matter. `part` is looked for in names and IDs, without regard to case."""

    part_of_user_id: str | None = None
    part_of_name: str | None = None  # of the local part or the display name
    is_guest: bool | None = None
    is_admin: bool | None = None
    is_deactivated: bool | None = None
    is_locked: bool | None = None


COLUMNS: Final = """
    SELECT u.user_id, u.kind, u.created_ms, u.appservice_id, u.is_admin, u.is_deactivated, u.is_erased, u.is_locked,
           u.is_suspended, u.is_shadow_banned, p.display_name, p.avatar_url,
           (SELECT MAX(COALESCE(d.last_seen_ms, d.created_ms)) FROM devices d WHERE d.user_id = u.user_id) AS seen_ms"""
JOINED: Final = " FROM users u LEFT JOIN profiles p ON p.user_id = u.user_id"
# What is no letter from A to Z is compared as it is, by both databases alike.
WHERE: Final = """
     WHERE LOWER(u.user_id) LIKE :user_id ESCAPE '!'
       AND (LOWER(u.user_id) LIKE :local_part ESCAPE '!' OR LOWER(COALESCE(p.display_name, '')) LIKE :name ESCAPE '!')
       AND (:guests_or_not OR (u.kind = 'guest') = :is_guest) AND (:admins_or_not OR u.is_admin = :is_admin)
       AND (:deactivated_or_not OR u.is_deactivated = :is_deactivated)
       AND (:locked_or_not OR u.is_locked = :is_locked)"""
# Words are sorted up by one key and down by the other, numbers by the first with their sign.
PAGE = (
    COLUMNS  # noqa: S608 - these are constants
    + JOINED
    + WHERE
    + """
     ORDER BY :sign * CASE :column
           WHEN 'is_guest' THEN CASE WHEN u.kind = 'guest' THEN 1 ELSE 0 END
           WHEN 'admin' THEN CASE WHEN u.is_admin THEN 1 ELSE 0 END
           WHEN 'deactivated' THEN CASE WHEN u.is_deactivated THEN 1 ELSE 0 END
           WHEN 'shadow_banned' THEN CASE WHEN u.is_shadow_banned THEN 1 ELSE 0 END
           WHEN 'locked' THEN CASE WHEN u.is_locked THEN 1 ELSE 0 END
           WHEN 'creation_ts' THEN u.created_ms
           WHEN 'last_seen_ts' THEN
               (SELECT COALESCE(MAX(COALESCE(s.last_seen_ms, s.created_ms)), 0) FROM devices s
                 WHERE s.user_id = u.user_id)
           ELSE 0 END,
           CASE :words_up WHEN 'displayname' THEN COALESCE(p.display_name, '')
                          WHEN 'avatar_url' THEN COALESCE(p.avatar_url, '') ELSE '' END,
           CASE :words_down WHEN 'displayname' THEN COALESCE(p.display_name, '')
                            WHEN 'avatar_url' THEN COALESCE(p.avatar_url, '')
                            WHEN 'name' THEN u.user_id ELSE '' END DESC,
           u.user_id
     LIMIT :limit OFFSET :offset"""
)
NUMBERS: Final = ("is_guest", "admin", "deactivated", "shadow_banned", "locked", "creation_ts", "last_seen_ts")
ORDERS: Final = ("name", "displayname", "avatar_url", "user_type", *NUMBERS)  # nobody has a type


def users_page(
    tx: Transaction,
    wanted: UserFilter,
    server_name: ServerName,
    *,
    order: str,
    is_descending: bool,
    offset: int,
    limit: int,
) -> Sequence[ListedUser]:
    """Some accounts in an order of ORDERS, and those that are equal in it by their user IDs."""
    rows = tx.all(
        PAGE,
        **_parameters(wanted, server_name),
        sign=-1 if is_descending else 1,
        column=order,
        words_up="" if is_descending else order,
        words_down=order if is_descending else "",
        limit=limit,
        offset=offset,
    )
    return [_listed(row) for row in rows]


COUNT = "SELECT COUNT(*)" + JOINED + WHERE


def count_users(tx: Transaction, wanted: UserFilter, server_name: ServerName) -> int:
    """How many accounts there are."""
    count: int = tx.all(COUNT, **_parameters(wanted, server_name))[0][0]
    return count


FIND = COLUMNS + JOINED + " WHERE u.user_id = :user_id"


def find_listed_user(tx: Transaction, user_id: UserID) -> ListedUser | None:
    """One account."""
    row = tx.one(FIND, user_id=user_id)
    return None if row is None else _listed(row)


def _parameters(wanted: UserFilter, server_name: ServerName) -> dict[str, Any]:  # Any: column values
    part = like_pattern(wanted.part_of_name or "")
    return {
        "user_id": f"%{like_pattern(wanted.part_of_user_id or '')}%",
        "local_part": f"@%{part}%:{like_pattern(server_name)}",
        "name": f"%{part}%",
        "guests_or_not": wanted.is_guest is None,
        "is_guest": bool(wanted.is_guest),
        "admins_or_not": wanted.is_admin is None,
        "is_admin": bool(wanted.is_admin),
        "deactivated_or_not": wanted.is_deactivated is None,
        "is_deactivated": bool(wanted.is_deactivated),
        "locked_or_not": wanted.is_locked is None,
        "is_locked": bool(wanted.is_locked),
    }


def _listed(row: tuple[Any, ...]) -> ListedUser:  # Any: a row
    return ListedUser(
        user_id=UserID(row[0]),
        kind=AccountKind(row[1]),
        created_ms=row[2],
        appservice_id=row[3],
        is_admin=bool(row[4]),
        is_deactivated=bool(row[5]),
        is_erased=bool(row[6]),
        is_locked=bool(row[7]),
        is_suspended=bool(row[8]),
        is_shadow_banned=bool(row[9]),
        display_name=row[10],
        avatar_url=row[11],
        last_seen_ms=row[12],
    )
