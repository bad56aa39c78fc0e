"""Rooms: one row each, with the room's heads and its current state root.

The row is what writers of a room compare and swap. Aliases and the directory are in aliases.py; events in events.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.storage.database import Conflict, Transaction
from homeserver.storage.tables import Owner, Retention, Table

PLACE_STEP: Final = 1 << 20  # distance between neighbours in a room's order: room for what is found later


@dataclass(frozen=True, slots=True)
class RoomHead:
    """Where a room stands: what the next event is built on."""

    room_id: RoomID
    version: RoomVersion
    generation: int
    current_root: bytes
    heads: tuple[EventID, ...]
    depth: int
    last_place: int
    is_blocked: bool
    is_partial: bool = False  # not all of its state is known here


FIND_HEAD = """
    SELECT room_id, version, generation, current_root, heads, depth, last_place, is_blocked, is_partial
      FROM rooms WHERE room_id = :room_id"""


def find_head(tx: Transaction, room_id: RoomID) -> RoomHead | None:
    """Where the room stands, or None if this server does not know it."""
    row = tx.one(FIND_HEAD, room_id=room_id)
    if row is None:
        return None
    return RoomHead(
        room_id=RoomID(row[0]),
        version=room_version(row[1]),
        generation=row[2],
        current_root=bytes(row[3]),
        heads=tuple(orjson.loads(row[4])),
        depth=row[5],
        last_place=row[6],
        is_blocked=bool(row[7]),
        is_partial=bool(row[8]),
    )


INSERT_ROOM = """
    INSERT INTO rooms (room_id, version, created_ms, generation, current_root, heads, depth, last_place,
                       is_published, is_blocked, is_partial)
    VALUES (:room_id, :version, :created_ms, 0, :current_root, :heads, :depth, :last_place, :no,
            EXISTS (SELECT 1 FROM blocked_rooms b WHERE b.room_id = :room_id), :is_partial)
    ON CONFLICT (room_id) DO NOTHING"""


def insert_room(tx: Transaction, head: RoomHead, *, created_ms: int) -> None:
    """Begin a room at `head`. Raises Conflict when it exists."""
    inserted = tx.run(
        INSERT_ROOM,
        room_id=head.room_id,
        version=head.version.name,
        created_ms=created_ms,
        current_root=head.current_root,
        heads=orjson.dumps(head.heads),
        depth=head.depth,
        last_place=head.last_place,
        no=False,
        is_partial=head.is_partial,
    )
    if not inserted:
        raise Conflict(head.room_id)


SWAP_HEAD = """
    UPDATE rooms SET generation = :generation + 1, current_root = :current_root, heads = :heads, depth = :depth,
                     last_place = :last_place, is_partial = :is_partial
     WHERE room_id = :room_id AND generation = :generation"""


def swap_head(tx: Transaction, head: RoomHead) -> None:
    """Put `head` in place of the one it was read from. Raises Conflict when the room moved on since."""
    swapped = tx.run(
        SWAP_HEAD,
        room_id=head.room_id,
        generation=head.generation,
        current_root=head.current_root,
        heads=orjson.dumps(head.heads),
        depth=head.depth,
        last_place=head.last_place,
        is_partial=head.is_partial,
    )
    if not swapped:
        raise Conflict(head.room_id)


HOLD = "UPDATE rooms SET generation = generation + 1 WHERE room_id = :room_id"


def hold_room(tx: Transaction, room_id: RoomID) -> None:
    """Keep other writers of the room waiting until this transaction ends; those who read its head begin anew."""
    tx.run(HOLD, room_id=room_id)


SET_PUBLISHED = "UPDATE rooms SET is_published = :is_published WHERE room_id = :room_id"


def set_published(tx: Transaction, room_id: RoomID, *, is_published: bool) -> None:
    """Show the room in the public directory, or hide it."""
    tx.run(SET_PUBLISHED, room_id=room_id, is_published=is_published)


FIND_PUBLISHED = "SELECT is_published FROM rooms WHERE room_id = :room_id"


def find_published(tx: Transaction, room_id: RoomID) -> bool | None:
    """Whether the room is in the public directory; None if this server does not know the room."""
    row = tx.one(FIND_PUBLISHED, room_id=room_id)
    return None if row is None else bool(row[0])


PUBLISHED_AMONG = "SELECT room_id FROM rooms WHERE room_id IN :room_ids[text] AND is_published"


def published_among(tx: Transaction, room_ids: Sequence[str]) -> set[RoomID]:
    """Those of the rooms that are in the public directory."""
    if not room_ids:
        return set()
    return {RoomID(row[0]) for row in tx.all(PUBLISHED_AMONG, room_ids=list(room_ids))}


@dataclass(frozen=True, slots=True)
class PublishedRoom:
    """A room of the public directory."""

    room_id: RoomID
    version: RoomVersion
    current_root: bytes
    joined_members: int


INSERT_ROOT = """
    INSERT INTO room_roots (room_id, log_position, root, written_ms)
    VALUES (:room_id, :log_position, :root, :written_ms)"""


def insert_root(tx: Transaction, room_id: RoomID, *, log_position: int, root: bytes, written_ms: int) -> None:
    """Note that the room's current state became `root` at `log_position`."""
    row = {"room_id": room_id, "log_position": log_position, "root": root, "written_ms": written_ms}
    tx.insert_many(INSERT_ROOT, [row])


