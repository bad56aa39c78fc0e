"""Events that wait for their ancestors, and the gaps: events that are named and are not here.

Who judges them when nothing lacks any more is services/events/intake.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from homeserver.storage.tables import Owner, Retention, Table

KEPT_MS: Final = 30 * 24 * 3600 * 1000  # what nobody brought the ancestors of for so long will not be judged


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that passed the checks that need no room."""

    event_id: EventID
    pdu: bytes
    form: Form
    received_from: ServerName | None
    received_ms: int


INSERT = """
    INSERT INTO waiting_events (room_id, event_id, pdu, form, received_from, received_ms, size)
    VALUES (:room_id, :event_id, :pdu, :form, :received_from, :received_ms, :size)
    ON CONFLICT (room_id, event_id) DO NOTHING"""


def insert_waiting(tx: Transaction, room_id: RoomID, waiting: WaitingEvent, missing: Iterable[EventID]) -> None:
    """Let an event wait for those that it lacks. Where one of this ID waits already, that one stays."""
    inserted = tx.run(
        INSERT,
        room_id=room_id,
        event_id=waiting.event_id,
        pdu=waiting.pdu,
        form=int(waiting.form),
        received_from=waiting.received_from,
        received_ms=waiting.received_ms,
        size=len(waiting.pdu),
    )
    if inserted:
        insert_gaps(tx, room_id, waiting.event_id, missing)


INSERT_GAP = """
    INSERT INTO event_gaps (room_id, missing_id, event_id) VALUES (:room_id, :missing_id, :event_id)
    ON CONFLICT (room_id, missing_id, event_id) DO NOTHING"""


def insert_gaps(tx: Transaction, room_id: RoomID, event_id: EventID, missing: Iterable[EventID]) -> None:
    """Note that an event names others that are not here."""
    rows = [{"room_id": room_id, "missing_id": one, "event_id": event_id} for one in dict.fromkeys(missing)]
    tx.run_many(INSERT_GAP, rows)


WAITING_IDS = "SELECT event_id FROM waiting_events WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def waiting_ids(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> set[EventID]:
    """Those of the events that wait."""
    return {EventID(row[0]) for row in tx.all(WAITING_IDS, room_id=room_id, event_ids=list(event_ids))}


CLOSE_GAPS = "DELETE FROM event_gaps WHERE room_id = :room_id AND missing_id = :event_id"
DELETE = "DELETE FROM waiting_events WHERE room_id = :room_id AND event_id IN :event_ids[text]"
GAP_FOLLOWERS = "SELECT event_id FROM event_gaps WHERE room_id = :room_id AND missing_id = :event_id"


def gap_followers(tx: Transaction, room_id: RoomID, event_id: EventID) -> list[EventID]:
    """The events that lack this one, stored or waiting."""
    return [EventID(row[0]) for row in tx.all(GAP_FOLLOWERS, room_id=room_id, event_id=event_id)]


ROOMS_WITH_READY = """
    SELECT DISTINCT w.room_id FROM waiting_events w
     WHERE NOT EXISTS (SELECT 1 FROM event_gaps g WHERE g.room_id = w.room_id AND g.event_id = w.event_id)
       AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = w.room_id AND r.is_partial)"""


