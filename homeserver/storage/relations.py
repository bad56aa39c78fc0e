"""What events relate to, as extracted from their content when they were written. Spec: #relationship-types"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, as_column
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class StoredRelation:
    """One event's relation to another. `aggregation_key` is the `key` of an annotation."""

    nid: EventNid
    room_id: RoomID
    relates_to: EventID
    rel_type: str
    aggregation_key: str | None
    type: str
    sender: UserID


INSERT = """
    INSERT INTO relations (event_nid, room_id, relates_to, rel_type, aggregation_key, type, sender)
    VALUES (:event_nid, :room_id, :relates_to, :rel_type, :aggregation_key, :type, :sender)"""


def insert_relation(tx: Transaction, relation: StoredRelation) -> None:
    """Keep what an event relates to."""
    row: dict[str, Any] = {
        "event_nid": relation.nid,
        "room_id": relation.room_id,
        "relates_to": relation.relates_to,
        "rel_type": relation.rel_type,
        "aggregation_key": relation.aggregation_key,
        "type": as_column(relation.type),
        "sender": relation.sender,
    }
    tx.insert_many(INSERT, [row])


REMOVE = "DELETE FROM relations WHERE event_nid = :event_nid"


def remove_relation(tx: Transaction, nid: EventNid) -> None:
    """The event was redacted: it relates to nothing any more."""
    tx.run(REMOVE, event_nid=nid)


IS_THREAD_ROOT = "SELECT 1 FROM relations WHERE relates_to = :event_id AND rel_type = 'm.thread' LIMIT 1"


def is_thread_root(tx: Transaction, event_id: EventID) -> bool:
    """Whether some event is in a thread that begins at this one."""
    return tx.one(IS_THREAD_ROOT, event_id=event_id) is not None


TO_EVENTS = "SELECT DISTINCT relates_to, rel_type, sender FROM relations WHERE relates_to IN :event_ids[text]"


def relations_to(tx: Transaction, event_ids: Sequence[str]) -> dict[EventID, list[tuple[str, UserID]]]:
    """The relation type and sender of each event that relates to one of these."""
    found: dict[EventID, list[tuple[str, UserID]]] = {}
    if event_ids:
        for relates_to, rel_type, sender in tx.all(TO_EVENTS, event_ids=list(event_ids)):
            found.setdefault(EventID(relates_to), []).append((rel_type, UserID(sender)))
    return found


IS_ANNOTATED = """
    SELECT 1 FROM relations
     WHERE relates_to = :relates_to AND rel_type = 'm.annotation' AND sender = :sender AND type = :type
       AND aggregation_key = :aggregation_key LIMIT 1"""


def has_annotated(
    tx: Transaction, relates_to: EventID, *, sender: UserID, event_type: str, aggregation_key: str
) -> bool:
    """Whether the user already put this very annotation on the event."""
    found = tx.one(IS_ANNOTATED, relates_to=relates_to, sender=sender, type=event_type, aggregation_key=aggregation_key)
    return found is not None


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "relations",
        owners={Owner.ROOM: "room_id", Owner.USER: "sender"},
        retention=Retention.bounded("at most one row per event"),
    ),
)
