"""All rooms that this server knows, as administrators list, search and sort them, and what each takes up.

What a user's own lists of rooms are sorted by is in room_index.py; the public directory is in room_words.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomID
from homeserver.storage.database import Transaction
from homeserver.storage.dialect import like_pattern


@dataclass(frozen=True, slots=True)
class RoomWanted:
    """Which rooms are listed: those of whose name or of one of whose aliases here `text` is a part, or of this ID.

    None leaves a question open. `is_empty`: no user of this server is in the room.
    """

    text: str | None = None
    is_public: bool | None = None
    is_empty: bool | None = None

    def parameters(self) -> dict[str, Any]:  # Any: see Transaction
        """What the statements below ask for."""
        text = "" if self.text is None else self.text
        escaped = like_pattern(text)
        return {
            "has_text": self.text is not None,
            "room_id": text,
            "in_name": f"%{escaped}%",
            "in_alias": f"#%{escaped}%:%",
            "asks_public": self.is_public is not None,
            "is_public": bool(self.is_public),
            "asks_empty": self.is_empty is not None,
            "is_empty": bool(self.is_empty),
        }


SELECTED: Final = """
      FROM rooms r LEFT JOIN room_index x ON x.room_id = r.room_id
     WHERE (NOT :has_text OR r.room_id = :room_id OR LOWER(x.name) LIKE :in_name ESCAPE '!'
            OR EXISTS (SELECT 1 FROM room_aliases a
                        WHERE a.room_id = r.room_id AND LOWER(a.room_alias) LIKE :in_alias ESCAPE '!'))
       AND (NOT :asks_public OR r.is_published = :is_public)
       AND (NOT :asks_empty OR :is_empty = (NOT EXISTS (
            SELECT 1 FROM memberships m WHERE m.room_id = r.room_id AND m.membership = 'join' AND m.is_local)))"""

COUNT = "SELECT COUNT(*)" + SELECTED


def count_rooms(tx: Transaction, wanted: RoomWanted) -> int:
    """How many rooms there are of those that are wanted."""
    row = tx.one(COUNT, **wanted.parameters())
    return 0 if row is None else int(row[0])


ROOTS = "SELECT r.room_id, r.current_root" + SELECTED


def wanted_roots(tx: Transaction, wanted: RoomWanted) -> dict[RoomID, bytes]:
    """All of the rooms that are wanted, and the roots of their current states."""
    return {RoomID(row[0]): bytes(row[1]) for row in tx.all(ROOTS, **wanted.parameters())}


TEXTS: Final = frozenset({"name", "version"})
NUMBERS: Final = frozenset({"joined_members", "joined_local_members", "public", "encryption", "events", "size_bytes"})

# A room without a name comes after those with one, whichever way they are sorted.
PAGE = (
    "SELECT r.room_id"  # noqa: S608 - constants
    + SELECTED
    + """
     ORDER BY CASE WHEN :by = 'name' AND x.name IS NULL THEN 1 ELSE 0 END,
           CASE :by
           WHEN 'joined_members' THEN COALESCE(x.joined_members, 0)
           WHEN 'joined_local_members' THEN (
                SELECT COUNT(*) FROM memberships m
                 WHERE m.room_id = r.room_id AND m.membership = 'join' AND m.is_local)
           WHEN 'public' THEN CASE WHEN r.is_published THEN 1 ELSE 0 END
           WHEN 'encryption' THEN CASE WHEN x.is_encrypted THEN 1 ELSE 0 END
           WHEN 'events' THEN (SELECT COUNT(*) FROM events e WHERE e.room_id = r.room_id AND e.place IS NOT NULL)
           WHEN 'size_bytes' THEN (SELECT COALESCE(SUM(LENGTH(e.pdu)), 0) FROM events e WHERE e.room_id = r.room_id)
           ELSE 0 END * :sign,
           CASE WHEN :sign < 0 THEN NULL WHEN :by = 'name' THEN LOWER(x.name) WHEN :by = 'version' THEN r.version END,
           CASE WHEN :sign > 0 THEN NULL WHEN :by = 'name' THEN LOWER(x.name) WHEN :by = 'version' THEN r.version END
           DESC,
           r.room_id LIMIT :limit OFFSET :skipped"""
)


def sorted_room_ids(
    tx: Transaction, wanted: RoomWanted, *, by: str, descends: bool, skipped: int, limit: int
) -> list[RoomID]:
    """A page of the rooms that are wanted, sorted by one of TEXTS or NUMBERS."""
    sign = -1 if descends else 1
    rows = tx.all(PAGE, **wanted.parameters(), by=by, sign=sign, limit=limit, skipped=skipped)
    return [RoomID(row[0]) for row in rows]


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room and what is kept of it beside its state. `size_bytes` is that of its events."""

    room_id: RoomID
    version: str
    current_root: bytes
    created_ms: int
    is_public: bool
    is_partial: bool
    joined_members: int
    joined_local_members: int
    events: int
    size_bytes: int


