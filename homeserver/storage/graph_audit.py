"""What an audit reads of the graph of a room's events: edges, gaps, what waits, what stands on the heads.

Nothing here trusts what is in the rows. What is made of them is in services/admin/graph_audit.py; events themselves are
read by room_audit.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction

EDGES_FROM = """
    SELECT target_nid, kind FROM event_edges
     WHERE room_id = :room_id AND target_nid IN :targets[bigint] AND kind IN (0, 1) AND source_nid = :source"""


def edges_from(tx: Transaction, room_id: RoomID, *, source: int, targets: Collection[int]) -> set[tuple[int, int]]:
    """Which of these events, (number, kind of edge), one is said to name."""
    rows = tx.all(EDGES_FROM, room_id=room_id, source=source, targets=list(targets)) if targets else []
    return {(row[0], row[1]) for row in rows}


Edge = tuple[int, int, int]  # target, kind, source: the order of the rows
BEFORE_EDGES: Final[Edge] = (-(1 << 62), 0, 0)


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A row of event_edges; the IDs are None where there is no such event."""

    edge: Edge
    target_id: EventID | None
    source_id: EventID | None


EDGES = """
    SELECT g.target_nid, g.kind, g.source_nid, t.event_id, s.event_id
      FROM event_edges g
      LEFT JOIN events t ON t.event_nid = g.target_nid
      LEFT JOIN events s ON s.event_nid = g.source_nid AND s.room_id = g.room_id
     WHERE g.room_id = :room_id AND (g.target_nid, g.kind, g.source_nid) > (:target, :kind, :source)
     ORDER BY g.target_nid, g.kind, g.source_nid LIMIT :limit"""


def edge_rows(tx: Transaction, room_id: RoomID, *, after: Edge, limit: int) -> list[EdgeRow]:
    """The edges of a room in their order, a page at a time."""
    rows = tx.all(EDGES, room_id=room_id, target=after[0], kind=after[1], source=after[2], limit=limit)
    return [EdgeRow((row[0], row[1], row[2]), row[3], row[4]) for row in rows]


GIVEN_FOLLOWERS = """
    SELECT s.event_id
      FROM event_edges g JOIN events s ON s.event_nid = g.source_nid AND s.room_id = g.room_id
     WHERE g.room_id = :room_id AND g.target_nid = :target AND g.kind = 0
       AND s.verdict = 0 AND s.place IS NOT NULL AND s.root_given_by IS NOT NULL
     ORDER BY s.event_nid LIMIT :limit"""


def given_followers(tx: Transaction, room_id: RoomID, target: int, *, limit: int) -> list[EventID]:
    """The accepted events that are built on the one of this number, and have a state before them that was given."""
    return [EventID(row[0]) for row in tx.all(GIVEN_FOLLOWERS, room_id=room_id, target=target, limit=limit)]


PAST_FOLLOWER = """
    SELECT 1 FROM event_edges g JOIN events s ON s.event_nid = g.source_nid AND s.room_id = g.room_id
     WHERE g.room_id = :room_id AND g.target_nid = :target AND g.kind = 0
       AND s.root_before IS NOT NULL AND (s.root_given_by IS NOT NULL OR s.log_position IS NULL) LIMIT 1"""


def may_be_history(tx: Transaction, room_id: RoomID, target: int) -> bool:
    """Whether something is built on the event of this number that may have been here before it.

    It had its state given, or was no news either.
    """
    return tx.one(PAST_FOLLOWER, room_id=room_id, target=target) is not None


UNPROVEN_HISTORY = """
    SELECT e.event_id FROM events e
     WHERE e.room_id = :room_id AND e.place > :purge_horizon AND e.log_position IS NULL
       AND NOT EXISTS (
           SELECT 1 FROM event_edges g JOIN events s ON s.event_nid = g.source_nid AND s.room_id = g.room_id
            WHERE g.room_id = e.room_id AND g.target_nid = e.event_nid AND g.kind = 0
              AND s.place IS NOT NULL AND (s.event_nid < e.event_nid OR s.log_position IS NULL))
     ORDER BY e.place LIMIT 1"""


def unproven_history(tx: Transaction, room_id: RoomID, *, purge_horizon: int | None) -> EventID | None:
    """An event that has its place and was no news, without anything above it that was here before it or came with it.

    It may have been news, and lost when. What was built on what is deleted now is not looked at.
    """
    horizon = -(1 << 62) if purge_horizon is None else purge_horizon
    row = tx.one(UNPROVEN_HISTORY, room_id=room_id, purge_horizon=horizon)
    return None if row is None else EventID(row[0])


