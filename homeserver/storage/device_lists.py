"""Whose devices, or keys that others verify, changed, and where in the change log.

What the keys are is in device_keys.py and cross_signing.py; what a user is told is in services/e2ee/device_lists.py.
"""

from collections.abc import Collection, Sequence
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

NOTE_CHANGE = """
    INSERT INTO device_list_changes (user_id, log_position) VALUES (:user_id, :log_position)
    ON CONFLICT (user_id) DO UPDATE SET log_position = excluded.log_position"""


def note_device_list_change(tx: Transaction, user_id: UserID, log_position: int) -> None:
    """The user's devices or keys changed at this position."""
    tx.insert_many(NOTE_CHANGE, [{"user_id": user_id, "log_position": log_position}])


CHANGED = """
    SELECT user_id FROM device_list_changes WHERE log_position > :after AND log_position <= :upto"""


def changed_device_lists(tx: Transaction, *, after: int, upto: int) -> set[UserID]:
    """All users whose devices or keys last changed in (after, upto]."""
    return {UserID(row[0]) for row in tx.all(CHANGED, after=after, upto=upto)}


LOCAL_AUDIENCE = """
    SELECT DISTINCT theirs.user_id FROM memberships mine
      JOIN memberships theirs ON theirs.room_id = mine.room_id AND theirs.membership = 'join' AND theirs.is_local
     WHERE mine.user_id = :user_id AND mine.membership = 'join'"""


def local_audience(tx: Transaction, user_id: UserID) -> set[UserID]:
    """The users of this server whom a change of the user's devices concerns: the user, and who shares a room."""
    return {user_id, *(UserID(row[0]) for row in tx.all(LOCAL_AUDIENCE, user_id=user_id))}


SHARING = """
    SELECT DISTINCT theirs.user_id FROM memberships mine
      JOIN memberships theirs ON theirs.room_id = mine.room_id AND theirs.membership = 'join'
     WHERE mine.user_id = :user_id AND mine.membership = 'join' AND theirs.user_id IN :others[text]"""


def sharing_among(tx: Transaction, user_id: UserID, others: Collection[UserID]) -> set[UserID]:
    """Those of `others` who are now joined to a room in which the user is joined."""
    if not others:
        return set()
    return {UserID(row[0]) for row in tx.all(SHARING, user_id=user_id, others=list(others))}


JOINED = """
    SELECT room_id, user_id FROM memberships WHERE room_id IN :room_ids[text] AND membership = 'join'"""


def joined_members(tx: Transaction, room_ids: Sequence[RoomID]) -> list[tuple[RoomID, UserID]]:
    """Who is now joined to each of these rooms."""
    if not room_ids:
        return []
    return [(RoomID(row[0]), UserID(row[1])) for row in tx.all(JOINED, room_ids=list(room_ids))]


TABLES: Final[tuple[Table, ...]] = (
    Table("device_list_changes", owners={Owner.USER: "user_id"}, retention=Retention.bounded("one row per user")),
)
