"""Memberships in rooms that this server is not in: the events by which they came, which belong to no room here.

Beside each stands a row of `memberships` with the same event (memberships.py), by which the user's rooms are listed.
When the server comes into the room, both give way to what the room's state says.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.canonical_json import decode_checked
from homeserver.core.event import EncodedEvent, view_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.core.room_versions import room_version
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class RemoteMembership:
    """The membership event of a user of this server in a room elsewhere, and the server that can say more of it."""

    encoded: EncodedEvent
    told_by: ServerName


STORE = """
    INSERT INTO remote_memberships (room_id, user_id, event_id, version, told_by, pdu)
    VALUES (:room_id, :user_id, :event_id, :version, :told_by, :pdu)
    ON CONFLICT (room_id, user_id) DO UPDATE SET
        event_id = excluded.event_id, version = excluded.version, told_by = excluded.told_by, pdu = excluded.pdu"""


def store_remote_membership(tx: Transaction, user_id: UserID, membership: RemoteMembership) -> None:
    """Put this in place of what was known of the user in the room."""
    event = membership.encoded.event
    tx.run(
        STORE,
        room_id=event.room_id,
        user_id=user_id,
        event_id=event.event_id,
        version=event.version.name,
        told_by=membership.told_by,
        pdu=membership.encoded.pdu_json,
    )


FIND = """
    SELECT r.event_id, r.version, r.told_by, r.pdu FROM remote_memberships r
      JOIN memberships m ON m.room_id = r.room_id AND m.user_id = r.user_id AND m.event_id = r.event_id
     WHERE r.room_id = :room_id AND r.user_id = :user_id"""


def find_remote_membership(tx: Transaction, room_id: RoomID, user_id: UserID) -> RemoteMembership | None:
    """How the user stands to the room, if that is not known from the room itself."""
    row = tx.one(FIND, room_id=room_id, user_id=user_id)
    if row is None:
        return None
    version, pdu = room_version(row[1]), bytes(row[3])
    event = view_event(decode_checked(version, pdu), version, event_id=EventID(row[0]), room_id=room_id)
    return RemoteMembership(EncodedEvent(event, pdu), ServerName(row[2]))


REMOVE_LISTED = """
    DELETE FROM memberships WHERE room_id = :room_id AND (user_id, event_id) IN (
        SELECT user_id, event_id FROM remote_memberships WHERE room_id = :room_id)"""
REMOVE = "DELETE FROM remote_memberships WHERE room_id = :room_id"


def remove_remote_memberships(tx: Transaction, room_id: RoomID) -> None:
    """From here on the room itself says who is in it: this server comes in."""
    tx.run(REMOVE_LISTED, room_id=room_id)
    tx.run(REMOVE, room_id=room_id)


# Who forgot a room is told of it only as long as a client may not know how they got out.
TOLD = """
    SELECT r.room_id, r.user_id FROM remote_memberships r
      JOIN memberships m ON m.room_id = r.room_id AND m.user_id = r.user_id AND m.event_id = r.event_id
     WHERE m.is_forgotten AND m.membership IN ('leave', 'ban')
       AND NOT EXISTS (SELECT 1 FROM membership_changes c WHERE c.user_id = r.user_id AND c.room_id = r.room_id)
       AND NOT EXISTS (SELECT 1 FROM rooms o WHERE o.room_id = r.room_id)
     LIMIT :limit"""
REMOVE_TOLD: Final = tuple(
    f"DELETE FROM {table} WHERE room_id = :room_id AND user_id = :user_id"  # noqa: S608 - names from our own schema
    for table in ("sliding_rooms", "memberships", "remote_memberships")
)


def sweep_told(tx: Transaction, _now_ms: int, limit: int) -> int:
    """Forget how users got out of rooms that they have forgotten, when no client can ask any more."""
    rows = tx.all(TOLD, limit=limit)
    for room_id, user_id in rows:
        for statement in REMOVE_TOLD:
            tx.run(statement, room_id=room_id, user_id=user_id)
    return len(rows)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "remote_memberships",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.expires(sweep_told),
    ),
)
