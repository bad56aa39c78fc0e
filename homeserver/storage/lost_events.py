"""What is still known of events of a room that are not here any more, and how they are put back.

What is made of it is in services/admin/lost_events.py and event_restoring.py. Nothing here trusts what is in the rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, Form, StoredEvent, Verdict, as_column

HERE = "SELECT event_id FROM events WHERE event_id IN :event_ids[text]"


def events_here(tx: Transaction, event_ids: Collection[EventID]) -> set[EventID]:
    """Those of the events that have a row, in whatever room."""
    rows = tx.all(HERE, event_ids=sorted(event_ids)) if event_ids else []
    return {EventID(row[0]) for row in rows}


NAMED_BESIDE = """
    SELECT m.event_id FROM memberships m
     WHERE m.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = m.event_id)
       AND NOT EXISTS (SELECT 1 FROM remote_memberships r
                        WHERE r.room_id = m.room_id AND r.user_id = m.user_id AND r.event_id = m.event_id)
    UNION
    SELECT s.event_id FROM shadowed_heads s
     WHERE s.room_id = :room_id AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = s.event_id)
    UNION
    SELECT d.redaction_id FROM early_redactions d
     WHERE d.room_id = :room_id AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = d.redaction_id)
     ORDER BY 1 LIMIT :limit"""


def named_beside(tx: Transaction, room_id: RoomID, *, limit: int) -> list[EventID]:
    """Events that are not here, and by which somebody is a member, or of which more is noted."""
    return [EventID(row[0]) for row in tx.all(NAMED_BESIDE, room_id=room_id, limit=limit)]


@dataclass(frozen=True, slots=True)
class OpenEdge:
    """A row of event_edges of which one end is not here."""

    target: int
    kind: int
    source: int
    has_target: bool
    has_source: bool


OPEN_EDGES = """
    SELECT g.target_nid, g.kind, g.source_nid, t.event_nid IS NOT NULL, s.event_nid IS NOT NULL
      FROM event_edges g
      LEFT JOIN events t ON t.event_nid = g.target_nid
      LEFT JOIN events s ON s.event_nid = g.source_nid
     WHERE g.room_id = :room_id AND (t.event_nid IS NULL OR s.event_nid IS NULL)
     ORDER BY g.target_nid, g.kind, g.source_nid LIMIT :limit"""


def open_edges(tx: Transaction, room_id: RoomID, *, limit: int) -> list[OpenEdge]:
    """What names, or is named by, something that is not here."""
    rows = tx.all(OPEN_EDGES, room_id=room_id, limit=limit)
    return [OpenEdge(row[0], row[1], row[2], bool(row[3]), bool(row[4])) for row in rows]


@dataclass(frozen=True, slots=True)
class Traces:
    """Where an event stood, as far as rows tell that are about it: its place, and its position in the log at most."""

    place: int | None
    log_position: int | None


# A member who was learned of before their event came has no place by it.
TRACES = """
    SELECT m.place, m.log_position FROM memberships m
     WHERE m.room_id = :room_id AND m.event_id = :event_id AND m.place <> 0
    UNION ALL
    SELECT r.place, NULL FROM receipts r
     WHERE r.room_id = :room_id AND r.event_id = :event_id AND r.place IS NOT NULL
    UNION ALL
    SELECT q.place, NULL FROM relations q WHERE q.room_id = :room_id AND q.event_nid = :event_nid"""


def traces_of(tx: Transaction, room_id: RoomID, event_id: EventID, nid: int | None) -> Traces:
    """Where the event stood that had this number, if that is known."""
    rows = tx.all(TRACES, room_id=room_id, event_id=event_id, event_nid=-1 if nid is None else nid)
    return Traces(
        next((row[0] for row in rows if row[0] is not None), None),
        next((row[1] for row in rows if row[1] is not None), None),
    )


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that stands in the room's order."""

    place: int
    log_position: int | None


AROUND = """
    SELECT place, log_position FROM events
     WHERE room_id = :room_id AND place >= :lower AND place <= :upper ORDER BY place LIMIT :limit"""


def placed_between(tx: Transaction, room_id: RoomID, *, lower: int, upper: int, limit: int) -> list[Placed]:
    """The events from one place up to another."""
    return [Placed(*row) for row in tx.all(AROUND, room_id=room_id, lower=lower, upper=upper, limit=limit)]


AT_PLACE = "SELECT 1 FROM events WHERE room_id = :room_id AND place = :place"


