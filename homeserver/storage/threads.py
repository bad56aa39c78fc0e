"""The threads of rooms, and where the newest event of each is shown. Spec: client-server-api/#threading

Which events are in a thread is in relations.py: what is here follows from it, and spares lists of threads to read all.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

NOTE = """
    INSERT INTO threads (room_id, root_id, latest_place) VALUES (:room_id, :root_id, :place)
    ON CONFLICT (room_id, root_id) DO UPDATE SET latest_place = excluded.latest_place
     WHERE excluded.latest_place > threads.latest_place"""


def note_thread_event(tx: Transaction, room_id: RoomID, root_id: EventID, place: int) -> None:
    """An event of a thread is shown at a place."""
    tx.run(NOTE, room_id=room_id, root_id=root_id, place=place)


NEWEST = """
    SELECT MAX(place) FROM relations
     WHERE room_id = :room_id AND relates_to = :root_id AND rel_type = 'm.thread'"""
MOVE = "UPDATE threads SET latest_place = :place WHERE room_id = :room_id AND root_id = :root_id"
REMOVE = "DELETE FROM threads WHERE room_id = :room_id AND root_id = :root_id"


def renew_thread(tx: Transaction, room_id: RoomID, root_id: EventID) -> None:
    """An event left a thread, redacted or deleted: see what is the newest now, if anything is left."""
    row = tx.one(NEWEST, room_id=room_id, root_id=root_id)
    if row is None or row[0] is None:
        tx.run(REMOVE, room_id=room_id, root_id=root_id)
    else:
        tx.run(MOVE, room_id=room_id, root_id=root_id, place=row[0])


@dataclass(frozen=True, slots=True)
class ThreadWish:
    """Which threads of a room are wanted: those with the user in them, or (None) all.

    The newest event of a thread is that at `upto` or before it which nobody who is `ignored` has sent.
    """

    room_id: RoomID
    participant: UserID | None
    upto: int
    ignored: Collection[str]


_WITH_USER: Final = """
    (:user_id IS NULL
     OR EXISTS (SELECT 1 FROM relations p WHERE p.room_id = :room_id AND p.relates_to = t.root_id
                   AND p.sender = :user_id AND p.rel_type = 'm.thread')
     OR EXISTS (SELECT 1 FROM events e
                 WHERE e.event_id = t.root_id AND e.room_id = :room_id AND e.sender = :user_id))"""
LATEST_FIRST = f"""
    SELECT t.root_id, t.latest_place FROM threads t
     WHERE t.room_id = :room_id AND t.latest_place <= :before AND {_WITH_USER}
     ORDER BY t.latest_place DESC LIMIT :limit"""  # noqa: S608 - the condition is a constant
# For a reader who does not see all that was sent: the newest that is seen has to be found in each thread.
LATEST_SEEN_FIRST = f"""
    SELECT root_id, latest FROM (
        SELECT t.root_id, (SELECT MAX(c.place) FROM relations c
                            WHERE c.room_id = :room_id AND c.relates_to = t.root_id AND c.rel_type = 'm.thread'
                              AND c.place <= :upto AND c.sender NOT IN :ignored[text]) AS latest
          FROM threads t WHERE t.room_id = :room_id AND {_WITH_USER}) AS seen
     WHERE latest <= :before ORDER BY latest DESC LIMIT :limit"""  # noqa: S608 - as above


def latest_threads(
    tx: Transaction, wish: ThreadWish, *, before: int, limit: int, sees_all: bool
) -> Sequence[tuple[EventID, int]]:
    """The roots of threads whose newest event is shown at `before` or earlier, with its place, the latest first.

    `sees_all`: nothing that was sent is hidden from the reader, neither by `upto` nor by `ignored`.
    """
    given: dict[str, Any] = {
        "room_id": wish.room_id,
        "user_id": wish.participant,
        "before": before,
        "limit": limit,
    }
    if sees_all:
        rows = tx.all(LATEST_FIRST, **given)
    else:
        rows = tx.all(LATEST_SEEN_FIRST, **given, upto=wish.upto, ignored=list(wish.ignored))
    return [(EventID(root_id), place) for root_id, place in rows]


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "threads",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("one row per thread; goes with the last event in it"),
    ),
)
