"""Rooms of whose state nodes some will be reached by nothing any more: which, and since when.

Who collects them is in services/events/collection.py.
"""

from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

NOTE = """
    INSERT INTO collectable_rooms (room_id, first_ms, last_ms) VALUES (:room_id, :now_ms, :now_ms)
    ON CONFLICT (room_id) DO UPDATE SET last_ms = excluded.last_ms"""


def note_collectable(tx: Transaction, room_id: RoomID, now_ms: int) -> None:
    """Remember that now a state was replaced, or was made on the way to another, that perhaps no event names."""
    tx.run(NOTE, room_id=room_id, now_ms=now_ms)


# While there are two states from before that time, the older ones are still to be swept.
FIND = """
    SELECT c.room_id FROM collectable_rooms c
     WHERE c.first_ms < :before
       AND (SELECT COUNT(*) FROM room_roots r WHERE r.room_id = c.room_id AND r.written_ms < :before) < 2
     ORDER BY c.first_ms LIMIT 1"""


def find_collectable(tx: Transaction, before_ms: int) -> RoomID | None:
    """The room that has had such a state for longest, if that was before a time and the log of states is swept."""
    row = tx.one(FIND, before=before_ms)
    return None if row is None else RoomID(row[0])


PUT_OFF = "UPDATE collectable_rooms SET first_ms = last_ms WHERE room_id = :room_id AND last_ms >= :before"
FORGET = "DELETE FROM collectable_rooms WHERE room_id = :room_id AND last_ms < :before"


def note_collected(tx: Transaction, room_id: RoomID, before_ms: int) -> None:
    """Forget what came before a time; what has come since waits for the newest of it, so that turns are seldom."""
    tx.run(FORGET, room_id=room_id, before=before_ms)
    tx.run(PUT_OFF, room_id=room_id, before=before_ms)


TABLES: Final[tuple[Table, ...]] = (
    Table("collectable_rooms", owners={Owner.ROOM: "room_id"}, retention=Retention.bounded("one row per room")),
)
