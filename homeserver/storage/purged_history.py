"""Deleting some of a room's events, so that the room goes on without them as it would had it never had them.

An event that names one that is gone lacks it from then on, as one does whose ancestors never came: that is noted as a
gap, and the state before it, which does not follow any more from what is here, is this server's word. Which events may
go is decided in services/admin/history_purge.py; rooms that are deleted as a whole are in purged_rooms.py.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.early_redactions import delete_early_redaction, note_early_redaction
from homeserver.storage.event_edges import EdgeKind
from homeserver.storage.events import EventNid, StoredEvent
from homeserver.storage.search import remove_events
from homeserver.storage.threads import renew_thread
from homeserver.storage.waiting_events import forget_gaps, insert_gaps

COUNT_BELOW = "SELECT COUNT(*) FROM events WHERE room_id = :room_id AND place IS NOT NULL AND place < :place"


def count_events_below(tx: Transaction, room_id: RoomID, place: int) -> int:
    """How many events stand below a place."""
    count: int = tx.all(COUNT_BELOW, room_id=room_id, place=place)[0][0]
    return count


ROOTS_AT = "SELECT log_position FROM room_roots WHERE room_id = :room_id AND log_position IN :positions[bigint]"
SHADOWS = "SELECT event_id FROM shadowed_heads WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def events_named_beside(tx: Transaction, room_id: RoomID, events: Sequence[StoredEvent]) -> set[EventID]:
    """Those of the events by which a current state was noted, or of which it is noted on what heads they stand."""
    positions = {one.log_position: one.event.event_id for one in events if one.log_position is not None}
    event_ids = [one.event.event_id for one in events]
    found = {positions[row[0]] for row in tx.all(ROOTS_AT, room_id=room_id, positions=list(positions))}
    return found | {EventID(row[0]) for row in tx.all(SHADOWS, room_id=room_id, event_ids=event_ids)}


UNSENT = """
    SELECT e.event_id FROM events e
     WHERE e.event_nid IN :nids[bigint] AND e.is_outgoing
       AND e.log_position > (SELECT MIN(upto) FROM (
            SELECT log_position AS upto FROM outgoing_position
            UNION ALL
            SELECT o.delivered_upto FROM outboxes o
             WHERE (o.is_behind OR o.transaction_id IS NOT NULL)
               AND EXISTS (SELECT 1 FROM room_servers s
                            WHERE s.room_id = :room_id AND s.server = o.destination)) AS sent)"""


def unsent_among(tx: Transaction, room_id: RoomID, events: Sequence[StoredEvent]) -> set[EventID]:
    """Those of the events that some other server in the room has yet to be sent."""
    rows = tx.all(UNSENT, room_id=room_id, nids=[one.nid for one in events])
    return {EventID(row[0]) for row in rows}


FOLLOWERS = """
    SELECT t.event_id, s.event_nid, s.event_id FROM event_edges g
      JOIN events t ON t.event_nid = g.target_nid JOIN events s ON s.event_nid = g.source_nid
     WHERE g.room_id = :room_id AND g.target_nid IN :nids[bigint] AND g.kind = :kind"""
GIVE_ROOTS = """
    UPDATE events SET root_given_by = COALESCE(root_given_by, :server)
     WHERE event_nid IN :nids[bigint] AND root_before IS NOT NULL"""
NIDS = "SELECT event_nid FROM events WHERE event_id IN :event_ids[text] AND room_id = :room_id"
DELETE_EDGES_TO = "DELETE FROM event_edges WHERE room_id = :room_id AND target_nid IN :nids[bigint]"
DELETE_EDGES_FROM = """
    DELETE FROM event_edges
     WHERE room_id = :room_id AND target_nid IN :targets[bigint] AND source_nid IN :nids[bigint]"""
DELETE_BESIDE: Final = (
    "DELETE FROM class_notifications WHERE room_id = :room_id AND place IN :places[bigint]",
    "DELETE FROM personal_notifications WHERE room_id = :room_id AND place IN :places[bigint]",
)
DELETE_RELATIONS = "DELETE FROM relations WHERE event_nid IN :nids[bigint]"
DELETE_EVENTS = "DELETE FROM events WHERE event_nid IN :nids[bigint]"
NOTE_PURGED = """
    UPDATE rooms SET purge_horizon = :place WHERE room_id = :room_id AND COALESCE(purge_horizon, :place) <= :place"""


def delete_events(
    tx: Transaction, room_id: RoomID, events: Sequence[StoredEvent], *, server_name: ServerName
) -> Sequence[EventID]:
    """Delete events, which are no state, while the room is held; those that are built on them, and lack them now."""
    nids = [one.nid for one in events]
    ids = [one.event.event_id for one in events]
    followers = _leave_gaps(tx, room_id, nids, server_name)
    named = {other for one in events for other in one.event.prev_event_ids}
    targets = [row[0] for row in tx.all(NIDS, room_id=room_id, event_ids=list(named))]
    tx.run(DELETE_EDGES_FROM, room_id=room_id, targets=targets, nids=nids)
    tx.run(DELETE_EDGES_TO, room_id=room_id, nids=nids)
    forget_gaps(tx, room_id, ids)
    for one in events:
        if one.redacted_by is not None:
            # Should it come again, what redacted it does so again.
            note_early_redaction(tx, room_id, target_id=one.event.event_id, redaction_id=one.redacted_by)
    for one in events:
        if one.event.redacts is not None:
            delete_early_redaction(tx, room_id, target_id=one.event.redacts, redaction_id=one.event.event_id)
    for statement in DELETE_BESIDE:
        tx.run(statement, room_id=room_id, places=[one.place for one in events])
    remove_events(tx, nids)
    tx.run(DELETE_RELATIONS, nids=nids)
    tx.run(DELETE_EVENTS, nids=nids)
    for root_id in {one.thread_id for one in events if one.thread_id is not None}:
        renew_thread(tx, room_id, root_id)
    tx.run(NOTE_PURGED, room_id=room_id, place=max(one.place or 0 for one in events))
    return followers


def _leave_gaps(
    tx: Transaction, room_id: RoomID, nids: Sequence[EventNid], server_name: ServerName
) -> Sequence[EventID]:
    doomed = set(nids)
    rows = tx.all(FOLLOWERS, room_id=room_id, nids=list(nids), kind=int(EdgeKind.PREV))
    staying = [row for row in rows if row[1] not in doomed]
    for missing_id, _, event_id in staying:
        insert_gaps(tx, room_id, EventID(event_id), [EventID(missing_id)])
    if staying:
        tx.run(GIVE_ROOTS, nids=[row[1] for row in staying], server=server_name)
    return [EventID(row[2]) for row in staying]