GAPS = "SELECT event_id, missing_id FROM event_gaps WHERE event_id IN :event_ids[text] AND room_id = :room_id"


def gaps_of(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, set[EventID]]:
    """What these events are said to lack."""
    gaps: dict[EventID, set[EventID]] = {}
    for row in tx.all(GAPS, room_id=room_id, event_ids=list(event_ids)) if event_ids else []:
        gaps.setdefault(EventID(row[0]), set()).add(EventID(row[1]))
    return gaps


GAPS_AFTER = """
    SELECT DISTINCT g.missing_id FROM event_gaps g WHERE g.room_id = :room_id AND g.missing_id > :after
       AND NOT EXISTS (SELECT 1 FROM waiting_events w WHERE w.room_id = g.room_id AND w.event_id = g.missing_id)
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = g.missing_id AND e.room_id = g.room_id)
     ORDER BY g.missing_id LIMIT :limit"""


def missing_after(tx: Transaction, room_id: RoomID, after: str, *, limit: int) -> list[EventID]:
    """What is lacked and is nowhere here, in the order of the IDs, a page at a time."""
    return [EventID(row[0]) for row in tx.all(GAPS_AFTER, room_id=room_id, after=after, limit=limit)]


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A row of waiting_events."""

    event_id: EventID
    pdu: bytes
    form: int
    size: int


WAITING = """
    SELECT event_id, pdu, form, size FROM waiting_events
     WHERE room_id = :room_id AND event_id > :after ORDER BY event_id LIMIT :limit"""


def waiting_after(tx: Transaction, room_id: RoomID, after: str, *, limit: int) -> list[WaitingRow]:
    """The events that wait, in the order of their IDs, a page at a time."""
    rows = tx.all(WAITING, room_id=room_id, after=after, limit=limit)
    return [WaitingRow(EventID(row[0]), bytes(row[1]), row[2], row[3]) for row in rows]


SHADOWS_OF = "SELECT event_id, head_id FROM shadowed_heads WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def shadows_of(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, set[EventID]]:
    """The heads on which each of these events is said to stand without being one."""
    shadows: dict[EventID, set[EventID]] = {}
    for row in tx.all(SHADOWS_OF, room_id=room_id, event_ids=list(event_ids)):
        shadows.setdefault(EventID(row[0]), set()).add(EventID(row[1]))
    return shadows


Shadow = tuple[EventID, EventID]  # event, head: the order of the rows
BEFORE_SHADOWS: Final[Shadow] = (EventID(""), EventID(""))
SHADOWS = """
    SELECT event_id, head_id FROM shadowed_heads
     WHERE room_id = :room_id AND (event_id, head_id) > (:event_id, :head_id) ORDER BY event_id, head_id LIMIT :limit"""


def shadow_rows(tx: Transaction, room_id: RoomID, *, after: Shadow, limit: int) -> list[Shadow]:
    """What is said to stand on heads, a page at a time."""
    rows = tx.all(SHADOWS, room_id=room_id, event_id=after[0], head_id=after[1], limit=limit)
    return [(EventID(row[0]), EventID(row[1])) for row in rows]


EarlyRedaction = tuple[EventID, EventID]  # target, redaction: the order of the rows
BEFORE_EARLY_REDACTIONS: Final[EarlyRedaction] = (EventID(""), EventID(""))
EARLY_REDACTIONS = """
    SELECT target_id, redaction_id FROM early_redactions
     WHERE room_id = :room_id AND (target_id, redaction_id) > (:target_id, :redaction_id)
     ORDER BY target_id, redaction_id LIMIT :limit"""


def early_redaction_rows(
    tx: Transaction, room_id: RoomID, *, after: EarlyRedaction, limit: int
) -> list[EarlyRedaction]:
    """The redactions that are said to have come before what they redact, a page at a time."""
    rows = tx.all(EARLY_REDACTIONS, room_id=room_id, target_id=after[0], redaction_id=after[1], limit=limit)
    return [(EventID(row[0]), EventID(row[1])) for row in rows]


EARLY = """
    SELECT 1 FROM early_redactions
     WHERE room_id = :room_id AND target_id = :target_id AND redaction_id = :redaction_id"""


def is_noted_early(tx: Transaction, room_id: RoomID, *, target_id: EventID, redaction_id: EventID) -> bool:
    """Whether a redaction is said to have come before what it redacts."""
    return tx.one(EARLY, room_id=room_id, target_id=target_id, redaction_id=redaction_id) is not None
