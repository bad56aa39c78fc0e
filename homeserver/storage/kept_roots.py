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
    """All roots of a room as of now; those of later events have numbers above `newest_nid`.

    Of the others, `stateless` have no state around them yet, and name a root once they have.
    """

    roots: frozenset[bytes]
    newest_nid: int
    stateless: int


NEWEST = "SELECT MAX(event_nid) FROM events WHERE room_id = :room_id"


def all_kept_roots(tx: Transaction, room_id: RoomID) -> NamedRoots:
    """Every root that the room names: in a read, for it goes through all of its events."""
    row = tx.one(NEWEST, room_id=room_id)
    newest_nid = 0 if row is None or row[0] is None else row[0]
    return NamedRoots(kept_roots(tx, room_id), newest_nid, count_stateless(tx, room_id, upto_nid=newest_nid))


COUNT_STATELESS = """
    SELECT COUNT(*) FROM events WHERE room_id = :room_id AND root_before IS NULL AND event_nid <= :upto"""


def count_stateless(tx: Transaction, room_id: RoomID, *, upto_nid: int) -> int:
    """How many events with numbers up to `upto_nid` are known without the states around them: ever fewer."""
    count: int = tx.all(COUNT_STATELESS, room_id=room_id, upto=upto_nid)[0][0]
    return count
