"""Whose devices, or keys that others verify, changed, and where in the change log.

What the keys are is in device_keys.py and cross_signing.py; what a user is told is in services/e2ee/device_lists.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS, sync_horizon
from homeserver.storage.tables import Owner, Retention, Table

CROSS_SIGNING: Final = ""  # what device_updates has for a device when a user's cross-signing keys changed

NOTE_CHANGE = """
    INSERT INTO device_list_changes (user_id, log_position) VALUES (:user_id, :log_position)
    ON CONFLICT (user_id) DO UPDATE SET log_position = excluded.log_position"""


def note_device_list_change(tx: Transaction, user_id: UserID, log_position: int) -> None:
    """The user's devices or keys changed at this position."""
    tx.insert_many(NOTE_CHANGE, [{"user_id": user_id, "log_position": log_position}])


@dataclass(frozen=True, slots=True)
class DeviceUpdate:
    """A device of a local user, or the keys that sign others (CROSS_SIGNING), changed or went.

    `position` is the stream ID of the update for other servers, `previous` that of the one before it. `name` and
    `keys` are those of the device as it is now; a device that is gone has neither.
    """

    user_id: UserID
    device_id: str
    position: int
    previous: int | None
    is_gone: bool
    name: str | None
    keys: bytes | None


PREVIOUS = """
    SELECT MAX(log_position) FROM (
        SELECT log_position FROM device_updates WHERE user_id = :user_id
        UNION ALL SELECT log_position FROM device_list_changes WHERE user_id = :user_id) AS changes"""
NOTE_UPDATE = """
    INSERT INTO device_updates (user_id, device_id, log_position, previous_position, written_ms)
    VALUES (:user_id, :device_id, :log_position, :previous_position, :written_ms)
    ON CONFLICT (user_id, device_id) DO UPDATE SET
        log_position = excluded.log_position, previous_position = excluded.previous_position,
        written_ms = excluded.written_ms"""


def note_device_update(tx: Transaction, user_id: UserID, device_id: str, *, position: int, now_ms: int) -> None:
    """A device of the user's, or the user's cross-signing keys, changed at a position that nothing else has."""
    tx.run(
        NOTE_UPDATE,
        user_id=user_id,
        device_id=device_id,
        log_position=position,
        previous_position=newest_device_change(tx, user_id),
        written_ms=now_ms,
    )


def newest_device_change(tx: Transaction, user_id: UserID) -> int | None:
    """Where anything of a local user's devices changed last: the stream ID of what others are told of them now."""
    row = tx.one(PREVIOUS, user_id=user_id)
    return None if row is None else row[0]


UPDATES: Final = """
    SELECT u.user_id, u.device_id, u.log_position, u.previous_position, d.device_id IS NULL, d.display_name, k.keys
      FROM device_updates u
      LEFT JOIN devices d ON d.user_id = u.user_id AND d.device_id = u.device_id
      LEFT JOIN device_keys k ON k.user_id = u.user_id AND k.device_id = u.device_id"""
UPDATES_IN = UPDATES + " WHERE u.log_position > :after AND u.log_position <= :upto ORDER BY u.log_position"
UPDATES_AT = UPDATES + " WHERE u.log_position IN :positions[bigint]"


def device_updates(tx: Transaction, *, after: int, upto: int) -> list[DeviceUpdate]:
    """What of local users' devices changed last in (after, upto], oldest first."""
    return [_update(row) for row in tx.all(UPDATES_IN, after=after, upto=upto)]


def device_updates_at(tx: Transaction, positions: Sequence[int]) -> list[DeviceUpdate]:
    """The updates at these positions; those that others came after are gone."""
    return [_update(row) for row in tx.all(UPDATES_AT, positions=list(positions))] if positions else []


SWEEP_UPDATES = """
    DELETE FROM device_updates WHERE (user_id, device_id) IN (
        SELECT user_id, device_id FROM device_updates WHERE written_ms < :before LIMIT :limit)"""


