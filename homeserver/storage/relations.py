"""What events relate to, as extracted from their content when they were written. Spec: #relationship-types

Which threads a room has is in threads.py; which relations are valid and shown: services/rooms/aggregations.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, as_column
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class StoredRelation:
    """One event's relation to another. `aggregation_key` is the `key` of an annotation, `place` where it is shown."""

    nid: EventNid
    room_id: RoomID
    relates_to: EventID
    rel_type: str
    aggregation_key: str | None
    type: str
    sender: UserID
    place: int


INSERT = """
    INSERT INTO relations (event_nid, room_id, relates_to, rel_type, aggregation_key, type, sender, place)
    VALUES (:event_nid, :room_id, :relates_to, :rel_type, :aggregation_key, :type, :sender, :place)"""


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
        "place": relation.place,
    }
    tx.insert_many(INSERT, [row])


REMOVE = "DELETE FROM relations WHERE event_nid = :event_nid"


def remove_relation(tx: Transaction, nid: EventNid) -> None:
    """The event was redacted: it relates to nothing any more."""
    tx.run(REMOVE, event_nid=nid)


IS_THREAD_ROOT = """
    SELECT 1 FROM relations WHERE room_id = :room_id AND relates_to = :event_id AND rel_type = 'm.thread' LIMIT 1"""


def is_thread_root(tx: Transaction, room_id: RoomID, event_id: EventID) -> bool:
    """Whether some event of the room is in a thread that begins at this one."""
    return tx.one(IS_THREAD_ROOT, room_id=room_id, event_id=event_id) is not None


TO_EVENTS = """
    SELECT DISTINCT relates_to, rel_type, sender FROM relations
     WHERE room_id = :room_id AND relates_to IN :event_ids[text]"""


def relations_to(tx: Transaction, room_id: RoomID, event_ids: Sequence[str]) -> dict[EventID, list[tuple[str, UserID]]]:
    """The relation type and sender of each event of the room that relates to one of these."""
    found: dict[EventID, list[tuple[str, UserID]]] = {}
    if event_ids:
        for relates_to, rel_type, sender in tx.all(TO_EVENTS, room_id=room_id, event_ids=list(event_ids)):
            found.setdefault(EventID(relates_to), []).append((rel_type, UserID(sender)))
    return found


IS_ANNOTATED = """
    SELECT 1 FROM relations
     WHERE room_id = :room_id AND relates_to = :relates_to AND sender = :sender AND rel_type = 'm.annotation'
       AND type = :type AND aggregation_key = :aggregation_key LIMIT 1"""


def has_annotated(
    tx: Transaction, room_id: RoomID, relates_to: EventID, *, sender: UserID, event_type: str, aggregation_key: str
) -> bool:
    """Whether the user already put this very annotation on the event of the room."""
    found = tx.one(
        IS_ANNOTATED,
        room_id=room_id,
        relates_to=relates_to,
        sender=sender,
        type=event_type,
        aggregation_key=aggregation_key,
    )
    return found is not None


@dataclass(frozen=True, slots=True)
class RelatedWish:
    """Which children of an event are wanted: of any relation type and event type where these are None.

    `depth`: how many relations lead from a child to the event, at most; all of them have the wanted types.
    """

    room_id: RoomID
    event_id: EventID
    rel_type: str | None
    event_type: str | None
    depth: int


# The conditions stand in the text or not, rather than in parameters, so that each statement finds its index. CROSS JOIN
# is for SQLite, which else reads all relations of the room for each event that was found.
_DIRECT: Final = """
    SELECT e.event_id, c.place FROM relations c JOIN events e ON e.event_nid = c.event_nid
     WHERE c.room_id = :room_id AND c.relates_to = :event_id AND c.place > :after AND c.place <= :upto
       AND (:event_type IS NULL OR c.type = :event_type)"""
_RECURSIVE: Final = """
    WITH RECURSIVE found (event_id, place, depth) AS (
        SELECT e.event_id, c.place, 1 FROM relations c JOIN events e ON e.event_nid = c.event_nid
         WHERE c.room_id = :room_id AND c.relates_to = :event_id
           AND (:rel_type IS NULL OR c.rel_type = :rel_type) AND (:event_type IS NULL OR c.type = :event_type)
         UNION ALL
        SELECT e.event_id, c.place, f.depth + 1
          FROM found f CROSS JOIN relations c JOIN events e ON e.event_nid = c.event_nid
         WHERE f.depth < :depth AND c.room_id = :room_id AND c.relates_to = f.event_id
           AND (:rel_type IS NULL OR c.rel_type = :rel_type) AND (:event_type IS NULL OR c.type = :event_type)
    )
    SELECT DISTINCT event_id, place FROM found WHERE event_id <> :event_id AND place > :after AND place <= :upto"""
