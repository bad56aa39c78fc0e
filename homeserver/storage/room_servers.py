"""Which servers are in which room, now and before: those that have joined members there.

The rows follow the memberships (memberships.py) and are written with them, by services/events/persistence.py. What a
server may see or do in a room is decided in services/federation/.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class Stay:
    """A server was in a room from `since_position` on, until (not with) `until_position`: None while it is."""

    room_id: RoomID
    server: ServerName
    since_position: int
    until_position: int | None

    def covers(self, position: int) -> bool:
        """Whether the server was in the room once what is at that position was written."""
        return self.since_position <= position and (self.until_position is None or position < self.until_position)


CURRENT = """
    SELECT server, since_position, joined_count, is_given FROM room_servers
     WHERE room_id = :room_id AND until_position IS NULL AND server IN :servers[text]"""
STORE = """
    INSERT INTO room_servers (room_id, server, since_position, until_position, joined_count, is_given, ended_ms)
    VALUES (:room_id, :server, :since_position, :until_position, :joined_count, :is_given, :ended_ms)
    ON CONFLICT (room_id, server, since_position) DO UPDATE SET
        until_position = excluded.until_position, joined_count = excluded.joined_count,
        is_given = excluded.is_given, ended_ms = excluded.ended_ms"""


def count_members(
    tx: Transaction, room_id: RoomID, changes: Mapping[ServerName, int], *, position: int, now_ms: int
) -> None:
    """By how many the joined members of each server have become more, or fewer, at a log position."""
    moved = {server: change for server, change in changes.items() if change}
    if not moved:
        return
    current = {row[0]: row[1:] for row in tx.all(CURRENT, room_id=room_id, servers=list(moved))}
    rows = []
    for server, change in moved.items():
        since, before, is_given = current.get(server, (position, 0, False))
        count = max(before + change, 0)
        has_left = not count and not is_given
        rows.append(
            {
                "room_id": room_id,
                "server": server,
                "since_position": since,
                "until_position": position if has_left else None,
                "joined_count": count,
                "is_given": bool(is_given),
                "ended_ms": now_ms if has_left else None,
            }
        )
    tx.insert_many(STORE, rows)


def give_servers(tx: Transaction, room_id: RoomID, servers: Collection[ServerName], *, position: int) -> None:
    """Take another server's word that these are in the room, while not all of its members are known here."""
    current = {row[0]: row[1:] for row in tx.all(CURRENT, room_id=room_id, servers=list(servers))}
    rows = []
    for server in servers:
        since, count, _ = current.get(server, (position, 0, False))
        rows.append(
            {
                "room_id": room_id,
                "server": server,
                "since_position": since,
                "until_position": None,
                "joined_count": count,
                "is_given": True,
                "ended_ms": None,
            }
        )
    tx.insert_many(STORE, rows)


END_GIVEN = """
    UPDATE room_servers SET until_position = :position, ended_ms = :now_ms, is_given = :no
     WHERE room_id = :room_id AND is_given AND joined_count = 0 AND until_position IS NULL"""
KEEP_GIVEN = "UPDATE room_servers SET is_given = :no WHERE room_id = :room_id AND is_given"


def settle_given_servers(tx: Transaction, room_id: RoomID, *, position: int, now_ms: int) -> None:
    """Go by the members alone from here on: all of them are known now."""
    tx.run(END_GIVEN, room_id=room_id, position=position, now_ms=now_ms, no=False)
    tx.run(KEEP_GIVEN, room_id=room_id, no=False)


IN_ROOM = "SELECT server FROM room_servers WHERE room_id = :room_id AND until_position IS NULL"


def servers_in_room(tx: Transaction, room_id: RoomID) -> set[ServerName]:
    """The servers that are in the room now, this one too if it is."""
    return {ServerName(row[0]) for row in tx.all(IN_ROOM, room_id=room_id)}


LARGEST = """
    SELECT server FROM room_servers WHERE room_id = :room_id AND until_position IS NULL AND server <> :but
     ORDER BY joined_count DESC, server LIMIT :limit"""


def largest_servers(tx: Transaction, room_id: RoomID, *, but: ServerName, limit: int) -> list[ServerName]:
    """The servers in the room, `but` one, those with the most members first."""
    return [ServerName(row[0]) for row in tx.all(LARGEST, room_id=room_id, but=but, limit=limit)]


