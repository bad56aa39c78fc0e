"""What a user did of late that others who misuse the server do a lot: inviting, and entering rooms."""

from homeserver.core.identifiers import EventID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import SELECT_EVENT, EventNid, StoredEvent, stored_of

ACTS_ON_MEMBERS = (
    SELECT_EVENT
    + """
     WHERE e.type = 'm.room.member' AND e.sender <> e.state_key AND e.sender = :user_id
       AND (e.origin_server_ts, e.event_nid) > (:at_ms, :nid) AND e.verdict = 0
     ORDER BY e.origin_server_ts, e.event_nid LIMIT :limit"""
)


def acts_on_members(tx: Transaction, user_id: UserID, *, at_ms: int, nid: EventNid, limit: int) -> list[StoredEvent]:
    """The first events by which a user invited, removed or banned others, after a time and an event of that time."""
    rows = tx.all(ACTS_ON_MEMBERS, user_id=user_id, at_ms=at_ms, nid=nid, limit=limit)
    return [stored_of(row) for row in rows]


NEWEST = "SELECT event_id FROM memberships WHERE user_id = :user_id"


def newest_member_events(tx: Transaction, user_id: UserID) -> list[EventID]:
    """The user's member events in the current states of all rooms, also of those that they forgot."""
    return [EventID(row[0]) for row in tx.all(NEWEST, user_id=user_id)]
