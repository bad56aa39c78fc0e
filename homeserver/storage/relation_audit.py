"""What an audit reads of relations and threads, as they are stored. Nothing here trusts what is in the rows.

What is made of them is in services/admin/relation_audit.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class RelationRow:
    """A row of relations."""

    room_id: RoomID
    relates_to: EventID
    rel_type: str
    aggregation_key: str | None
    type: str
    sender: str
    place: int


@dataclass(frozen=True, slots=True)
class Noted:
    """What is noted of one event: in which thread it is, and what it relates to."""

    thread_id: str | None
    relation: RelationRow | None


NOTED = """
    SELECT e.event_nid, e.thread_id, r.room_id, r.relates_to, r.rel_type, r.aggregation_key, r.type, r.sender, r.place
      FROM events e LEFT JOIN relations r ON r.event_nid = e.event_nid
     WHERE e.event_nid IN :nids[bigint]"""


def noted_relations(tx: Transaction, nids: Sequence[int]) -> dict[int, Noted]:
    """What is noted of the events with these numbers."""
    rows = tx.all(NOTED, nids=list(nids)) if nids else []
    return {row[0]: Noted(row[1], None if row[2] is None else RelationRow(*row[2:])) for row in rows}


STRAY = """
    SELECT r.event_nid FROM relations r
     WHERE r.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_nid = r.event_nid AND e.room_id = r.room_id) LIMIT 1"""


def stray_relation(tx: Transaction, room_id: RoomID) -> int | None:
    """The number of an event that is said to relate to another one, and is not in the room."""
    row = tx.one(STRAY, room_id=room_id)
    return None if row is None else int(row[0])


WRONG_THREADS = """
    SELECT t.root_id, t.latest_place,
           (SELECT MAX(r.place) FROM relations r
             WHERE r.room_id = t.room_id AND r.relates_to = t.root_id AND r.rel_type = 'm.thread')
      FROM threads t
     WHERE t.room_id = :room_id
       AND t.latest_place <> COALESCE((SELECT MAX(r.place) FROM relations r
                                        WHERE r.room_id = t.room_id AND r.relates_to = t.root_id
                                          AND r.rel_type = 'm.thread'), t.latest_place - 1)
     ORDER BY t.root_id LIMIT :limit"""
UNNOTED_THREADS = """
    SELECT r.relates_to, MAX(r.place) FROM relations r
     WHERE r.room_id = :room_id AND r.rel_type = 'm.thread'
       AND NOT EXISTS (SELECT 1 FROM threads t WHERE t.room_id = r.room_id AND t.root_id = r.relates_to)
     GROUP BY r.relates_to ORDER BY r.relates_to LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class WrongThread:
    """Where the newest event of a thread is said to be, and where it is; None: nowhere."""

    root_id: EventID
    noted: int | None
    right: int | None


def wrong_threads(tx: Transaction, room_id: RoomID, *, limit: int) -> list[WrongThread]:
    """Threads whose newest event is not where it is said to be, by what relates to them."""
    wrong = [WrongThread(*row) for row in tx.all(WRONG_THREADS, room_id=room_id, limit=limit)]
    unnoted = tx.all(UNNOTED_THREADS, room_id=room_id, limit=limit - len(wrong))
    return [*wrong, *(WrongThread(row[0], None, row[1]) for row in unnoted)]
