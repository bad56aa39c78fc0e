"""The graph of a room's events by its other direction: which events name this one.

What an event names stands in the event itself. Which heads a room has is in its row (storage/rooms.py); here is only
which heads those events stand on that are no heads themselves. Events that are not here are in waiting_events.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final

from homeserver.core.identifiers import EventID, RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid
from homeserver.storage.tables import Owner, Retention, Table


class EdgeKind(IntEnum):
    """Among which events of the source the target is."""

    PREV = 0
    AUTH = 1


INSERT_EDGE = """
    INSERT INTO event_edges (room_id, target_nid, kind, source_nid) VALUES (:room_id, :target_nid, :kind, :source_nid)
    ON CONFLICT (room_id, target_nid, kind, source_nid) DO NOTHING"""


def insert_edges(
    tx: Transaction, room_id: RoomID, source_nid: EventNid, *, prev: Iterable[EventNid], auth: Iterable[EventNid]
) -> None:
    """Note what an event names, of what is here: its previous events, and for a state event its auth events."""
    edges = [(EdgeKind.PREV, nid) for nid in dict.fromkeys(prev)] + [
        (EdgeKind.AUTH, nid) for nid in dict.fromkeys(auth)
    ]
    rows = [
        {"room_id": room_id, "target_nid": target, "kind": int(kind), "source_nid": source_nid}
        for kind, target in edges
    ]
    if rows:
        tx.insert_many(INSERT_EDGE, rows)


FOLLOWERS = """
    SELECT s.event_nid, s.event_id
      FROM events t
      JOIN event_edges g ON g.room_id = t.room_id AND g.target_nid = t.event_nid AND g.kind = :kind
      JOIN events s ON s.event_nid = g.source_nid
     WHERE t.event_id = :event_id AND g.source_nid > :after ORDER BY g.source_nid LIMIT :limit"""


def auth_followers(tx: Transaction, event_id: EventID, *, after: int = 0, limit: int) -> list[tuple[EventNid, EventID]]:
    """The state events that list an event among their auth events, by their numbers, a page at a time."""
    rows = tx.all(FOLLOWERS, event_id=event_id, kind=int(EdgeKind.AUTH), after=after, limit=limit)
    return [(EventNid(row[0]), EventID(row[1])) for row in rows]


def every_auth_follower(tx: Transaction, event_id: EventID, *, page_size: int) -> Iterator[EventID]:
    """As auth_followers, all of them; only as many pages are read as are looked at."""
    after = 0
    while page := auth_followers(tx, event_id, after=after, limit=page_size):
        for nid, follower in page:
            after = nid
            yield follower
        if len(page) < page_size:
            return


def next_events(tx: Transaction, event_id: EventID, *, limit: int) -> list[EventID]:
    """The events that are built on this one, by their numbers."""
    rows = tx.all(FOLLOWERS, event_id=event_id, kind=int(EdgeKind.PREV), after=0, limit=limit)
    return [EventID(row[1]) for row in rows]


ABOVE = """
    WITH RECURSIVE above(event_nid) AS (
        SELECT event_nid FROM events WHERE event_id IN :event_ids[text] AND room_id = :room_id
        UNION
        SELECT g.source_nid FROM above a
          JOIN event_edges g ON g.room_id = :room_id AND g.target_nid = a.event_nid AND g.kind = :kind)
    SELECT e.event_id FROM above a JOIN events e ON e.event_nid = a.event_nid WHERE e.event_id IN :among[text]"""


def events_above(
    tx: Transaction, room_id: RoomID, event_ids: Iterable[EventID], *, among: Iterable[EventID]
) -> set[EventID]:
    """Those `among` some events that are among the first ones, or built on them, however far above."""
    rows = tx.all(ABOVE, room_id=room_id, event_ids=list(event_ids), among=list(among), kind=int(EdgeKind.PREV))
    return {EventID(row[0]) for row in rows}


INSERT_SHADOW = """
    INSERT INTO shadowed_heads (room_id, event_id, head_id) VALUES (:room_id, :event_id, :head_id)
    ON CONFLICT (room_id, event_id, head_id) DO NOTHING"""


def insert_shadows(tx: Transaction, room_id: RoomID, event_id: EventID, heads: Iterable[EventID]) -> None:
    """Note on which heads an event stands that is none itself."""
    rows = [{"room_id": room_id, "event_id": event_id, "head_id": head} for head in heads]
    if rows:
        tx.insert_many(INSERT_SHADOW, rows)


HEADS_UNDER = "SELECT DISTINCT head_id FROM shadowed_heads WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def heads_under(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> set[EventID]:
    """The heads on which some events stand that are none themselves."""
    if not event_ids:
        return set()
    return {EventID(row[0]) for row in tx.all(HEADS_UNDER, room_id=room_id, event_ids=list(event_ids))}


FORGET = "DELETE FROM shadowed_heads WHERE room_id = :room_id AND head_id IN :heads[text]"


def forget_heads(tx: Transaction, room_id: RoomID, heads: Iterable[EventID]) -> None:
    """Forget what stands on events that are heads no more."""
    tx.run(FORGET, room_id=room_id, heads=list(heads))


TABLES: Final[tuple[Table, ...]] = (
    Table("event_edges", owners={Owner.ROOM: "room_id"}, retention=Retention.bounded("a few per event of the room")),
    Table(
        "shadowed_heads",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("goes when the head ceases to be one"),
    ),
)