def rooms_with_ready(tx: Transaction) -> list[RoomID]:
    """The rooms in which an event waits that lacks nothing any more, not even the room's state."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_WITH_READY)]


READY = """
    SELECT w.event_id, w.pdu, w.form, w.received_from, w.received_ms FROM waiting_events w
     WHERE w.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM event_gaps g WHERE g.room_id = w.room_id AND g.event_id = w.event_id)
       AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = w.room_id AND r.is_partial)
     ORDER BY w.received_ms, w.event_id LIMIT :limit"""


def close_gaps(tx: Transaction, room_id: RoomID, event_id: EventID) -> int:
    """An event was stored: it waits no more, for nothing, and nobody lacks it. How many lacked it."""
    forget_waiting(tx, room_id, [event_id])
    return tx.run(CLOSE_GAPS, room_id=room_id, event_id=event_id)


def ready_events(tx: Transaction, room_id: RoomID, *, limit: int) -> list[WaitingEvent]:
    """Waiting events that lack nothing any more, the oldest first: none in a room that is not whole.

    They wait until they are stored.
    """
    return [
        WaitingEvent(EventID(row[0]), bytes(row[1]), Form(row[2]), row[3], row[4])
        for row in tx.all(READY, room_id=room_id, limit=limit)
    ]


MISSING = """
    SELECT DISTINCT g.missing_id FROM event_gaps g WHERE g.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM waiting_events w WHERE w.room_id = g.room_id AND w.event_id = g.missing_id)
     ORDER BY g.missing_id LIMIT :limit"""


def missing_events(tx: Transaction, room_id: RoomID, *, limit: int) -> list[EventID]:
    """Events that are named by others and are nowhere here, not even waiting."""
    return [EventID(row[0]) for row in tx.all(MISSING, room_id=room_id, limit=limit)]


@dataclass(frozen=True, slots=True)
class Gap:
    """An event that is nowhere here, not even waiting, and one that waits for it, with the server that brought that."""

    missing_id: EventID
    event_id: EventID
    received_from: ServerName | None


GAPS = """
    SELECT g.missing_id, w.event_id, w.received_from
      FROM waiting_events w JOIN event_gaps g ON g.room_id = w.room_id AND g.event_id = w.event_id
     WHERE w.room_id = :room_id
       AND NOT EXISTS (SELECT 1 FROM waiting_events o WHERE o.room_id = g.room_id AND o.event_id = g.missing_id)
     ORDER BY w.received_ms DESC, w.event_id, g.missing_id LIMIT :limit"""


def gaps_of_waiting(tx: Transaction, room_id: RoomID, *, limit: int) -> list[Gap]:
    """What keeps events waiting; first what those lack that came last."""
    return [
        Gap(EventID(row[0]), EventID(row[1]), None if row[2] is None else ServerName(row[2]))
        for row in tx.all(GAPS, room_id=room_id, limit=limit)
    ]


@dataclass(frozen=True, slots=True)
class OpenGap:
    """An event that was judged, and one that it names and that has no place here: there the room's history breaks off.

    `place` is that of the event, or of the lowest accepted one above it where it has been refused itself.
    """

    missing_id: EventID
    event_id: EventID
    place: int


OPEN_GAPS = """
    WITH RECURSIVE above(missing_id, event_id, event_nid, verdict, place) AS (
        SELECT g.missing_id, g.event_id, e.event_nid, e.verdict, e.place
          FROM event_gaps g JOIN events e ON e.event_id = g.event_id
         WHERE g.room_id = :room_id AND e.room_id = :room_id AND e.root_before IS NOT NULL
        UNION
        SELECT a.missing_id, a.event_id, s.event_nid, s.verdict, s.place FROM above a
          JOIN event_edges g ON g.room_id = :room_id AND g.target_nid = a.event_nid AND g.kind = 0
          JOIN events s ON s.event_nid = g.source_nid AND s.root_before IS NOT NULL
         WHERE a.verdict <> 0)
    SELECT missing_id, event_id, MIN(place) FROM above WHERE verdict = 0
     GROUP BY missing_id, event_id HAVING MIN(place) <= :upto
     ORDER BY MIN(place) DESC, event_id, missing_id LIMIT :limit"""


def open_gaps(tx: Transaction, room_id: RoomID, *, upto: int, limit: int) -> list[OpenGap]:
    """The gaps in a room's history below a place, or right there, the newest first.

    What only soft-failed events are built on is no part of it.
    """
    rows = tx.all(OPEN_GAPS, room_id=room_id, upto=upto, limit=limit)
    return [OpenGap(EventID(row[0]), EventID(row[1]), row[2]) for row in rows]


PLACE_OVER = """
    WITH RECURSIVE above(event_nid, verdict, place) AS (
        SELECT e.event_nid, e.verdict, e.place
          FROM event_gaps g JOIN events e ON e.event_id = g.event_id
         WHERE g.room_id = :room_id AND g.missing_id IN :event_ids[text]
           AND e.room_id = :room_id AND e.root_before IS NOT NULL
        UNION
        SELECT s.event_nid, s.verdict, s.place FROM above a
          JOIN event_edges g ON g.room_id = :room_id AND g.target_nid = a.event_nid AND g.kind = 0
          JOIN events s ON s.event_nid = g.source_nid AND s.root_before IS NOT NULL
         WHERE a.verdict <> 0)
    SELECT MIN(place) FROM above WHERE verdict = 0"""


def place_over_gaps(tx: Transaction, room_id: RoomID, missing: Sequence[EventID]) -> int | None:
    """The place of the lowest accepted event that is built on some that are missing; None if there is none."""
    row = tx.one(PLACE_OVER, room_id=room_id, event_ids=list(missing)) if missing else None
    return None if row is None else row[0]


ROOMS_WITH_OPEN_GAPS = """
    SELECT DISTINCT g.room_id FROM event_gaps g JOIN events e ON e.event_id = g.event_id
     WHERE e.place IS NOT NULL AND g.room_id > :after
       AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = g.room_id AND r.is_partial)
     ORDER BY g.room_id LIMIT :limit"""


def rooms_with_open_gaps(tx: Transaction, *, after: str, limit: int) -> list[RoomID]:
    """The rooms whose history breaks off somewhere, in the order of their IDs, a page at a time: whole ones alone."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_WITH_OPEN_GAPS, after=after, limit=limit)]