IS_IN_ROOM = """
    SELECT 1 FROM room_servers WHERE room_id = :room_id AND server = :server AND until_position IS NULL"""


def is_server_in_room(tx: Transaction, room_id: RoomID, server: ServerName) -> bool:
    """Whether the server is in the room now."""
    return tx.one(IS_IN_ROOM, room_id=room_id, server=server) is not None


AT_POSITION = """
    SELECT server FROM room_servers
     WHERE room_id = :room_id AND since_position <= :position
       AND (until_position IS NULL OR until_position > :position)"""


def servers_at(tx: Transaction, room_id: RoomID, position: int) -> set[ServerName]:
    """The servers that were in the room once what is at this log position was written."""
    return {ServerName(row[0]) for row in tx.all(AT_POSITION, room_id=room_id, position=position)}


STAYS = """
    SELECT room_id, server, since_position, until_position FROM room_servers
     WHERE room_id IN :room_ids[text] AND (until_position IS NULL OR until_position > :after)"""


def stays_in_rooms(tx: Transaction, room_ids: Sequence[RoomID], *, after: int) -> list[Stay]:
    """Which servers were in each of the rooms, and when: those that were there after a log position, or are."""
    if not room_ids:
        return []
    rows = tx.all(STAYS, room_ids=list(room_ids), after=after)
    return [Stay(RoomID(row[0]), ServerName(row[1]), row[2], row[3]) for row in rows]


SHARES = """
    SELECT 1 FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND s.server = :server AND s.until_position IS NULL"""


def shares_room(tx: Transaction, server: ServerName, user_id: UserID) -> bool:
    """Whether the server is in a room in which the user is joined."""
    return tx.one(SHARES, user_id=user_id, server=server) is not None


SHARED_WITH = """
    SELECT DISTINCT m.user_id, s.server FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
     WHERE m.user_id IN :user_ids[text] AND m.membership = 'join' AND s.until_position IS NULL
       AND s.server <> :server"""


def servers_sharing_rooms(
    tx: Transaction, user_ids: Collection[UserID], *, but: ServerName
) -> dict[UserID, set[ServerName]]:
    """For each of the users, the servers that are in a room in which the user is joined, `but` one."""
    sharing: dict[UserID, set[ServerName]] = {}
    if user_ids:
        for user_id, server in tx.all(SHARED_WITH, user_ids=list(user_ids), server=but):
            sharing.setdefault(UserID(user_id), set()).add(ServerName(server))
    return sharing


SHARED_BESIDE = """
    SELECT DISTINCT s.server FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND m.room_id <> :room_id AND s.until_position IS NULL"""


def servers_sharing_other_rooms(tx: Transaction, user_id: UserID, room_id: RoomID) -> set[ServerName]:
    """The servers that are in a room, but for this one, in which the user is joined."""
    return {ServerName(row[0]) for row in tx.all(SHARED_BESIDE, user_id=user_id, room_id=room_id)}


HAS_OTHERS = """
    SELECT 1 FROM memberships m JOIN room_servers s ON s.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND s.until_position IS NULL AND s.server <> :server
     LIMIT 1"""


def shares_room_with_others(tx: Transaction, user_id: UserID, server: ServerName) -> bool:
    """Whether the user is joined to a room in which there is any server but this one."""
    return tx.one(HAS_OTHERS, user_id=user_id, server=server) is not None


SWEEP = """
    DELETE FROM room_servers WHERE (room_id, server, since_position) IN (
        SELECT room_id, server, since_position FROM room_servers WHERE ended_ms < :before LIMIT :limit)"""


def sweep_stays(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget which servers were in a room long ago."""
    return tx.run(SWEEP, before=now_ms - SYNC_HORIZON_MS, limit=limit)


def member_changes(steps: Iterable[tuple[ServerName | None, str | None, str | None]]) -> dict[ServerName, int]:
    """What memberships that went from one to another, by the server of their user, mean for `count_members`."""
    changes: dict[ServerName, int] = {}
    for server, before, after in steps:
        if server is not None and (before == "join") != (after == "join"):
            changes[server] = changes.get(server, 0) + (1 if after == "join" else -1)
    return changes


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "room_servers",
        owners={Owner.ROOM: "room_id"},
        retention=Retention.expires(sweep_stays),
    ),
)
