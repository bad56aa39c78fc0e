"""The roots that a room still names: whatever these reach of its state nodes must stay.

The nodes are in state_nodes.py; who collects the rest is in services/events/collection.py.
"""

from dataclasses import dataclass

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction

KEPT = """
    SELECT root_before FROM events
     WHERE room_id = :room_id AND event_nid > :after AND root_before IS NOT NULL
    UNION SELECT root_after FROM events
     WHERE room_id = :room_id AND event_nid > :after AND root_after IS NOT NULL
    UNION SELECT root FROM room_roots WHERE room_id = :room_id
    UNION SELECT current_root FROM rooms WHERE room_id = :room_id"""


def kept_roots(tx: Transaction, room_id: RoomID, *, after_nid: int = 0) -> frozenset[bytes]:
    """The roots at all positions and at the events with numbers above `after_nid`: no number comes twice."""
    return frozenset(bytes(row[0]) for row in tx.all(KEPT, room_id=room_id, after=after_nid))


@dataclass(frozen=True, slots=True)
class NamedRoots:
    """All roots of a room as of now; those of later events have numbers above `newest_nid`."""

    roots: frozenset[bytes]
    newest_nid: int


NEWEST = "SELECT MAX(event_nid) FROM events WHERE room_id = :room_id"


def all_kept_roots(tx: Transaction, room_id: RoomID) -> NamedRoots:
    """Every root that the room names: in a read, for it goes through all of its events."""
    row = tx.one(NEWEST, room_id=room_id)
    return NamedRoots(kept_roots(tx, room_id), 0 if row is None or row[0] is None else row[0])
