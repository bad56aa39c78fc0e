"""Events of a room by the time that their servers gave them, which need not be the order in which they are shown."""

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid

AFTER = """
    SELECT event_id, origin_server_ts, event_nid FROM events
     WHERE room_id = :room_id AND place IS NOT NULL AND verdict = 0
       AND (origin_server_ts, event_nid) >= (:timestamp_ms, :nid)
     ORDER BY origin_server_ts, event_nid LIMIT :limit"""
BEFORE = """
    SELECT event_id, origin_server_ts, event_nid FROM events
     WHERE room_id = :room_id AND place IS NOT NULL AND verdict = 0
       AND (origin_server_ts, event_nid) <= (:timestamp_ms, :nid)
     ORDER BY origin_server_ts DESC, event_nid DESC LIMIT :limit"""


def events_by_time(
    tx: Transaction, room_id: RoomID, *, timestamp_ms: int, nid: int, backwards: bool, limit: int
) -> list[tuple[EventID, int, EventNid]]:
    """Accepted events from a time on, or back, with their times and numbers: the closest first.

    Among events of the same time `nid` says where to begin.
    """
    if backwards:
        rows = tx.all(BEFORE, room_id=room_id, timestamp_ms=timestamp_ms, nid=nid, limit=limit)
    else:
        rows = tx.all(AFTER, room_id=room_id, timestamp_ms=timestamp_ms, nid=nid, limit=limit)
    return [(EventID(row[0]), row[1], EventNid(row[2])) for row in rows]
