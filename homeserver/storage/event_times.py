"""Events of a room by the time that their servers gave them, which need not be the order in which they are shown."""

from dataclasses import dataclass

from homeserver.core.identifiers import EventID, RoomID, UserID
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


@dataclass(frozen=True, slots=True)
class TimePoint:
    """Where events of a room begin, sorted by their times: at the first of this time with no smaller a number."""

    origin_server_ts: int
    nid: int


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event as it stands there, without what it says."""

    event_id: EventID
    origin_server_ts: int
    nid: EventNid
    sender: UserID
    type: str
    is_state: bool
    is_redacted: bool


BETWEEN = """
    SELECT event_id, origin_server_ts, event_nid, sender, type, state_key IS NOT NULL, redacted_by IS NOT NULL
      FROM events
     WHERE room_id = :room_id AND place IS NOT NULL AND verdict = 0
       AND (origin_server_ts, event_nid) >= (:since_ms, :nid) AND origin_server_ts <= :until_ms
     ORDER BY origin_server_ts, event_nid LIMIT :limit"""


def events_between(
    tx: Transaction, room_id: RoomID, *, begins: TimePoint, until_ms: int, limit: int
) -> list[TimedEvent]:
    """Accepted events of a room from a point up to a time, the earliest first."""
    asked = {"since_ms": begins.origin_server_ts, "nid": begins.nid, "until_ms": until_ms}
    rows = tx.all(BETWEEN, room_id=room_id, limit=limit, **asked)
    return [
        TimedEvent(EventID(row[0]), row[1], EventNid(row[2]), UserID(row[3]), row[4], bool(row[5]), bool(row[6]))
        for row in rows
    ]
