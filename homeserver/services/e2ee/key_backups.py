"""Backups of room keys: encrypted by clients, kept by the server in versions of which the newest one grows.

Spec: client-server-api/#server-side-key-backups
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, TooLarge, WrongRoomKeysVersion
from homeserver.storage.database import Database, Transaction
from homeserver.storage.key_backups import (
    BackedUpKey,
    KeyBackup,
    backed_up_keys,
    count_backups,
    count_change,
    delete_backup,
    delete_keys,
    find_backup,
    find_newest_backup,
    insert_backup,
    newest_number,
    ranks_of_sessions,
    set_auth_data,
    store_keys,
)

AUTH_DATA_LIMIT_BYTES: Final = 64 * 1024
SESSION_DATA_LIMIT_BYTES: Final = 64 * 1024
NAME_LIMIT: Final = 255
MOST_VERSIONS: Final = 100
MOST_KEYS: Final = 1_000_000
MOST_AT_ONCE: Final = 20_000  # of a size that keys really have, more do not fit into a request

NO_BACKUP: Final = "There is no such version of the key backup"
VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The encrypted key of one session, with what tells which of two is the better."""

    is_verified: bool
    first_message_index: int
    forwarded_count: int
    session_data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackupState:
    """How many keys a version has now, and what tells that they changed."""

    count: int
    etag: str


