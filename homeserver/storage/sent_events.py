"""What one user has sent into a room, found without an index of its own: a stretch of the room is looked through at a
time, the newest first.

Each event would have to pay for an index, and few are ever looked for like this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, Verdict

# State that says something. Of other state a room is made: without it users could do what they may not.
SPOKEN_STATE: Final = ("m.room.name", "m.room.topic", "m.room.avatar")


@dataclass(frozen=True, slots=True)
class Sent:
    """By whom, and when, as the events themselves say it: from `since_ms`, and before `until_ms`."""

    sender: UserID
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class SentPage:
    """Some of what was found, and below which place to look further; None when the room's beginning was reached."""

    event_ids: Sequence[EventID]
    below: int | None


# What takes something back stays: without it, that would be back.
PAGE = """
    SELECT place, event_id FROM (
        SELECT place, event_id, type, sender, state_key, origin_server_ts, verdict, form, redacted_by FROM events
         WHERE room_id = :room_id AND place < :below ORDER BY place DESC LIMIT :scanned) scanned
     WHERE sender = :sender AND origin_server_ts >= :since_ms AND origin_server_ts < :until_ms
       AND verdict <> :rejected AND form = :full AND redacted_by IS NULL AND type <> 'm.room.redaction'
       AND (state_key IS NULL OR (type = 'm.room.member' AND state_key = sender) OR type IN :spoken_state[text])
     ORDER BY place DESC LIMIT :limit"""
STRETCH = """
    SELECT MIN(place), COUNT(*) FROM (
        SELECT place FROM events
         WHERE room_id = :room_id AND place < :below ORDER BY place DESC LIMIT :scanned) scanned"""


def sent_in_room(tx: Transaction, room_id: RoomID, wanted: Sent, *, below: int, scanned: int, limit: int) -> SentPage:
    """What a user said in a room below a place, and can be redacted: found in `scanned` events, at most `limit`."""
    rows = tx.all(
        PAGE,
        room_id=room_id,
        below=below,
        scanned=scanned,
        sender=wanted.sender,
        since_ms=wanted.since_ms,
        until_ms=wanted.until_ms,
        rejected=Verdict.REJECTED.value,
        full=Form.FULL.value,
        spoken_state=list(SPOKEN_STATE),
        limit=limit,
    )
    event_ids = [EventID(row[1]) for row in rows]
    if len(rows) == limit:
        return SentPage(event_ids, rows[-1][0])
    lowest = tx.one(STRETCH, room_id=room_id, below=below, scanned=scanned)
    has_more = lowest is not None and lowest[1] == scanned
    return SentPage(event_ids, lowest[0] if lowest is not None and has_more else None)


NEXT_ROOM = """
    SELECT room_id FROM memberships WHERE user_id = :user_id AND room_id > :after ORDER BY room_id LIMIT 1"""


def next_room_of_user(tx: Transaction, user_id: UserID, after: str) -> RoomID | None:
    """The next room that a user has or had to do with, in the order of room IDs."""
    row = tx.one(NEXT_ROOM, user_id=user_id, after=after)
    return None if row is None else RoomID(row[0])
