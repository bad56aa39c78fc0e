"""Moderation policy lists that are followed, and what was done because of them.

Their rules are in the state of their rooms: core/policy_rules.py. What they do is decided in services/admin/.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

MOST_GIVEN_ROOMS: Final = 1_000


class OnRooms(Enum):
    """In which rooms a list is carried out."""

    NONE = "none"
    GIVEN = "given"
    ALL = "all"  # in which a user of this server may


@dataclass(frozen=True, slots=True)
class PolicyList:
    """A list that is followed. `rooms` are those that it protects where they are given."""

    room_id: RoomID
    on_server: bool
    on_rooms: OnRooms
    rooms: frozenset[RoomID]
    subscribed_by: UserID | None  # None: the owner of the server
    subscribed_ms: int
    applied: bytes | None = None
    ends: bool = False  # it is being undone

    def protects(self, room_id: RoomID) -> bool:
        """Whether whom it names is banned from a room."""
        if self.ends:
            return False
        return self.on_server or self.on_rooms is OnRooms.ALL or room_id in self.rooms

    @property
    def acts(self) -> bool:
        """Whether it does anything, and is not only looked at."""
        return not self.ends and (self.on_server or self.on_rooms is not OnRooms.NONE)


STORE = """
    INSERT INTO policy_lists (room_id, on_server, on_rooms, subscribed_by, subscribed_ms, applied, ends)
    VALUES (:room_id, :on_server, :on_rooms, :subscribed_by, :subscribed_ms, :applied, :ends)
    ON CONFLICT (room_id) DO UPDATE SET
        on_server = excluded.on_server, on_rooms = excluded.on_rooms, subscribed_by = excluded.subscribed_by,
        subscribed_ms = excluded.subscribed_ms, applied = excluded.applied, ends = excluded.ends"""
DELETE_ROOMS = "DELETE FROM policy_list_rooms WHERE list_id = :list_id"
INSERT_ROOM = "INSERT INTO policy_list_rooms (list_id, room_id) VALUES (:list_id, :room_id)"


def store_policy_list(tx: Transaction, followed: PolicyList) -> None:
    """Follow a list, or change what it does."""
    tx.run(
        STORE,
        room_id=followed.room_id,
        on_server=followed.on_server,
        on_rooms=followed.on_rooms.value,
        subscribed_by=followed.subscribed_by,
        subscribed_ms=followed.subscribed_ms,
        applied=followed.applied,
        ends=followed.ends,
    )
    tx.run(DELETE_ROOMS, list_id=followed.room_id)
    tx.insert_many(INSERT_ROOM, [{"list_id": followed.room_id, "room_id": each} for each in sorted(followed.rooms)])


DELETE = "DELETE FROM policy_lists WHERE room_id = :list_id"
DELETE_DEEDS = "DELETE FROM policy_deeds WHERE list_id = :list_id"


def delete_policy_list(tx: Transaction, list_id: RoomID) -> bool:
    """Follow a list no more, and forget what was done because of it. False when it was not followed."""
    tx.run(DELETE_ROOMS, list_id=list_id)
    tx.run(DELETE_DEEDS, list_id=list_id)
    return tx.run(DELETE, list_id=list_id) > 0


DELETE_ROOMS_OF_NONE = """
    DELETE FROM policy_list_rooms
     WHERE NOT EXISTS (SELECT 1 FROM policy_lists l WHERE l.room_id = policy_list_rooms.list_id)"""
DELETE_DEEDS_OF_NONE = """
    DELETE FROM policy_deeds WHERE NOT EXISTS (SELECT 1 FROM policy_lists l WHERE l.room_id = policy_deeds.list_id)"""


def forget_deleted_lists(tx: Transaction) -> None:
    """Forget what is left of lists whose rooms were deleted."""
    tx.run(DELETE_ROOMS_OF_NONE)
    tx.run(DELETE_DEEDS_OF_NONE)


SET_APPLIED = "UPDATE policy_lists SET applied = :applied WHERE room_id = :list_id"


def set_applied(tx: Transaction, list_id: RoomID, applied: bytes) -> None:
    """Note that the rules of this digest were carried out."""
    tx.run(SET_APPLIED, list_id=list_id, applied=applied)


LISTS = """
    SELECT room_id, on_server, on_rooms, subscribed_by, subscribed_ms, applied, ends FROM policy_lists
     ORDER BY subscribed_ms, room_id"""
LIST_ROOMS = "SELECT list_id, room_id FROM policy_list_rooms"


def policy_lists(tx: Transaction) -> list[PolicyList]:
    """All lists that are followed, the oldest first."""
    rooms: dict[str, set[RoomID]] = {}
    for list_id, room_id in tx.all(LIST_ROOMS):
        rooms.setdefault(list_id, set()).add(RoomID(room_id))
    return [_list(row, frozenset(rooms.get(row[0], ()))) for row in tx.all(LISTS)]


def _list(row: tuple[Any, ...], rooms: frozenset[RoomID]) -> PolicyList:  # Any: a row
    return PolicyList(
        room_id=RoomID(row[0]),
        on_server=bool(row[1]),
        on_rooms=OnRooms(row[2]),
        rooms=rooms,
        subscribed_by=None if row[3] is None else UserID(row[3]),
        subscribed_ms=row[4],
        applied=None if row[5] is None else bytes(row[5]),
        ends=bool(row[6]),
    )


class DeedKind(Enum):
    """What a list has done."""

    BAN = "ban"  # a user from a room
    ACL = "acl"  # a pattern of servers in a room's m.room.server_acl
    BLOCK = "block"  # a room
    REFUSE = "refuse"  # a pattern of servers, by this server


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done because of a list. `room_id` is None for the whole server."""

    kind: DeedKind
    room_id: RoomID | None
    entity: str
    list_id: RoomID