_TYPED: Final = " AND c.rel_type = :rel_type"
_BACKWARDS: Final = " ORDER BY 2 DESC LIMIT :limit"  # by place
_FORWARDS: Final = " ORDER BY 2 LIMIT :limit"

DIRECT_BACKWARDS = _DIRECT + _BACKWARDS
DIRECT_FORWARDS = _DIRECT + _FORWARDS
TYPED_BACKWARDS = _DIRECT + _TYPED + _BACKWARDS
TYPED_FORWARDS = _DIRECT + _TYPED + _FORWARDS
RECURSIVE_BACKWARDS = _RECURSIVE + _BACKWARDS
RECURSIVE_FORWARDS = _RECURSIVE + _FORWARDS


def related_events(
    tx: Transaction, wish: RelatedWish, *, after: int, upto: int, limit: int, backwards: bool
) -> list[tuple[EventID, int]]:
    """The events that relate to one, each with its place, which is in (after, upto]: newest first, or oldest first."""
    given: dict[str, Any] = {
        "room_id": wish.room_id,
        "event_id": wish.event_id,
        "event_type": None if wish.event_type is None else as_column(wish.event_type),
        "after": after,
        "upto": upto,
        "limit": limit,
    }
    if wish.depth > 1:
        deep = {**given, "rel_type": wish.rel_type, "depth": wish.depth}
        rows = tx.all(RECURSIVE_BACKWARDS, **deep) if backwards else tx.all(RECURSIVE_FORWARDS, **deep)
    elif wish.rel_type is not None:
        typed = {**given, "rel_type": wish.rel_type}
        rows = tx.all(TYPED_BACKWARDS, **typed) if backwards else tx.all(TYPED_FORWARDS, **typed)
    else:
        rows = tx.all(DIRECT_BACKWARDS, **given) if backwards else tx.all(DIRECT_FORWARDS, **given)
    return [(EventID(event_id), place) for event_id, place in rows]


@dataclass(frozen=True, slots=True)
class Children:
    """Of which events the children are asked for, and which children count.

    They are shown at `upto` or before it, and sent by nobody who is `ignored`.
    """

    room_id: RoomID
    event_ids: Sequence[EventID]
    upto: int
    ignored: Collection[str]

    @property
    def given(self) -> dict[str, Any]:
        """The parameters of the statements below."""
        return {
            "room_id": self.room_id,
            "event_ids": list(self.event_ids),
            "upto": self.upto,
            "ignored": list(self.ignored),
        }


@dataclass(frozen=True, slots=True)
class ChildCount:
    """How many children of one type an event has, and where the newest of them is shown."""

    number: int
    latest_place: int


COUNTS = """
    SELECT relates_to, rel_type, COUNT(*), MAX(place) FROM relations
     WHERE room_id = :room_id AND relates_to IN :event_ids[text]
       AND rel_type IN ('m.reference', 'm.replace', 'm.thread')
       AND place <= :upto AND sender NOT IN :ignored[text]
     GROUP BY relates_to, rel_type"""


def child_counts(tx: Transaction, children: Children) -> dict[EventID, dict[str, ChildCount]]:
    """How many children each event has, by relation type: of those types that are aggregated."""
    counts: dict[EventID, dict[str, ChildCount]] = {}
    if children.event_ids:
        for relates_to, rel_type, number, latest_place in tx.all(COUNTS, **children.given):
            counts.setdefault(EventID(relates_to), {})[rel_type] = ChildCount(number, latest_place)
    return counts


THREAD_EVENTS_AT = """
    SELECT c.relates_to, e.event_id, c.place FROM relations c JOIN events e ON e.event_nid = c.event_nid
     WHERE c.room_id = :room_id AND c.relates_to IN :root_ids[text] AND c.rel_type = 'm.thread'
       AND c.place IN :places[bigint]"""


