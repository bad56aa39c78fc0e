"""Rooms of whose state not all members are known here: of which event the whole state is wanted, and who gave the rest.

That a room is one of them stands in its own row too (rooms.py), and stays true when nobody looks for the rest any more.
Who fetches it is in services/federation/room_completion.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class PartialRoom:
    """The state before `join_event_id` is known but for its members; `given_by` is the server that said so."""

    room_id: RoomID
    join_event_id: EventID
    given_by: ServerName


STORE = """
    INSERT INTO partial_rooms (room_id, join_event_id, given_by, whole_position, whole_ms)
    VALUES (:room_id, :join_event_id, :given_by, NULL, NULL)
    ON CONFLICT (room_id, join_event_id) DO UPDATE SET
        given_by = excluded.given_by, whole_position = NULL, whole_ms = NULL, whole_root = NULL"""


def store_partial_room(tx: Transaction, room: PartialRoom) -> None:
    """Have the rest of a room's state looked for, and of no earlier stay in it."""
    forget_partial_room(tx, room.room_id)
    tx.run(STORE, room_id=room.room_id, join_event_id=room.join_event_id, given_by=room.given_by)


FIND_WHOLE_ROOT = """
    SELECT whole_root FROM partial_rooms
     WHERE room_id = :room_id AND join_event_id = :join_event_id AND whole_position IS NULL"""


def find_whole_root(tx: Transaction, room: PartialRoom) -> bytes | None:
    """The root of the whole state before the join, once one was found to be right and is kept."""
    row = tx.one(FIND_WHOLE_ROOT, room_id=room.room_id, join_event_id=room.join_event_id)
    return None if row is None or row[0] is None else bytes(row[0])


NOTE_WHOLE_ROOT = """
    UPDATE partial_rooms SET whole_root = :root
     WHERE room_id = :room_id AND join_event_id = :join_event_id AND whole_position IS NULL"""


def note_whole_root(tx: Transaction, room: PartialRoom, root: bytes) -> None:
    """Keep to this state, whatever other servers may say: from here on its members become known one after another."""
    tx.run(NOTE_WHOLE_ROOT, room_id=room.room_id, join_event_id=room.join_event_id, root=root)


FIND = """
    SELECT room_id, join_event_id, given_by FROM partial_rooms WHERE room_id = :room_id AND whole_position IS NULL"""


def find_partial_room(tx: Transaction, room_id: RoomID) -> PartialRoom | None:
    """The room, if the rest of its state is looked for."""
    row = tx.one(FIND, room_id=room_id)
    return None if row is None else PartialRoom(RoomID(row[0]), EventID(row[1]), ServerName(row[2]))


UNFINISHED = "SELECT room_id FROM partial_rooms WHERE whole_position IS NULL ORDER BY room_id"


def unfinished_rooms(tx: Transaction) -> list[RoomID]:
    """The rooms of which the rest is looked for."""
    return [RoomID(row[0]) for row in tx.all(UNFINISHED)]


BECAME_WHOLE = """
    UPDATE partial_rooms SET whole_position = :position, whole_ms = :now_ms
     WHERE room_id = :room_id AND join_event_id = :join_event_id AND whole_position IS NULL"""


def note_whole(tx: Transaction, room_id: RoomID, join_event_id: EventID, *, position: int, now_ms: int) -> None:
    """All of the room's state is known from a log position on."""
    tx.run(BECAME_WHOLE, room_id=room_id, join_event_id=join_event_id, position=position, now_ms=now_ms)


FORGET = "DELETE FROM partial_rooms WHERE room_id = :room_id AND whole_position IS NULL"


def forget_partial_room(tx: Transaction, room_id: RoomID) -> None:
    """Look for the rest of the room's state no more."""
    tx.run(FORGET, room_id=room_id)


AMONG = """
    SELECT room_id, whole_position FROM partial_rooms
     WHERE room_id IN :room_ids[text] AND (whole_position IS NULL OR whole_position > :after)
     ORDER BY CASE WHEN whole_position IS NULL THEN 1 ELSE 0 END, whole_position"""


def partial_among(tx: Transaction, room_ids: Collection[RoomID], *, after: int) -> Mapping[RoomID, int | None]:
    """Those of the rooms that were not whole at a log position, each with where it became so; None: it did not yet.

    Where that happened twice, because the users left and came back, the newer time counts.
    """
    if not room_ids:
        return {}
    return {RoomID(row[0]): row[1] for row in tx.all(AMONG, room_ids=list(room_ids), after=after)}


SWEEP = """
    DELETE FROM partial_rooms WHERE (room_id, join_event_id) IN (
        SELECT p.room_id, p.join_event_id FROM partial_rooms p
         WHERE p.whole_ms < :before
           AND NOT EXISTS (SELECT 1 FROM room_roots r
                            WHERE r.room_id = p.room_id AND r.log_position = p.whole_position)
         LIMIT :limit)"""


def sweep_partial_rooms(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget which rooms were not whole long ago: no sync asks for it any more, and no state of that moment is kept."""
    return tx.run(SWEEP, before=now_ms - SYNC_HORIZON_MS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "partial_rooms",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.expires(sweep_partial_rooms),
    ),
)