# What another list has done as well stays the deed of the first.
INSERT_DEED = """
    INSERT INTO policy_deeds (kind, room_id, entity, list_id, done_ms)
    VALUES (:kind, :room_id, :entity, :list_id, :done_ms) ON CONFLICT (kind, room_id, entity) DO NOTHING"""


def store_deeds(tx: Transaction, deeds: Sequence[Deed], *, now_ms: int) -> None:
    """Note what is done now."""
    tx.run_many(INSERT_DEED, [{**_key(deed), "list_id": deed.list_id, "done_ms": now_ms} for deed in deeds])


DELETE_DEED = "DELETE FROM policy_deeds WHERE kind = :kind AND room_id = :room_id AND entity = :entity"


def delete_deeds(tx: Transaction, deeds: Sequence[Deed]) -> None:
    """Forget what was undone."""
    tx.run_many(DELETE_DEED, [_key(deed) for deed in deeds])


MOVE_DEED = """
    UPDATE policy_deeds SET list_id = :list_id WHERE kind = :kind AND room_id = :room_id AND entity = :entity"""


def move_deeds(tx: Transaction, deeds: Sequence[Deed]) -> None:
    """Let these be deeds of the lists that they name now."""
    tx.run_many(MOVE_DEED, [{**_key(deed), "list_id": deed.list_id} for deed in deeds])


DEEDS_AFTER = """
    SELECT kind, room_id, entity, list_id FROM policy_deeds WHERE (kind, room_id, entity) > (:kind, :room_id, :entity)
     ORDER BY kind, room_id, entity LIMIT :limit"""


def deeds_after(tx: Transaction, after: Deed | None, *, limit: int) -> list[Deed]:
    """Deeds of all lists, in an order of their own, from the first or from the one after `after`."""
    key = {"kind": "", "room_id": "", "entity": ""} if after is None else _key(after)
    rows = tx.all(DEEDS_AFTER, **key, limit=limit)
    return [Deed(DeedKind(row[0]), RoomID(row[1]) if row[1] else None, row[2], RoomID(row[3])) for row in rows]


COUNTS = "SELECT list_id, kind, COUNT(*) FROM policy_deeds GROUP BY list_id, kind"


