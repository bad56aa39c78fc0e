"""Who and which servers share rooms with a user, as far as small signals go: within bounds, whoever is in what.

The rows are those of memberships.py and room_servers.py, which answer the same without bounds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import local_members


@dataclass(frozen=True, slots=True)
class Reach:
    """How far signals go: of a user's rooms those with the fewest members of this server, none with too many."""

    rooms: int
    members: int  # of this server, in a room that counts
    users: int
    servers: int  # in all, and in a room that counts


COUNTED = """
    SELECT m.room_id FROM memberships m JOIN room_servers own ON own.room_id = m.room_id
     WHERE m.user_id = :user_id AND m.membership = 'join' AND own.server = :server AND own.until_position IS NULL
       AND own.joined_count <= :members ORDER BY own.joined_count, m.room_id LIMIT :rooms"""

USERS = f"""
    SELECT DISTINCT user_id FROM memberships
     WHERE room_id IN ({COUNTED}) AND membership = 'join' AND is_local LIMIT :users"""  # noqa: S608 - a constant


def local_users_near(tx: Transaction, user_id: UserID, server: ServerName, reach: Reach) -> list[UserID]:
    """Users of this server who share a room with the user, who is one of them if local and in any."""
    rows = tx.all(USERS, user_id=user_id, server=server, members=reach.members, rooms=reach.rooms, users=reach.users)
    return [UserID(row[0]) for row in rows]


SERVERS = f"""
    SELECT DISTINCT server FROM room_servers
     WHERE until_position IS NULL AND server <> :server AND room_id IN (
        SELECT counted.room_id FROM ({COUNTED}) AS counted
         WHERE (SELECT COUNT(*) FROM (
            SELECT 1 FROM room_servers there
             WHERE there.room_id = counted.room_id AND there.until_position IS NULL LIMIT :too_many) AS few)
               < :too_many)
     LIMIT :servers"""  # noqa: S608 - a constant


def servers_near(tx: Transaction, user_id: UserID, server: ServerName, reach: Reach) -> list[ServerName]:
    """The other servers that are in a room with the user, which is no room with more servers than these may be."""
    rows = tx.all(
        SERVERS,
        user_id=user_id,
        server=server,
        members=reach.members,
        rooms=reach.rooms,
        servers=reach.servers,
        too_many=reach.servers + 2,
    )
    return [ServerName(row[0]) for row in rows]


AMONG = f"""
    SELECT DISTINCT user_id FROM memberships
     WHERE user_id IN :others[text] AND membership = 'join' AND room_id IN ({COUNTED})"""  # noqa: S608 - a constant


def users_near_among(
    tx: Transaction, user_id: UserID, others: Collection[UserID], server: ServerName, reach: Reach
) -> set[UserID]:
    """Those of the others who share a room with the user."""
    if not others:
        return set()
    rows = tx.all(AMONG, user_id=user_id, others=list(others), server=server, members=reach.members, rooms=reach.rooms)
    return {UserID(row[0]) for row in rows}


@dataclass(frozen=True, slots=True)
class RoomPeople:
    """Who is in a room, and which other servers: nobody and none, if there are too many."""

    local: Sequence[UserID] = ()
    remote: Sequence[UserID] = ()
    servers: Sequence[ServerName] = ()


OWN_COUNT = """
    SELECT joined_count FROM room_servers
     WHERE room_id = :room_id AND server = :server AND until_position IS NULL"""
REMOTE = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND membership = 'join' AND NOT is_local LIMIT :users"""
OTHERS = """
    SELECT server FROM room_servers
     WHERE room_id = :room_id AND until_position IS NULL AND server <> :server LIMIT :too_many"""


def people_of_room(tx: Transaction, room_id: RoomID, server: ServerName, reach: Reach) -> RoomPeople:
    """Who is joined to the room; of the users of other servers no more than `reach.users`, whichever."""
    row = tx.one(OWN_COUNT, room_id=room_id, server=server)
    if row is None or row[0] > reach.members:
        return RoomPeople()
    remote = tx.all(REMOTE, room_id=room_id, users=reach.users)
    servers = tx.all(OTHERS, room_id=room_id, server=server, too_many=reach.servers + 2)
    return RoomPeople(
        tuple(local_members(tx, room_id)),
        [UserID(row[0]) for row in remote],
        [ServerName(row[0]) for row in servers] if len(servers) <= reach.servers else (),
    )