def is_place_free(tx: Transaction, room_id: RoomID, place: int) -> bool:
    """Whether nothing stands at a place."""
    return tx.one(AT_PLACE, room_id=room_id, place=place) is None


POSITION_UPTO = "SELECT MAX(log_position) FROM events WHERE room_id = :room_id AND place <= :place"
POSITION_AFTER = "SELECT MIN(log_position) FROM events WHERE room_id = :room_id AND place > :place"


def positions_around(tx: Transaction, room_id: RoomID, place: int) -> tuple[int | None, int | None]:
    """The last position of what stands at a place or before it, and the first of what stands after it."""
    before, after = (
        tx.one(POSITION_UPTO, room_id=room_id, place=place),
        tx.one(POSITION_AFTER, room_id=room_id, place=place),
    )
    return None if before is None else before[0], None if after is None else after[0]


LAST_BEFORE = """
    SELECT event_id FROM events
     WHERE room_id = :room_id AND log_position < :log_position AND verdict = :accepted
     ORDER BY log_position DESC LIMIT 1"""


def accepted_before(tx: Transaction, room_id: RoomID, log_position: int) -> EventID | None:
    """The last event that was accepted as news before a position."""
    row = tx.one(LAST_BEFORE, room_id=room_id, log_position=log_position, accepted=Verdict.ACCEPTED)
    return None if row is None else EventID(row[0])


STRAY_ROOT: Final = """
    SELECT MIN(r.log_position) FROM room_roots r
     WHERE r.room_id = :room_id AND r.log_position > :after AND r.log_position < :before
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.room_id = r.room_id AND e.log_position = r.log_position)"""


def stray_root_between(tx: Transaction, room_id: RoomID, *, after: int, before: int) -> int | None:
    """A position at which the room's state became another one, without an event there."""
    row = tx.one(STRAY_ROOT, room_id=room_id, after=after, before=before)
    return None if row is None else row[0]


REPLACE_CONTENT = """
    UPDATE events
       SET type = :type, sender = :sender, state_key = :state_key, origin_server_ts = :origin_server_ts, form = :form,
           pdu = :pdu
     WHERE event_nid = :event_nid"""


def replace_content(tx: Transaction, nid: int, encoded: EncodedEvent, form: Form) -> None:
    """Give a row the event that it is of: all that follows from its bytes alone."""
    event = encoded.event
    tx.run(
        REPLACE_CONTENT,
        event_nid=nid,
        type=as_column(event.type),
        sender=event.sender,
        state_key=None if event.state_key is None else as_column(event.state_key),
        origin_server_ts=event.origin_server_ts,
        form=int(form),
        pdu=encoded.pdu_json,
    )


TAKE_OUT = "UPDATE events SET place = NULL, log_position = NULL WHERE event_nid = :event_nid"


def take_out_of_order(tx: Transaction, nid: int) -> None:
    """Have an event stand nowhere until it is found out where it does."""
    tx.run(TAKE_OUT, event_nid=nid)


SET_STANDING = """
    UPDATE events
       SET verdict_reason = CASE WHEN :verdict_reason IS NULL THEN NULL
                                 ELSE COALESCE(verdict_reason, :verdict_reason) END,
           verdict = :verdict, form = :form, place = :place,
           log_position = :log_position, root_before = :root_before, root_after = :root_after,
           replaces_state = :replaces_state, root_given_by = :root_given_by, rules_content = NULL
     WHERE event_nid = :event_nid"""


def set_standing(tx: Transaction, stored: StoredEvent, *, verdict_reason: str | None) -> None:
    """Note of an event what became of it, where it stands, and the states around it."""
    tx.run(
        SET_STANDING,
        event_nid=stored.nid,
        verdict=int(stored.verdict),
        verdict_reason=verdict_reason,
        form=int(stored.form),
        place=stored.place,
        log_position=stored.log_position,
        root_before=stored.root_before,
        root_after=stored.root_after,
        replaces_state=stored.replaces_state,
        root_given_by=stored.root_given_by,
    )


IS_FREE = "SELECT 1 FROM events WHERE event_nid = :event_nid"


def is_free(tx: Transaction, nid: int) -> bool:
    """Whether no event has this number."""
    return tx.one(IS_FREE, event_nid=nid) is None


def free_nid(tx: Transaction, candidates: Sequence[int]) -> EventNid:
    """The only one of the numbers that is free, or a new one."""
    free = [nid for nid in candidates if is_free(tx, nid)]
    return EventNid(free[0] if len(free) == 1 else tx.next_ids("event_nid"))
