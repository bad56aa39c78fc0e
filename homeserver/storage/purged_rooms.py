"""Deleting all that is kept of a room, some rows at a time, so that no write is as long as a room is large.

Which tables have rows of rooms is declared with them (schema.py). First the room's own row goes, with which the room is
known here no more; then all else. What stays for a while is how users of this server got out, for those of their
clients that have yet to hear of it: as memberships of a room that this server is not in (remote_memberships.py), which
are swept with the changes that they tell of. Who does it, and when, is in services/admin/room_purge.py.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid
from homeserver.storage.schema import tables_of
from homeserver.storage.search import remove_events
from homeserver.storage.tables import Owner

LOCALS_OUT = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND is_local AND membership IN ('leave', 'ban') AND user_id > :after
     ORDER BY user_id LIMIT :limit"""
FORGET_OTHERS = """
    DELETE FROM remote_memberships
     WHERE room_id = :room_id AND user_id IN :user_ids[text]
       AND event_id NOT IN (SELECT m.event_id FROM memberships m
                             WHERE m.room_id = :room_id AND m.user_id IN :user_ids[text])"""
KEEP_DEPARTURE = """
    INSERT INTO remote_memberships (room_id, user_id, event_id, version, told_by, pdu)
    SELECT m.room_id, m.user_id, m.event_id, r.version, '', e.pdu
      FROM memberships m JOIN rooms r ON r.room_id = m.room_id JOIN events e ON e.event_id = m.event_id
     WHERE m.room_id = :room_id AND m.user_id IN :user_ids[text]
       AND EXISTS (SELECT 1 FROM membership_changes c WHERE c.user_id = m.user_id AND c.room_id = m.room_id)
    ON CONFLICT (room_id, user_id) DO NOTHING"""
FORGET = """
    UPDATE memberships SET is_forgotten = :is_forgotten, joined_place = NULL, display_name = NULL, avatar_url = NULL
     WHERE room_id = :room_id AND user_id IN :user_ids[text]"""


def forget_departed(tx: Transaction, room_id: RoomID, *, after: str, limit: int) -> Sequence[UserID]:
    """Let some users of this server who are out of a room have forgotten it, those with IDs above `after`; who it was.

    How they got out is kept for those of their clients that may not know it yet.
    """
    user_ids = [UserID(row[0]) for row in tx.all(LOCALS_OUT, room_id=room_id, after=after, limit=limit)]
    if user_ids:
        tx.run(FORGET_OTHERS, room_id=room_id, user_ids=user_ids)
        tx.run(KEEP_DEPARTURE, room_id=room_id, user_ids=user_ids)
        tx.run(FORGET, room_id=room_id, user_ids=user_ids, is_forgotten=True)
    return user_ids


