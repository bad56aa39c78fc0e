"""Encrypted backups of room keys: versions, and the keys in them. Spec: client-server-api/#server-side-key-backups

Which of two keys for a session is the better one is decided in services/e2ee/key_backups.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class KeyBackup:
    """One version of a user's backup. `etag` changes whenever its keys do; `auth_data` is JSON."""

    version: int
    algorithm: str
    auth_data: bytes
    key_count: int
    etag: int


@dataclass(frozen=True, slots=True)
class BackedUpKey:
    """The key of one session; `session_data` is JSON, encrypted for the user."""

    room_id: RoomID
    session_id: str
    is_verified: bool
    first_message_index: int
    forwarded_count: int
    session_data: bytes

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What tells which of two keys for a session is the better."""
        return self.is_verified, self.first_message_index, self.forwarded_count


NEXT_VERSION = """
    INSERT INTO key_backup_numbers (user_id, newest) VALUES (:user_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET newest = key_backup_numbers.newest + 1 RETURNING newest"""
INSERT = """
    INSERT INTO key_backups (user_id, version, algorithm, auth_data, key_count, etag)
    VALUES (:user_id, :version, :algorithm, :auth_data, 0, 0)"""


def insert_backup(tx: Transaction, user_id: UserID, algorithm: str, auth_data: bytes) -> int:
    """Begin an empty version, the newest one of the user; return its number."""
    row = tx.one(NEXT_VERSION, user_id=user_id)
    version: int = row[0] if row is not None else 0
    tx.run(INSERT, user_id=user_id, version=version, algorithm=algorithm, auth_data=auth_data)
    return version


COLUMNS: Final = "version, algorithm, auth_data, key_count, etag"
FIND = f"SELECT {COLUMNS} FROM key_backups WHERE user_id = :user_id AND version = :version"  # noqa: S608 - a constant


def find_backup(tx: Transaction, user_id: UserID, version: int) -> KeyBackup | None:
    """This version of the user's backup."""
    row = tx.one(FIND, user_id=user_id, version=version)
    return None if row is None else _backup(row)


NEWEST = f"""
    SELECT {COLUMNS} FROM key_backups WHERE user_id = :user_id ORDER BY version DESC LIMIT 1"""  # noqa: S608


def find_newest_backup(tx: Transaction, user_id: UserID) -> KeyBackup | None:
    """The newest version that was not deleted: the only one that keys are added to."""
    row = tx.one(NEWEST, user_id=user_id)
    return None if row is None else _backup(row)


COUNT = "SELECT COUNT(*) FROM key_backups WHERE user_id = :user_id"


def count_backups(tx: Transaction, user_id: UserID) -> int:
    """How many versions the user keeps."""
    row = tx.one(COUNT, user_id=user_id)
    return 0 if row is None else int(row[0])


NEWEST_NUMBER = "SELECT newest FROM key_backup_numbers WHERE user_id = :user_id"


def newest_number(tx: Transaction, user_id: UserID) -> int:
    """The number of the newest version that the user ever had; 0 for none. All lower ones were there too."""
    row = tx.one(NEWEST_NUMBER, user_id=user_id)
    return 0 if row is None else int(row[0])


SET_AUTH_DATA = """
    UPDATE key_backups SET auth_data = :auth_data WHERE user_id = :user_id AND version = :version"""


def set_auth_data(tx: Transaction, user_id: UserID, version: int, auth_data: bytes) -> None:
    """Replace what the version says of how its keys are encrypted."""
    tx.run(SET_AUTH_DATA, user_id=user_id, version=version, auth_data=auth_data)


DELETE_KEYS_OF_VERSION = "DELETE FROM backed_up_keys WHERE user_id = :user_id AND version = :version"
DELETE = "DELETE FROM key_backups WHERE user_id = :user_id AND version = :version"


def delete_backup(tx: Transaction, user_id: UserID, version: int) -> bool:
    """Delete a version with all its keys. False when there is none."""
    tx.run(DELETE_KEYS_OF_VERSION, user_id=user_id, version=version)
    return tx.run(DELETE, user_id=user_id, version=version) > 0


KEY_COLUMNS: Final = "room_id, session_id, is_verified, first_message_index, forwarded_count, session_data"
ALL_KEYS = f"""
    SELECT {KEY_COLUMNS} FROM backed_up_keys WHERE user_id = :user_id AND version = :version
     ORDER BY room_id, session_id"""  # noqa: S608 - a constant
KEYS_OF_ROOM = f"""
    SELECT {KEY_COLUMNS} FROM backed_up_keys
     WHERE user_id = :user_id AND version = :version AND room_id = :room_id ORDER BY session_id"""  # noqa: S608
KEY_OF_SESSION = f"""
    SELECT {KEY_COLUMNS} FROM backed_up_keys
     WHERE user_id = :user_id AND version = :version AND room_id = :room_id
       AND session_id = :session_id"""  # noqa: S608


def backed_up_keys(
    tx: Transaction, user_id: UserID, version: int, room_id: RoomID | None = None, session_id: str | None = None
) -> list[BackedUpKey]:
    """The keys of a version: all, those of a room, or that of a session."""
    if room_id is None:
        rows = tx.all(ALL_KEYS, user_id=user_id, version=version)
    elif session_id is None:
        rows = tx.all(KEYS_OF_ROOM, user_id=user_id, version=version, room_id=room_id)
    else:
        rows = tx.all(KEY_OF_SESSION, user_id=user_id, version=version, room_id=room_id, session_id=session_id)
    return [_key(row) for row in rows]


KEYS_OF_SESSIONS = """
    SELECT room_id, session_id, is_verified, first_message_index, forwarded_count FROM backed_up_keys
     WHERE user_id = :user_id AND version = :version AND room_id IN :room_ids[text]
       AND session_id IN :session_ids[text]"""


def ranks_of_sessions(
    tx: Transaction, user_id: UserID, version: int, sessions: Collection[tuple[RoomID, str]]
) -> dict[tuple[RoomID, str], tuple[bool, int, int]]:
    """The ranks of the keys that the version has for these sessions, and for others beside them."""
    rows = tx.all(
        KEYS_OF_SESSIONS,
        user_id=user_id,
        version=version,
        room_ids={room_id for room_id, _ in sessions},
        session_ids={session_id for _, session_id in sessions},
    )
    return {(RoomID(row[0]), row[1]): (bool(row[2]), row[3], row[4]) for row in rows}


STORE_KEY = """
    INSERT INTO backed_up_keys (user_id, version, room_id, session_id, is_verified, first_message_index,
                                forwarded_count, session_data)
    VALUES (:user_id, :version, :room_id, :session_id, :is_verified, :first_message_index, :forwarded_count,
            :session_data)
    ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
        is_verified = excluded.is_verified, first_message_index = excluded.first_message_index,
        forwarded_count = excluded.forwarded_count, session_data = excluded.session_data"""


def store_keys(tx: Transaction, user_id: UserID, version: int, keys: Sequence[BackedUpKey]) -> None:
    """Put keys in place of those of the same sessions."""
    rows = [
        {
            "user_id": user_id,
            "version": version,
            "room_id": key.room_id,
            "session_id": key.session_id,
            "is_verified": key.is_verified,
            "first_message_index": key.first_message_index,
            "forwarded_count": key.forwarded_count,
            "session_data": key.session_data,
        }
        for key in keys
    ]
    tx.insert_many(STORE_KEY, rows)


DELETE_OF_ROOM = """
    DELETE FROM backed_up_keys WHERE user_id = :user_id AND version = :version AND room_id = :room_id"""
DELETE_OF_SESSION = """
    DELETE FROM backed_up_keys
     WHERE user_id = :user_id AND version = :version AND room_id = :room_id AND session_id = :session_id"""


def delete_keys(
    tx: Transaction, user_id: UserID, version: int, room_id: RoomID | None = None, session_id: str | None = None
) -> int:
    """Delete keys of a version: all, those of a room, or that of a session; return how many."""
    if room_id is None:
        return tx.run(DELETE_KEYS_OF_VERSION, user_id=user_id, version=version)
    if session_id is None:
        return tx.run(DELETE_OF_ROOM, user_id=user_id, version=version, room_id=room_id)
    return tx.run(DELETE_OF_SESSION, user_id=user_id, version=version, room_id=room_id, session_id=session_id)


COUNT_CHANGE = """
    UPDATE key_backups SET key_count = key_count + :added, etag = etag + 1
     WHERE user_id = :user_id AND version = :version RETURNING key_count, etag"""


def count_change(tx: Transaction, user_id: UserID, version: int, *, added: int) -> tuple[int, int]:
    """Note that keys of a version changed, by `added` in number (or less than 0); its new count and etag."""
    row = tx.one(COUNT_CHANGE, user_id=user_id, version=version, added=added)
    return (0, 0) if row is None else (row[0], row[1])


def _backup(row: tuple[Any, ...]) -> KeyBackup:  # Any: a row
    return KeyBackup(row[0], row[1], bytes(row[2]), row[3], row[4])


def _key(row: tuple[Any, ...]) -> BackedUpKey:  # Any: a row
    return BackedUpKey(RoomID(row[0]), row[1], bool(row[2]), row[3], row[4], bytes(row[5]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "key_backup_numbers",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("one row per user"),
    ),
    Table(
        "key_backups",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("a few versions per user, who can delete them"),
    ),
    Table(
        "backed_up_keys",
        owners={Owner.USER: "user_id"},
        retention=Retention.bounded("one row per version and session, up to a number per version"),
    ),
)
