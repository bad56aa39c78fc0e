"""Receipts: up to which event users have read, by room, type and thread. Spec: client-server-api/#receipts

What is unread since then is in notifications.py; who may send a receipt is decided in services/rooms/receipts.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

UNTHREADED: Final = ""  # what the column holds for a receipt without a thread


@dataclass(frozen=True, slots=True)
class Receipt:
    """A user has read a room up to an event.

    `thread_id` is "main", the root of a thread, or None for the whole room; `place` that of the event in the room's
    order, None while the event is not known here; `ts` when the receipt was sent, in milliseconds.
    """

    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str | None
    event_id: EventID
    place: int | None
    ts: int
    log_position: int


STORE = """
    INSERT INTO receipts (room_id, user_id, receipt_type, thread_id, event_id, place, ts, log_position)
    VALUES (:room_id, :user_id, :receipt_type, :thread_id, :event_id, :place, :ts, :log_position)
    ON CONFLICT (room_id, user_id, receipt_type, thread_id) DO UPDATE SET
        event_id = excluded.event_id, place = excluded.place, ts = excluded.ts, log_position = excluded.log_position
     WHERE receipts.place IS NULL OR excluded.place IS NULL OR excluded.place > receipts.place"""


def store_receipts(tx: Transaction, receipts: Sequence[Receipt]) -> None:
    """Put these in place of older ones. One whose event comes before that of the one it would replace is left out."""
    tx.insert_many(
        STORE,
        [
            {
                "room_id": one.room_id,
                "user_id": one.user_id,
                "receipt_type": one.receipt_type,
                "thread_id": one.thread_id or UNTHREADED,
                "event_id": one.event_id,
                "place": one.place,
                "ts": one.ts,
                "log_position": one.log_position,
            }
            for one in receipts
        ],
    )


COLUMNS: Final = "room_id, user_id, receipt_type, thread_id, event_id, place, ts, log_position"
FIND = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE room_id = :room_id AND user_id = :user_id AND receipt_type = :receipt_type
       AND thread_id = :thread_id"""  # noqa: S608 - the columns are a constant


def find_receipt(
    tx: Transaction, room_id: RoomID, user_id: UserID, receipt_type: str, thread_id: str | None
) -> Receipt | None:
    """The user's receipt of this type, for this thread or (None) for the whole room."""
    row = tx.one(FIND, room_id=room_id, user_id=user_id, receipt_type=receipt_type, thread_id=thread_id or UNTHREADED)
    return None if row is None else _receipt(row)


SINCE = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE room_id IN :room_ids[text] AND log_position > :after AND log_position <= :upto
     ORDER BY log_position"""  # noqa: S608 - as above


def receipts_since(tx: Transaction, room_ids: Sequence[str], *, after: int, upto: int) -> list[Receipt]:
    """The receipts in these rooms that moved in (after, upto], oldest first: private ones of all users too."""
    if not room_ids:
        return []
    return [_receipt(row) for row in tx.all(SINCE, room_ids=list(room_ids), after=after, upto=upto)]


PUBLIC_SINCE = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE log_position > :after AND log_position <= :upto AND receipt_type = 'm.read'
       AND user_id LIKE '%:' || :server ORDER BY log_position"""  # noqa: S608 - as above
PUBLIC_AT = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE log_position IN :positions[bigint] AND receipt_type = 'm.read'
       AND user_id LIKE '%:' || :server"""  # noqa: S608 - as above


def public_receipts_since(tx: Transaction, *, after: int, upto: int, server: ServerName) -> list[Receipt]:
    """The receipts of one server's users that all may see, and that moved in (after, upto], oldest first."""
    return [_receipt(row) for row in tx.all(PUBLIC_SINCE, after=after, upto=upto, server=server)]


def public_receipts_at(tx: Transaction, positions: Sequence[int], *, server: ServerName) -> list[Receipt]:
    """The same at some positions; those that have moved on since are not among them."""
    return [_receipt(row) for row in tx.all(PUBLIC_AT, positions=list(positions), server=server)] if positions else []


OF_ROOMS = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE room_id IN :room_ids[text] AND log_position <= :upto ORDER BY log_position"""  # noqa: S608 - as above


def receipts_of_rooms(tx: Transaction, room_ids: Sequence[str], *, upto: int) -> list[Receipt]:
    """All receipts in these rooms, the one that moved longest ago first: private ones of all users too."""
    if not room_ids:
        return []
    return [_receipt(row) for row in tx.all(OF_ROOMS, room_ids=list(room_ids), upto=upto)]


FOR_EVENTS = f"""
    SELECT {COLUMNS} FROM receipts
     WHERE room_id IN :room_ids[text] AND log_position <= :upto
       AND (user_id = :user_id OR event_id IN :event_ids[text])
     ORDER BY log_position"""  # noqa: S608 - as above


def receipts_for_events(
    tx: Transaction, room_ids: Sequence[str], event_ids: Sequence[str], user_id: UserID, *, upto: int
) -> list[Receipt]:
    """The receipts in these rooms that are the user's, or for these events: private ones of all users too."""
    if not room_ids:
        return []
    asked = {"room_ids": list(room_ids), "event_ids": list(event_ids), "user_id": user_id, "upto": upto}
    return [_receipt(row) for row in tx.all(FOR_EVENTS, **asked)]


READ_PLACES = """
    SELECT room_id, thread_id, MAX(place) FROM receipts
     WHERE room_id IN :room_ids[text] AND user_id = :user_id AND receipt_type IN ('m.read', 'm.read.private')
       AND place IS NOT NULL
     GROUP BY room_id, thread_id"""


def read_places(tx: Transaction, room_ids: Sequence[str], user_id: UserID) -> dict[RoomID, dict[str | None, int]]:
    """Up to which place the user has read, by room and thread: None for the whole room, else "main" or a root.

    A public and a private receipt count alike: the newer one says how far.
    """
    places: dict[RoomID, dict[str | None, int]] = {}
    if room_ids:
        for room_id, thread_id, place in tx.all(READ_PLACES, room_ids=list(room_ids), user_id=user_id):
            places.setdefault(RoomID(room_id), {})[thread_id or None] = place
    return places


def _receipt(row: tuple[Any, ...]) -> Receipt:
    return Receipt(
        room_id=RoomID(row[0]),
        user_id=UserID(row[1]),
        receipt_type=row[2],
        thread_id=row[3] or None,
        event_id=EventID(row[4]),
        place=row[5],
        ts=row[6],
        log_position=row[7],
    )


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "receipts",
        owners={Owner.ROOM: "room_id", Owner.USER: "user_id"},
        retention=Retention.bounded("one row per user, type of receipt, and room or thread"),
    ),
)
