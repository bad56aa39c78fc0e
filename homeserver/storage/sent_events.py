"""What was sent into a room, the newest first by the times that the senders' servers gave: a stretch at a time.

There is no index by senders: each event would have to pay for it, and few are ever looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, Verdict

# State that says something. Of other state a room is made: without it users could do what they may not.
SPOKEN_STATE: Final = ("m.room.name", "m.room.topic", "m.room.avatar")
EARLIEST_MS: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class TimePoint:
    """Where events of a room begin, sorted by their times: at the last of this time with no larger a number."""

    origin_server_ts: int
    nid: int

    @property
    def before(self) -> "TimePoint":
        """What comes next."""
        return TimePoint(self.origin_server_ts, self.nid - 1)


LATEST: Final = TimePoint(2**63 - 1, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class SentRow:
    """An event as it stands there, without what it says.

    What can be redacted still says something; of state it is SPOKEN_STATE, and the senders' own memberships.
    """

    point: TimePoint
    event_id: EventID
    sender: UserID
    type: str
    is_state: bool
    can_be_redacted: bool


# What takes something back stays: without it, that would be back.
SENT = """
    SELECT origin_server_ts, event_nid, event_id, sender, type, state_key IS NOT NULL,
           verdict <> :rejected AND form = :full AND redacted_by IS NULL AND type <> 'm.room.redaction'
           AND (state_key IS NULL OR (type = 'm.room.member' AND state_key = sender) OR type IN :spoken_state[text])
      FROM events
     WHERE room_id = :room_id AND place IS NOT NULL
       AND (origin_server_ts, event_nid) <= (:before_ms, :nid) AND origin_server_ts >= :since_ms
     ORDER BY origin_server_ts DESC, event_nid DESC LIMIT :limit"""


def sent_in_room(
    tx: Transaction, room_id: RoomID, *, begins: TimePoint, since_ms: int | None, limit: int
) -> Sequence[SentRow]:
    """A stretch of a room, from a point back to a time, of whatever events: the newest first."""
    rows = tx.all(
        SENT,
        room_id=room_id,
        before_ms=begins.origin_server_ts,
        nid=begins.nid,
        since_ms=EARLIEST_MS if since_ms is None else since_ms,
        rejected=Verdict.REJECTED.value,
        full=Form.FULL.value,
        spoken_state=list(SPOKEN_STATE),
        limit=limit,
    )
    return [
        SentRow(TimePoint(row[0], row[1]), EventID(row[2]), UserID(row[3]), row[4], bool(row[5]), bool(row[6]))
        for row in rows
    ]