def thread_events_at(tx: Transaction, room_id: RoomID, places: Mapping[EventID, int]) -> dict[EventID, list[EventID]]:
    """The event of each thread that is shown at a place, alone in a list: as from `newest_in_threads`."""
    if not places:
        return {}
    rows = tx.all(THREAD_EVENTS_AT, room_id=room_id, root_ids=list(places), places=list(places.values()))
    return {EventID(root_id): [EventID(event_id)] for root_id, event_id, place in rows if places[root_id] == place}


EDITS = """
    SELECT relates_to, event_id FROM (
        SELECT c.relates_to, e.event_id,
               ROW_NUMBER() OVER (PARTITION BY c.relates_to
                                  ORDER BY e.origin_server_ts DESC, e.event_id DESC) AS number
          FROM relations c
          JOIN events e ON e.event_nid = c.event_nid
          JOIN events p ON p.event_id = c.relates_to AND p.room_id = c.room_id
         WHERE c.room_id = :room_id AND c.relates_to IN :event_ids[text] AND c.rel_type = 'm.replace'
           AND c.place <= :upto AND c.sender NOT IN :ignored[text]
           AND c.sender = p.sender AND e.type = p.type AND e.state_key IS NULL) AS edits
     WHERE number <= :most ORDER BY number"""


def newest_edits(tx: Transaction, children: Children, *, most: int) -> dict[EventID, list[EventID]]:
    """The newest replacements of each event by its own sender and of its own type, newest first, at most so many."""
    return _by_parent(tx.all(EDITS, **children.given, most=most)) if children.event_ids else {}


# The window is over the index alone; events are looked up for what is left.
NEWEST_IN_THREADS = """
    SELECT n.relates_to, e.event_id
      FROM (SELECT relates_to, event_nid, ROW_NUMBER() OVER (PARTITION BY relates_to ORDER BY place DESC) AS number
              FROM relations
             WHERE room_id = :room_id AND relates_to IN :event_ids[text] AND rel_type = 'm.thread'
               AND place <= :upto AND sender NOT IN :ignored[text]) AS n
      JOIN events e ON e.event_nid = n.event_nid
     WHERE n.number <= :most ORDER BY n.number LIMIT :limit"""


def newest_in_threads(tx: Transaction, children: Children, *, most: int, limit: int) -> dict[EventID, list[EventID]]:
    """The newest events of the threads that begin at these, newest first: at most so many of each, and of all."""
    if not children.event_ids:
        return {}
    return _by_parent(tx.all(NEWEST_IN_THREADS, **children.given, most=most, limit=limit))


FIRST_REFERENCES = """
    SELECT n.relates_to, e.event_id
      FROM (SELECT relates_to, event_nid, ROW_NUMBER() OVER (PARTITION BY relates_to ORDER BY place) AS number
              FROM relations
             WHERE room_id = :room_id AND relates_to IN :event_ids[text] AND rel_type = 'm.reference'
               AND place <= :upto AND sender NOT IN :ignored[text]) AS n
      JOIN events e ON e.event_nid = n.event_nid
     WHERE n.number <= :most ORDER BY n.number LIMIT :limit"""


def first_references(tx: Transaction, children: Children, *, most: int, limit: int) -> dict[EventID, list[EventID]]:
    """The first events that reference these, oldest first: at most so many of each, and of all."""
    if not children.event_ids:
        return {}
    return _by_parent(tx.all(FIRST_REFERENCES, **children.given, most=most, limit=limit))


TAKES_PART = """
    SELECT DISTINCT relates_to FROM relations
     WHERE room_id = :room_id AND relates_to IN :event_ids[text] AND sender = :user_id AND rel_type = 'm.thread'"""


def threads_with(tx: Transaction, room_id: RoomID, roots: Sequence[EventID], user_id: UserID) -> set[EventID]:
    """Those of the threads in which the user has sent something after the root."""
    if not roots:
        return set()
    return {EventID(row[0]) for row in tx.all(TAKES_PART, room_id=room_id, event_ids=list(roots), user_id=user_id)}


def _by_parent(rows: Sequence[tuple[Any, ...]]) -> dict[EventID, list[EventID]]:
    found: dict[EventID, list[EventID]] = {}
    for relates_to, event_id in rows:
        found.setdefault(EventID(relates_to), []).append(EventID(event_id))
    return found


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "relations",
        owners={Owner.ROOM: "room_id", Owner.USER: "sender"},
        retention=Retention.bounded("at most one row per event"),
    ),
)