def count_deeds(tx: Transaction) -> dict[RoomID, dict[DeedKind, int]]:
    """How much of each kind each list has done that was not undone."""
    counts: dict[RoomID, dict[DeedKind, int]] = {}
    for list_id, kind, count in tx.all(COUNTS):
        counts.setdefault(RoomID(list_id), {})[DeedKind(kind)] = count
    return counts


def _key(deed: Deed) -> dict[str, str]:
    return {"kind": deed.kind.value, "room_id": deed.room_id or "", "entity": deed.entity}


# Whom a list may be about


ROOMS_OF_SERVER = """
    SELECT room_id FROM room_servers
     WHERE server = :server AND until_position IS NULL AND room_id > :after ORDER BY room_id LIMIT :limit"""


def rooms_of_server(tx: Transaction, server: ServerName, *, after: str, limit: int) -> list[RoomID]:
    """The rooms that a server is in, in the order of their IDs, those after `after`."""
    return [RoomID(row[0]) for row in tx.all(ROOMS_OF_SERVER, server=server, after=after, limit=limit)]


KNOWN_ROOMS = "SELECT room_id, is_blocked FROM rooms WHERE room_id > :after ORDER BY room_id LIMIT :limit"


def known_rooms(tx: Transaction, *, after: str, limit: int) -> dict[RoomID, bool]:
    """The rooms that are known here, in the order of their IDs, those after `after`, and whether each is blocked."""
    return {RoomID(row[0]): bool(row[1]) for row in tx.all(KNOWN_ROOMS, after=after, limit=limit)}


BLOCKED_AMONG = "SELECT room_id FROM blocked_rooms WHERE room_id IN :room_ids[text]"


def blocked_among(tx: Transaction, room_ids: Collection[RoomID]) -> set[RoomID]:
    """Those of the rooms that are blocked."""
    return {RoomID(row[0]) for row in tx.all(BLOCKED_AMONG, room_ids=list(room_ids))} if room_ids else set()


PRESENT = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND user_id > :after AND membership IN ('join', 'invite', 'knock')
     ORDER BY user_id LIMIT :limit"""


def present_users(tx: Transaction, room_id: RoomID, *, after: str, limit: int) -> list[UserID]:
    """Who is in a room, invited to it or knocks, in the order of their IDs, those after `after`."""
    return [UserID(row[0]) for row in tx.all(PRESENT, room_id=room_id, after=after, limit=limit)]


CAME = """
    SELECT DISTINCT room_id, user_id FROM membership_changes
     WHERE log_position > :after AND membership IN ('join', 'invite', 'knock')"""


def came_since(tx: Transaction, after: int) -> list[tuple[RoomID, UserID]]:
    """Who came into which room, was invited or knocked after a log position."""
    return [(RoomID(row[0]), UserID(row[1])) for row in tx.all(CAME, after=after)]


POSITION = "SELECT position FROM policy_position WHERE one = 1"
NOTE_POSITION = """
    INSERT INTO policy_position (one, position) VALUES (1, :position)
    ON CONFLICT (one) DO UPDATE SET position = excluded.position"""


def watched_position(tx: Transaction) -> int | None:
    """Up to which log position whoever came was held against the lists; None if nobody ever was."""
    row = tx.one(POSITION)
    return None if row is None else int(row[0])


def note_watched(tx: Transaction, position: int) -> None:
    """Note up to which log position whoever came was held against the lists."""
    tx.run(NOTE_POSITION, position=position)


TABLES: Final[tuple[Table, ...]] = (
    Table("policy_lists", owners={Owner.ROOM: "room_id"}, retention=Retention.bounded("one row per list")),
    Table(
        "policy_list_rooms",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded(f"{MOST_GIVEN_ROOMS} per list"),
    ),
    # A room without an ID is the whole server.
    Table(
        "policy_deeds",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.bounded("one row per ban, block or pattern that a list has brought about"),
    ),
    Table("policy_position", retention=Retention.bounded("one row")),
)