class KeyBackups:
    """Keeps the key backups of users, each for its owner alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user_id: UserID, algorithm: str, auth_data: Mapping[str, Any]) -> str:
        """Begin a new version, which becomes the current one; the old ones stay. Raises TooLarge, Forbidden."""
        if len(algorithm) > NAME_LIMIT:
            raise TooLarge("The name of the algorithm is too long")
        encoded = _encoded(auth_data, AUTH_DATA_LIMIT_BYTES, "auth_data")
        return await self._database.write(self._create, user_id, algorithm, encoded)

    async def version(self, user_id: UserID, version: str | None) -> KeyBackup:
        """A version, or (None) the current one. Raises NotFound."""
        return await self._database.read(self._find, user_id, version)

    async def update(
        self, user_id: UserID, version: str, algorithm: str, auth_data: Mapping[str, Any], body_version: str | None
    ) -> None:
        """Change the auth_data of a version. Raises NotFound, and InvalidParameter for another algorithm."""
        if body_version not in (None, version):
            raise InvalidParameter("The versions in the path and in the body differ")
        encoded = _encoded(auth_data, AUTH_DATA_LIMIT_BYTES, "auth_data")
        await self._database.write(self._update, user_id, version, algorithm, encoded)

    async def delete(self, user_id: UserID, version: str) -> None:
        """Delete a version with its keys; once more changes nothing. Raises NotFound for one that never was."""
        await self._database.write(self._delete, user_id, version)

    async def add_keys(
        self, user_id: UserID, version: str, keys: Mapping[tuple[RoomID, str], SessionKey]
    ) -> BackupState:
        """Add keys to the current version; of two keys for one session the better one is kept.

        Raises NotFound, TooLarge, and WrongRoomKeysVersion for another version than the current one.
        """
        if len(keys) > MOST_AT_ONCE:
            raise TooLarge(f"At most {MOST_AT_ONCE} keys are added at once")
        encoded = [_backed_up(room_id, session_id, key) for (room_id, session_id), key in keys.items()]
        return await self._database.write(self._add_keys, user_id, version, encoded)

    async def keys(
        self, user_id: UserID, version: str, room_id: RoomID | None = None, session_id: str | None = None
    ) -> list[BackedUpKey]:
        """The keys of a version: all, those of a room, or that of a session. Raises NotFound without the version."""
        return await self._database.read(self._keys, user_id, version, room_id, session_id)

    async def delete_keys(
        self, user_id: UserID, version: str, room_id: RoomID | None = None, session_id: str | None = None
    ) -> BackupState:
        """Delete keys of a version: all, those of a room, or that of a session. Raises NotFound."""
        return await self._database.write(self._delete_keys, user_id, version, room_id, session_id)

    def _create(self, tx: Transaction, user_id: UserID, algorithm: str, auth_data: bytes) -> str:
        if count_backups(tx, user_id) >= MOST_VERSIONS:
            raise Forbidden("There are too many versions of the key backup: delete old ones first")
        return str(insert_backup(tx, user_id, algorithm, auth_data))

    def _find(self, tx: Transaction, user_id: UserID, version: str | None) -> KeyBackup:
        if version is None:
            backup = find_newest_backup(tx, user_id)
        else:
            backup = None if VERSION.fullmatch(version) is None else find_backup(tx, user_id, int(version))
        if backup is None:
            raise NotFound(NO_BACKUP)
        return backup

    def _update(self, tx: Transaction, user_id: UserID, version: str, algorithm: str, auth_data: bytes) -> None:
        backup = self._find(tx, user_id, version)
        if backup.algorithm != algorithm:
            raise InvalidParameter("The algorithm of a key backup cannot be changed")
        set_auth_data(tx, user_id, backup.version, auth_data)

    def _delete(self, tx: Transaction, user_id: UserID, version: str) -> None:
        if VERSION.fullmatch(version) is None or int(version) > newest_number(tx, user_id):
            raise NotFound(NO_BACKUP)
        delete_backup(tx, user_id, int(version))

    def _add_keys(self, tx: Transaction, user_id: UserID, version: str, keys: list[BackedUpKey]) -> BackupState:
        backup = self._find(tx, user_id, version)
        newest = self._find(tx, user_id, None)
        if backup.version != newest.version:
            raise WrongRoomKeysVersion(str(newest.version))
        known = ranks_of_sessions(tx, user_id, backup.version, [(key.room_id, key.session_id) for key in keys])
        kept = [
            key for key in keys if (old := known.get((key.room_id, key.session_id))) is None or is_better(key.rank, old)
        ]
        added = sum((key.room_id, key.session_id) not in known for key in kept)
        if backup.key_count + added > MOST_KEYS:
            raise TooLarge("The key backup is full")
        if not kept:
            return BackupState(backup.key_count, str(backup.etag))
        store_keys(tx, user_id, backup.version, kept)
        count, etag = count_change(tx, user_id, backup.version, added=added)
        return BackupState(count, str(etag))

    def _keys(
        self, tx: Transaction, user_id: UserID, version: str, room_id: RoomID | None, session_id: str | None
    ) -> list[BackedUpKey]:
        return backed_up_keys(tx, user_id, self._find(tx, user_id, version).version, room_id, session_id)

    def _delete_keys(
        self, tx: Transaction, user_id: UserID, version: str, room_id: RoomID | None, session_id: str | None
    ) -> BackupState:
        backup = self._find(tx, user_id, version)
        deleted = delete_keys(tx, user_id, backup.version, room_id, session_id)
        if not deleted:
            return BackupState(backup.key_count, str(backup.etag))
        count, etag = count_change(tx, user_id, backup.version, added=-deleted)
        return BackupState(count, str(etag))


def is_better(new: tuple[bool, int, int], old: tuple[bool, int, int]) -> bool:
    """Whether a key takes the place of another: by is_verified, first_message_index and forwarded_count, in this order.

    Spec: client-server-api/#server-side-key-backups
    """
    return (not new[0], *new[1:]) < (not old[0], *old[1:])


def _backed_up(room_id: RoomID, session_id: str, key: SessionKey) -> BackedUpKey:
    if not session_id or len(session_id) > NAME_LIMIT:
        raise InvalidParameter("A session ID is empty or too long")
    return BackedUpKey(
        room_id,
        session_id,
        key.is_verified,
        key.first_message_index,
        key.forwarded_count,
        _encoded(key.session_data, SESSION_DATA_LIMIT_BYTES, "session_data"),
    )


def _encoded(value: Mapping[str, Any], most: int, name: str) -> bytes:
    encoded = encode_canonical(value)
    if len(encoded) > most:
        raise TooLarge(f"{name} must not be larger than {most} bytes")
    return encoded
