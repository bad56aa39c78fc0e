"""Rooms in which this server takes no part, whether it knows them or not."""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table


@dataclass(frozen=True, slots=True)
class Block:
    """Who blocked a room, None for the owner of the server, and when."""

    blocked_by: UserID | None
    blocked_ms: int


INSERT = """
    INSERT INTO blocked_rooms (room_id, blocked_by, blocked_ms) VALUES (:room_id, :blocked_by, :blocked_ms)
    ON CONFLICT (room_id) DO NOTHING"""
DELETE = "DELETE FROM blocked_rooms WHERE room_id = :room_id"
MARK = "UPDATE rooms SET is_blocked = :is_blocked WHERE room_id = :room_id"


def block_room(tx: Transaction, room_id: RoomID, block: Block) -> None:
    """Block a room; one that is blocked stays as it is."""
    tx.run(INSERT, room_id=room_id, blocked_by=block.blocked_by, blocked_ms=block.blocked_ms)
    tx.run(MARK, room_id=room_id, is_blocked=True)


def unblock_room(tx: Transaction, room_id: RoomID) -> None:
    """Let the server take part in a room again."""
    tx.run(DELETE, room_id=room_id)
    tx.run(MARK, room_id=room_id, is_blocked=False)


FIND = "SELECT blocked_by, blocked_ms FROM blocked_rooms WHERE room_id = :room_id"


def find_block(tx: Transaction, room_id: RoomID) -> Block | None:
    """Since when a room is blocked, and by whom; None for one that is not."""
    row = tx.one(FIND, room_id=room_id)
    return None if row is None else Block(None if row[0] is None else UserID(row[0]), row[1])


TABLES: Final[tuple[Table, ...]] = (
    # It outlives the room: what was purged is not to come back by the next invite.
    Table("blocked_rooms", retention=Retention.bounded("one row per room that an administrator blocked")),
)
