"""For how long rooms keep what is said in them, by their own word, and how far what is older was removed.

What that means is in core/retention.py; it is removed by services/events/expiry.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import SELECT_EVENT, StoredEvent, store_redacted, stored_of
from homeserver.storage.notifications import remove_notifications
from homeserver.storage.search import remove_event
from homeserver.storage.tables import Owner, Retention, Table

STORE = """
    INSERT INTO room_lifetimes (room_id, max_lifetime_ms, removed) VALUES (:room_id, :max_lifetime_ms, 0)
    ON CONFLICT (room_id) DO UPDATE SET max_lifetime_ms = excluded.max_lifetime_ms"""


def store_lifetime(tx: Transaction, room_id: RoomID, max_lifetime_ms: int | None) -> None:
    """A room's state says this now; None: nothing."""
    tx.run(STORE, room_id=room_id, max_lifetime_ms=max_lifetime_ms)


ALL = "SELECT room_id, max_lifetime_ms FROM room_lifetimes WHERE max_lifetime_ms IS NOT NULL"


def all_lifetimes(tx: Transaction) -> dict[RoomID, int]:
    """What all rooms say that say something."""
    return {RoomID(row[0]): row[1] for row in tx.all(ALL)}


@dataclass(frozen=True, slots=True)
class Expired:
    """How far a room was gone through: from its first event, whose place it was then, up to a place; what went."""

    first_place: int | None
    upto_place: int | None
    removed: int


FIND = "SELECT first_place, upto_place, removed FROM room_lifetimes WHERE room_id = :room_id"
NOTE = """
    INSERT INTO room_lifetimes (room_id, first_place, upto_place, removed)
    VALUES (:room_id, :first_place, :upto_place, :removed)
    ON CONFLICT (room_id) DO UPDATE SET
        first_place = excluded.first_place, upto_place = excluded.upto_place, removed = excluded.removed"""


def find_expired(tx: Transaction, room_id: RoomID) -> Expired:
    """How far a room was gone through."""
    row = tx.one(FIND, room_id=room_id)
    return Expired(None, None, 0) if row is None else Expired(row[0], row[1], row[2])


def note_expired(tx: Transaction, room_id: RoomID, expired: Expired) -> None:
    """A room was gone through so far."""
    tx.run(
        NOTE,
        room_id=room_id,
        first_place=expired.first_place,
        upto_place=expired.upto_place,
        removed=expired.removed,
    )


TOTALS = """
    SELECT COUNT(max_lifetime_ms), COALESCE(SUM(removed), 0) FROM room_lifetimes"""


def lifetime_totals(tx: Transaction) -> tuple[int, int]:
    """How many rooms say for how long they keep things, and how many events were removed from all of them."""
    row = tx.all(TOTALS)[0]
    return int(row[0]), int(row[1])


ROOMS = "SELECT room_id FROM rooms WHERE room_id > :after ORDER BY room_id LIMIT :limit"


def rooms_after(tx: Transaction, after: str, *, limit: int) -> Sequence[RoomID]:
    """Some rooms in the order of their IDs; the first are after ""."""
    return [RoomID(row[0]) for row in tx.all(ROOMS, after=after, limit=limit)]


ROOMS_LEFT = "SELECT rooms_after FROM lifetimes_progress"
NOTE_PROGRESS = "UPDATE lifetimes_progress SET rooms_after = :after"


def next_older_rooms(tx: Transaction, *, limit: int) -> Sequence[RoomID]:
    """Some of the rooms of which it is not known yet what they say; they count as looked at."""
    row = tx.one(ROOMS_LEFT)
    if row is None or row[0] is None:
        return []
    room_ids = rooms_after(tx, row[0], limit=limit)
    tx.run(NOTE_PROGRESS, after=room_ids[-1] if room_ids else None)
    return room_ids


def has_older_rooms(tx: Transaction) -> bool:
    """Whether there may be any of which it is not known yet what they say."""
    row = tx.one(ROOMS_LEFT)
    return row is not None and row[0] is not None


PLACED = SELECT_EVENT + " WHERE e.room_id = :room_id AND e.place > :place ORDER BY e.place LIMIT :limit"


def placed_events(tx: Transaction, room_id: RoomID, *, place: int, limit: int) -> list[StoredEvent]:
    """Events after `place`, oldest first, those that are shown to nobody, too."""
    return [stored_of(row) for row in tx.all(PLACED, room_id=room_id, place=place, limit=limit)]


def store_expired(tx: Transaction, target: StoredEvent, redacted: EncodedEvent) -> StoredEvent:
    """Remove what an event said: its form is the redacted one from here on, by no redaction."""
    stored = store_redacted(tx, target, redacted=redacted, by=None)
    remove_event(tx, target.nid, target.event)
    if target.place is not None:
        remove_notifications(tx, target.event.room_id, target.place)
    return stored


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "room_lifetimes",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("one row per room that says so, or from which something was removed"),
    ),
    Table("lifetimes_progress", retention=Retention.bounded("one row")),
)