LOCALS_IN = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND is_local AND membership IN ('join', 'invite', 'knock') AND user_id > :after
     ORDER BY user_id LIMIT :limit"""


def locals_in_room(tx: Transaction, room_id: RoomID, *, after: str = "", limit: int) -> Sequence[UserID]:
    """Some users of this server who are in a room, invited or knocking, those with IDs above `after`."""
    return [UserID(row[0]) for row in tx.all(LOCALS_IN, room_id=room_id, after=after, limit=limit)]


COUNT_LOCALS_IN = """
    SELECT COUNT(*) FROM memberships
     WHERE room_id = :room_id AND is_local AND membership IN ('join', 'invite', 'knock')"""


def count_locals_in_room(tx: Transaction, room_id: RoomID) -> int:
    """How many these are."""
    count: int = tx.all(COUNT_LOCALS_IN, room_id=room_id)[0][0]
    return count


# Each half has an index of its own.
COUNT_EVENTS = """
    SELECT (SELECT COUNT(*) FROM events WHERE room_id = :room_id AND place IS NOT NULL)
         + (SELECT COUNT(*) FROM events WHERE room_id = :room_id AND place IS NULL)"""


def count_events(tx: Transaction, room_id: RoomID) -> int:
    """How many events are kept of a room, rejected ones and those without a place included."""
    count: int = tx.all(COUNT_EVENTS, room_id=room_id)[0][0]
    return count


DELETE_ROOM = "DELETE FROM rooms WHERE room_id = :room_id"
DELETE_PARTIAL = "DELETE FROM partial_rooms WHERE room_id = :room_id"


def close_room(tx: Transaction, room_id: RoomID) -> bool:
    """Let a room be known here no more; False, and nothing done, while users of this server have to do with it."""
    if locals_in_room(tx, room_id, limit=1):
        return False
    tx.run(DELETE_ROOM, room_id=room_id)
    tx.run(DELETE_PARTIAL, room_id=room_id)
    return True


SOME_EVENTS: Final = (
    "SELECT event_nid FROM events WHERE room_id = :room_id AND place IS NOT NULL ORDER BY place LIMIT :limit",
    "SELECT event_nid FROM events WHERE room_id = :room_id AND place IS NULL ORDER BY event_nid LIMIT :limit",
)
DELETE_EVENTS = "DELETE FROM events WHERE event_nid IN :nids[bigint]"

# Tables whose rows of one room may be very many, and what tells these apart.
LARGE: Final[Mapping[str, str]] = {
    "account_data": "user_id, type",
    "class_notifications": "class_key, place",
    "early_redactions": "target_id",
    "event_edges": "target_nid, kind, source_nid",
    "event_gaps": "missing_id, event_id",
    "membership_changes": "user_id, log_position",
    "memberships": "user_id",
    "personal_notifications": "user_id, place",
    "receipts": "user_id, receipt_type, thread_id",
    "relations": "event_nid",
    "reports": "report_id",
    "room_roots": "log_position",
    "room_servers": "server, since_position",
    "sent_places": "user_id, thread_id",
    "shadowed_heads": "event_id, head_id",
    "sliding_rooms": "user_id, device_id, connection_nid, number",
    "staged_pdus": "number",
    "state_nodes": "digest",
    "thread_subscriptions": "user_id, root_id",
    "threads": "root_id",
    "waiting_events": "event_id",
}
# Of whom it is kept that they got out, this is kept as well: what the user's clients know, and what they do not.
KEPT_OF_DEPARTED: Final = frozenset({"membership_changes", "memberships", "sliding_rooms"})
BUT_DEPARTED: Final = " AND user_id NOT IN (SELECT user_id FROM remote_memberships WHERE room_id = :room_id)"
DELETE_SOME: Final = tuple(
    f"DELETE FROM {name} WHERE room_id = :room_id AND ({key}) IN ("  # noqa: S608 - names from our own schema
    f"SELECT {key} FROM {name} WHERE room_id = :room_id{BUT_DEPARTED if name in KEPT_OF_DEPARTED else ''} LIMIT :limit)"
    for name, key in LARGE.items()
)
# The index of words has no column to find a room's rows by: they go with the events.
APART: Final = frozenset({*LARGE, "events", "partial_rooms", "remote_memberships", "rooms", "search_index"})
DELETE_ALL: Final = tuple(
    f"DELETE FROM {table.name} WHERE {table.owners[Owner.ROOM]} = :room_id"  # noqa: S608 - as above
    for table in tables_of(Owner.ROOM)
    if table.name not in APART
)
DELETE_OUTSIDE = """
    DELETE FROM remote_memberships
     WHERE room_id = :room_id AND user_id NOT IN (SELECT user_id FROM memberships WHERE room_id = :room_id)"""


def purge_some(tx: Transaction, room_id: RoomID, *, limit: int) -> tuple[bool, Sequence[EventNid]]:
    """Delete about `limit` rows of a room that is closed: whether there may be more, and which events went."""
    for statement in SOME_EVENTS:
        nids = [EventNid(row[0]) for row in tx.all(statement, room_id=room_id, limit=limit)]
        if nids:
            remove_events(tx, nids)
            tx.run(DELETE_EVENTS, nids=nids)
            return True, nids
    for statement in DELETE_SOME:
        if tx.run(statement, room_id=room_id, limit=limit):
            return True, ()
    for statement in DELETE_ALL:
        tx.run(statement, room_id=room_id)
    tx.run(DELETE_OUTSIDE, room_id=room_id)
    return False, ()