ROOMS = """
    SELECT r.room_id, r.version, r.current_root, r.created_ms, r.is_published, r.is_partial,
           COALESCE(x.joined_members, 0),
           (SELECT COUNT(*) FROM memberships m
             WHERE m.room_id = r.room_id AND m.membership = 'join' AND m.is_local),
           (SELECT COUNT(*) FROM events e WHERE e.room_id = r.room_id AND e.place IS NOT NULL),
           (SELECT COALESCE(SUM(LENGTH(e.pdu)), 0) FROM events e WHERE e.room_id = r.room_id)
      FROM rooms r LEFT JOIN room_index x ON x.room_id = r.room_id WHERE r.room_id IN :room_ids[text]"""


def listed_rooms(tx: Transaction, room_ids: Sequence[RoomID]) -> list[ListedRoom]:
    """These rooms, in the order in which they are named; those that are not known are left out."""
    if not room_ids:
        return []
    rows = {RoomID(row[0]): row for row in tx.all(ROOMS, room_ids=list(room_ids))}
    return [_listed(rows[room_id]) for room_id in room_ids if room_id in rows]


LOCAL_DEVICES = """
    SELECT COUNT(*) FROM devices d JOIN memberships m ON m.user_id = d.user_id
     WHERE m.room_id = :room_id AND m.membership = 'join' AND m.is_local"""


def count_local_devices(tx: Transaction, room_id: RoomID) -> int:
    """How many devices those users of this server have who are in the room."""
    row = tx.one(LOCAL_DEVICES, room_id=room_id)
    return 0 if row is None else int(row[0])


REMEMBERS = """
    SELECT 1 FROM memberships WHERE room_id = :room_id AND is_local AND NOT is_forgotten LIMIT 1"""


def is_remembered(tx: Transaction, room_id: RoomID) -> bool:
    """Whether any user of this server has a membership in the room, and has not forgotten it."""
    return tx.one(REMEMBERS, room_id=room_id) is not None


JOINED = """
    SELECT user_id FROM memberships WHERE room_id = :room_id AND membership = 'join' ORDER BY user_id"""


def joined_user_ids(tx: Transaction, room_id: RoomID) -> list[str]:
    """Who is in the room, in the order of their IDs."""
    return [row[0] for row in tx.all(JOINED, room_id=room_id)]


def _listed(row: tuple[Any, ...]) -> ListedRoom:  # Any: a row
    return ListedRoom(
        room_id=RoomID(row[0]),
        version=row[1],
        current_root=bytes(row[2]),
        created_ms=row[3],
        is_public=bool(row[4]),
        is_partial=bool(row[5]),
        joined_members=int(row[6]),
        joined_local_members=int(row[7]),
        events=int(row[8]),
        size_bytes=int(row[9]),
    )