REPLACE_ROOT = """
    UPDATE room_roots SET root = :right
     WHERE room_id = :room_id AND log_position >= :from_position AND root = :known"""


def replace_roots(tx: Transaction, room_id: RoomID, right: Mapping[bytes, bytes], *, from_position: int) -> None:
    """Note what the room's current states were that were known in part: by each root, the root of the whole state.

    From a log position on: an older state of which the same is known need not be the same.
    """
    rows = [
        {"room_id": room_id, "known": known, "right": root, "from_position": from_position}
        for known, root in right.items()
    ]
    tx.run_many(REPLACE_ROOT, rows)


ROOTS_AT = """
    SELECT r.room_id, r.root FROM room_roots r
     WHERE r.room_id IN :room_ids[text]
       AND r.log_position = (SELECT MAX(o.log_position) FROM room_roots o
                              WHERE o.room_id = r.room_id AND o.log_position <= :at)"""


def roots_at(tx: Transaction, room_ids: Sequence[str], *, at: int) -> dict[RoomID, bytes]:
    """Each room's current root as of log position `at`; rooms that were not there yet are left out."""
    return {RoomID(row[0]): bytes(row[1]) for row in tx.all(ROOTS_AT, room_ids=list(room_ids), at=at)}


SWEEP_ROOTS = """
    DELETE FROM room_roots WHERE (room_id, log_position) IN (
        SELECT r.room_id, r.log_position FROM room_roots r
         WHERE r.written_ms < :before
           AND r.log_position < (SELECT MAX(n.log_position) FROM room_roots n
                                  WHERE n.room_id = r.room_id AND n.written_ms < :before)
         LIMIT :limit)"""


MOVE_HORIZON = """
    UPDATE sync_horizon SET log_position =
        (SELECT MAX(log_position) FROM room_roots WHERE written_ms < :before)
     WHERE log_position < (SELECT MAX(log_position) FROM room_roots WHERE written_ms < :before)"""


def sweep_roots(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget states that only sync tokens older than the horizon would ask for; the newest older one stays."""
    before = now_ms - SYNC_HORIZON_MS
    tx.run(MOVE_HORIZON, before=before)
    return tx.run(SWEEP_ROOTS, before=before, limit=limit)


FIND_HORIZON = "SELECT log_position FROM sync_horizon"


def sync_horizon(tx: Transaction) -> int:
    """The oldest log position from which a sync can go on; for an older token it begins anew."""
    row = tx.one(FIND_HORIZON)
    return 0 if row is None else row[0]


SYNC_HORIZON_MS: Final = 60 * 24 * 3600 * 1000  # a sync token older than this gets an initial sync

TABLES: Final[tuple[Table, ...]] = (
    Table("rooms", owners={Owner.ROOM: "room_id"}, retention=Retention.bounded("one row per room")),
    Table("room_roots", owners={Owner.ROOM: "room_id"}, retention=Retention.expires(sweep_roots)),
    Table("sync_horizon", retention=Retention.bounded("one row")),
)