def sweep_device_updates(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget updates that only a server lacks that has not answered for so long."""
    return tx.run(SWEEP_UPDATES, before=now_ms - SYNC_HORIZON_MS, limit=limit)


def _update(row: tuple[Any, ...]) -> DeviceUpdate:
    keys = None if row[6] is None else bytes(row[6])
    return DeviceUpdate(UserID(row[0]), row[1], row[2], row[3], bool(row[4]), row[5], keys)


SWEEP_CHANGES = """
    DELETE FROM device_list_changes WHERE user_id IN (
        SELECT c.user_id FROM device_list_changes c
         WHERE c.log_position < :horizon AND NOT EXISTS (SELECT 1 FROM users u WHERE u.user_id = c.user_id)
         LIMIT :limit)"""


def sweep_remote_changes(tx: Transaction, now_ms: int, limit: int) -> int:  # noqa: ARG001 - the horizon says when
    """Forget where other servers' users last changed if no sync asks for it any more.

    Of local users it is kept: it is the stream ID that other servers know.
    """
    return tx.run(SWEEP_CHANGES, horizon=sync_horizon(tx), limit=limit)


CHANGED = """
    SELECT user_id FROM device_list_changes WHERE log_position > :after AND log_position <= :upto"""


def changed_device_lists(tx: Transaction, *, after: int, upto: int) -> set[UserID]:
    """All users whose devices or keys last changed in (after, upto]."""
    return {UserID(row[0]) for row in tx.all(CHANGED, after=after, upto=upto)}


# Whoever is in a room encrypts what they send there for those who are invited, too.

LOCAL_AUDIENCE = """
    SELECT DISTINCT theirs.user_id FROM memberships mine
      JOIN memberships theirs ON theirs.room_id = mine.room_id AND theirs.membership = 'join' AND theirs.is_local
     WHERE mine.user_id = :user_id AND mine.membership IN ('join', 'invite')"""


def local_audience(tx: Transaction, user_id: UserID) -> set[UserID]:
    """The users of this server whom a change of the user's devices concerns: the user, and who encrypts for them."""
    return {user_id, *(UserID(row[0]) for row in tx.all(LOCAL_AUDIENCE, user_id=user_id))}


RECIPIENTS = """
    SELECT DISTINCT theirs.user_id FROM memberships mine
      JOIN memberships theirs ON theirs.room_id = mine.room_id AND theirs.membership IN ('join', 'invite')
     WHERE mine.user_id = :user_id AND mine.membership = 'join'"""
RECIPIENTS_AMONG = RECIPIENTS + " AND theirs.user_id IN :others[text]"


def recipients_of(tx: Transaction, user_id: UserID) -> set[UserID]:
    """Everybody for whom a user encrypts: joined or invited to a room in which the user is joined."""
    return {UserID(row[0]) for row in tx.all(RECIPIENTS, user_id=user_id)}


def recipients_among(tx: Transaction, user_id: UserID, others: Collection[UserID]) -> set[UserID]:
    """Those of `others` for whom the user encrypts."""
    if not others:
        return set()
    return {UserID(row[0]) for row in tx.all(RECIPIENTS_AMONG, user_id=user_id, others=list(others))}


RECIPIENTS_IN = """
    SELECT room_id, user_id FROM memberships WHERE room_id IN :room_ids[text] AND membership IN ('join', 'invite')"""


def recipients_in(tx: Transaction, room_ids: Sequence[RoomID]) -> list[tuple[RoomID, UserID]]:
    """Who is now joined or invited to each of these rooms."""
    if not room_ids:
        return []
    return [(RoomID(row[0]), UserID(row[1])) for row in tx.all(RECIPIENTS_IN, room_ids=list(room_ids))]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "device_list_changes",
        owners={Owner.USER: "user_id"},
        retention=Retention.expires(sweep_remote_changes),
    ),
    Table("device_updates", owners={Owner.USER: "user_id"}, retention=Retention.expires(sweep_device_updates)),
)