ROOMS_WITH_WAITING = "SELECT DISTINCT room_id FROM waiting_events"


def rooms_with_waiting(tx: Transaction) -> list[RoomID]:
    """The rooms in which an event waits."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_WITH_WAITING)]


FIND = """
    SELECT event_id, pdu, form, received_from, received_ms FROM waiting_events
     WHERE room_id = :room_id AND event_id = :event_id"""


def find_waiting(tx: Transaction, room_id: RoomID, event_id: EventID) -> WaitingEvent | None:
    """An event, if it waits."""
    row = tx.one(FIND, room_id=room_id, event_id=event_id)
    return None if row is None else WaitingEvent(EventID(row[0]), bytes(row[1]), Form(row[2]), row[3], row[4])


ALL = """
    SELECT event_id, pdu, form, received_from, received_ms FROM waiting_events
     WHERE room_id = :room_id ORDER BY received_ms, event_id"""


def all_waiting(tx: Transaction, room_id: RoomID) -> list[WaitingEvent]:
    """Every event that waits in a room, the oldest first."""
    return [
        WaitingEvent(EventID(row[0]), bytes(row[1]), Form(row[2]), row[3], row[4])
        for row in tx.all(ALL, room_id=room_id)
    ]


LACK_STORED = """
    SELECT DISTINCT w.event_id
      FROM waiting_events w JOIN event_gaps g ON g.room_id = w.room_id AND g.event_id = w.event_id
      JOIN events e ON e.event_id = g.missing_id
     WHERE w.room_id = :room_id ORDER BY w.event_id"""


def waiting_for_stored(tx: Transaction, room_id: RoomID) -> list[EventID]:
    """The events that wait for some that came meanwhile, if only as what authorises others."""
    return [EventID(row[0]) for row in tx.all(LACK_STORED, room_id=room_id)]


LACKS_NOT = """
    DELETE FROM event_gaps WHERE room_id = :room_id AND event_id = :event_id AND missing_id IN :found[text]"""


def lacks_not(tx: Transaction, room_id: RoomID, event_id: EventID, found: Sequence[EventID]) -> None:
    """These are no more missing to an event: it asks no more of them than to be known."""
    if found:
        tx.run(LACKS_NOT, room_id=room_id, event_id=event_id, found=list(found))


SIZES = "SELECT event_id, size FROM waiting_events WHERE room_id = :room_id ORDER BY received_ms DESC, event_id DESC"


def trim_waiting(tx: Transaction, room_id: RoomID, *, most: int, most_bytes: int) -> int:
    """Let no more events of a room wait than this; the oldest go. How many went."""
    too_many: list[EventID] = []
    size = 0
    for number, row in enumerate(tx.all(SIZES, room_id=room_id)):
        size += row[1]
        if number >= most or size > most_bytes:
            too_many.append(EventID(row[0]))
    forget_waiting(tx, room_id, too_many)
    return len(too_many)


def forget_waiting(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> None:
    """Let events wait no more, and forget what they lacked."""
    if event_ids:
        tx.run(DELETE, room_id=room_id, event_ids=list(event_ids))
        forget_gaps(tx, room_id, event_ids)


FORGET_GAPS = "DELETE FROM event_gaps WHERE room_id = :room_id AND event_id IN :event_ids[text]"


def forget_gaps(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> None:
    """Forget what events lacked."""
    tx.run(FORGET_GAPS, room_id=room_id, event_ids=list(event_ids))


SWEEP = """
    DELETE FROM waiting_events WHERE (room_id, event_id) IN (
        SELECT w.room_id, w.event_id FROM waiting_events w WHERE w.received_ms < :before LIMIT :limit)"""


def sweep_waiting(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget events whose ancestors never came."""
    return tx.run(SWEEP, before=now_ms - KEPT_MS, limit=limit)


SWEEP_GAPS = """
    DELETE FROM event_gaps WHERE (room_id, missing_id, event_id) IN (
        SELECT g.room_id, g.missing_id, g.event_id FROM event_gaps g
         WHERE NOT EXISTS (SELECT 1 FROM waiting_events w WHERE w.room_id = g.room_id AND w.event_id = g.event_id)
           AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = g.event_id)
         LIMIT :limit)"""


def sweep_gaps(tx: Transaction, _now_ms: int, limit: int) -> int:
    """Forget what was missing to events that are not here any more."""
    return tx.run(SWEEP_GAPS, limit=limit)


TABLES: Final[tuple[Table, ...]] = (
    Table("waiting_events", owners={Owner.ROOM: "room_id"}, retention=Retention.expires(sweep_waiting)),
    Table("event_gaps", owners={Owner.ROOM: "room_id"}, retention=Retention.expires(sweep_gaps)),
)
