"""Which rooms are large, without counting their events: for administrators, from the rooms' own rows and samples.

Exact numbers of single rooms are in room_listing.py.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import PLACE_STEP

MOST_LOOKED_AT: Final = 50_000
SAMPLED_EVENTS: Final = 20


@dataclass(frozen=True, slots=True)
class LargeRoom:
    """A room. The numbers of its events and of their bytes are estimates."""

    room_id: RoomID
    name: str | None
    joined_members: int
    events: int
    size_bytes: int


# Each event is placed a step above the one before.
LARGEST = """
    SELECT r.room_id, x.name, COALESCE(x.joined_members, 0), r.last_place
      FROM (SELECT room_id, last_place FROM rooms ORDER BY room_id LIMIT :most) r
      LEFT JOIN room_index x ON x.room_id = r.room_id
     ORDER BY r.last_place DESC, r.room_id LIMIT :limit"""
SAMPLE = """
    SELECT AVG(LENGTH(e.pdu)) FROM (
        SELECT pdu FROM events WHERE room_id = :room_id AND place IS NOT NULL ORDER BY place DESC LIMIT :sampled) e"""


def largest_rooms(tx: Transaction, *, limit: int, most: int = MOST_LOOKED_AT) -> list[LargeRoom]:
    """The largest of the first `most` rooms in the order of their IDs, which in nearly every server are all."""
    found = []
    for room_id, name, members, last_place in tx.all(LARGEST, most=most, limit=limit):
        row = tx.one(SAMPLE, room_id=room_id, sampled=SAMPLED_EVENTS)
        average = 0.0 if row is None or row[0] is None else float(row[0])
        events = last_place // PLACE_STEP
        found.append(LargeRoom(RoomID(room_id), name, members, events, int(events * average)))
    return found
