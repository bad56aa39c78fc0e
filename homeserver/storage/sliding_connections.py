"""What clients that follow windows of their lists of rooms were told: by connection, answer and room.

A client shows by the number that it comes with which answer it has. What the answer before told is kept beside the
newest until then, since an answer may be lost. What is told when is decided in services/sync/.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.required_state import RequiredState
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.tables import Owner, Retention, Table

MOST_CONNECTIONS: Final = 8  # per device; beyond them, those that were written to longest ago go
MOST_REQUIRED_STATES_BYTES: Final = 256 * 1024  # of one connection
NUMBERS: Final = "sliding_connection"


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    """Whose connection it is, and which: clients name theirs. The device is empty for who has none."""

    user_id: UserID
    device_id: str
    conn_id: str


@dataclass(frozen=True, slots=True)
class SentRoom:
    """What a client was told of a room: all of it, or (`upto`) what happened up to a log position.

    `timeline_limit`: it has so many of the newest events, if there are as many. `required_state`: it has what this
    asks for of the room's state.
    """

    upto: int | None
    timeline_limit: int
    required_state: RequiredState


SentRooms = Mapping[RoomID, SentRoom]

FIND = """
    SELECT connection_nid, acknowledged, newest, required_states FROM sliding_connections
     WHERE user_id = :user_id AND device_id = :device_id AND conn_id = :conn_id"""
ROOMS = """
    SELECT room_id, upto_position, timeline_limit, required_state FROM sliding_rooms
     WHERE user_id = :user_id AND device_id = :device_id AND connection_nid = :nid AND number <= :number
     ORDER BY room_id, number"""


@dataclass(frozen=True, slots=True)
class _Connection:
    nid: int
    acknowledged: int
    newest: int
    required_states: list[RequiredState]


def find_sent_rooms(tx: Transaction, key: ConnectionKey, *, nid: int, number: int) -> SentRooms | None:
    """What the client was told that comes with an answer's number; None if that is not known any more."""
    connection = _find(tx, key)
    if connection is None or connection.nid != nid or number not in (connection.acknowledged, connection.newest):
        return None
    rows = tx.all(ROOMS, user_id=key.user_id, device_id=key.device_id, nid=nid, number=number)
    # Of the rows of a room the last has the greatest number.
    return {RoomID(row[0]): SentRoom(row[1], row[2], connection.required_states[row[3]]) for row in rows}


def _find(tx: Transaction, key: ConnectionKey) -> _Connection | None:
    row = tx.one(FIND, user_id=key.user_id, device_id=key.device_id, conn_id=key.conn_id)
    if row is None:
        return None
    kept = orjson.loads(bytes(row[3]))
    required_states = [RequiredState(frozenset((pair[0], pair[1]) for pair in pairs)) for pairs in kept]
    return _Connection(row[0], row[1], row[2], required_states)


STORE_CONNECTION = """
    INSERT INTO sliding_connections (user_id, device_id, conn_id, connection_nid, acknowledged, newest,
                                     required_states, written_ms)
    VALUES (:user_id, :device_id, :conn_id, :nid, :acknowledged, :newest, :required_states, :now_ms)
    ON CONFLICT (user_id, device_id, conn_id) DO UPDATE SET
        connection_nid = excluded.connection_nid, acknowledged = excluded.acknowledged, newest = excluded.newest,
        required_states = excluded.required_states, written_ms = excluded.written_ms"""
FORGET_NEWER = """
    DELETE FROM sliding_rooms
     WHERE user_id = :user_id AND device_id = :device_id AND connection_nid = :nid AND number > :number"""
FORGET_OLDER = """
    DELETE FROM sliding_rooms
     WHERE user_id = :user_id AND device_id = :device_id AND connection_nid = :nid AND room_id IN :room_ids[text]
       AND number < (SELECT MAX(n.number) FROM sliding_rooms n
                      WHERE n.user_id = sliding_rooms.user_id AND n.device_id = sliding_rooms.device_id
                        AND n.connection_nid = sliding_rooms.connection_nid AND n.room_id = sliding_rooms.room_id
                        AND n.number <= :number)"""
STORE_ROOM = """
    INSERT INTO sliding_rooms (user_id, device_id, connection_nid, room_id, number, upto_position, timeline_limit,
                               required_state)
    VALUES (:user_id, :device_id, :nid, :room_id, :number, :upto, :timeline_limit, :required_state)"""
FORGET_ROOMS = """
    DELETE FROM sliding_rooms
     WHERE user_id = :user_id AND device_id = :device_id AND connection_nid NOT IN (
        SELECT connection_nid FROM sliding_connections WHERE user_id = :user_id AND device_id = :device_id)"""
FORGET_CONNECTIONS = """
    DELETE FROM sliding_connections
     WHERE user_id = :user_id AND device_id = :device_id AND connection_nid NOT IN (
        SELECT connection_nid FROM sliding_connections WHERE user_id = :user_id AND device_id = :device_id
         ORDER BY written_ms DESC, connection_nid DESC LIMIT :most)"""


def store_sent_rooms(
    tx: Transaction, key: ConnectionKey, rooms: SentRooms, *, nid: int, number: int, now_ms: int
) -> tuple[int, int] | None:
    """Note what an answer tells of these rooms to a client that comes with the number of another answer.

    Returns the connection's nid and the number of the answer, or None if the other is not known any more. With 0 for
    `nid` it is the first answer of a connection, which takes the place of one of the same name.
    """
    connection = _Connection(tx.next_ids(NUMBERS), 0, 0, []) if nid == 0 else _find(tx, key)
    if connection is None or (nid and (connection.nid != nid or number not in _numbers(connection))):
        return None
    required_states = list(connection.required_states)
    indices = {required: index for index, required in enumerate(required_states)}
    for room in rooms.values():
        if room.required_state not in indices:
            indices[room.required_state] = len(required_states)
            required_states.append(room.required_state)
    definitions = orjson.dumps([sorted(required.pairs) for required in required_states])
    if nid and len(definitions) > MOST_REQUIRED_STATES_BYTES:
        return None
    owner = {"user_id": key.user_id, "device_id": key.device_id}
    row = {"acknowledged": number, "newest": connection.newest + 1, "required_states": definitions, "now_ms": now_ms}
    tx.run(STORE_CONNECTION, **owner, **row, conn_id=key.conn_id, nid=connection.nid)
    if nid == 0:
        tx.run(FORGET_CONNECTIONS, **owner, most=MOST_CONNECTIONS)
        tx.run(FORGET_ROOMS, **owner)
    else:
        tx.run(FORGET_NEWER, **owner, nid=nid, number=number)
        tx.run(FORGET_OLDER, **owner, nid=nid, number=number, room_ids=list(rooms))
    tx.insert_many(
        STORE_ROOM,
        [
            {
                **owner,
                "nid": connection.nid,
                "room_id": room_id,
                "number": connection.newest + 1,
                "upto": room.upto,
                "timeline_limit": room.timeline_limit,
                "required_state": indices[room.required_state],
            }
            for room_id, room in rooms.items()
        ],
    )
    return connection.nid, connection.newest + 1


def _numbers(connection: _Connection) -> tuple[int, int]:
    return connection.acknowledged, connection.newest


SWEEP_ROOMS = """
    DELETE FROM sliding_rooms WHERE (user_id, device_id, connection_nid, room_id, number) IN (
        SELECT s.user_id, s.device_id, s.connection_nid, s.room_id, s.number
          FROM sliding_connections c JOIN sliding_rooms s
            ON s.user_id = c.user_id AND s.device_id = c.device_id AND s.connection_nid = c.connection_nid
         WHERE c.written_ms < :before LIMIT :limit)"""
SWEEP = """
    DELETE FROM sliding_connections WHERE (user_id, device_id, conn_id) IN (
        SELECT c.user_id, c.device_id, c.conn_id FROM sliding_connections c
         WHERE c.written_ms < :before
           AND NOT EXISTS (SELECT 1 FROM sliding_rooms s
                            WHERE s.user_id = c.user_id AND s.device_id = c.device_id
                              AND s.connection_nid = c.connection_nid)
         LIMIT :limit)"""


def sweep_rooms(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget what was told in connections that told nothing of another room for as long as a sync may be away."""
    return tx.run(SWEEP_ROOMS, before=now_ms - SYNC_HORIZON_MS, limit=limit)


def sweep_connections(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget such connections, once what they told is forgotten."""
    return tx.run(SWEEP, before=now_ms - SYNC_HORIZON_MS, limit=limit)


_OWNERS: Final = {Owner.USER: "user_id", Owner.DEVICE: "device_id"}

TABLES: Final[tuple[Table, ...]] = (
    Table("sliding_rooms", owners={Owner.ROOM: "room_id", **_OWNERS}, retention=Retention.expires(sweep_rooms)),
    Table("sliding_connections", owners=_OWNERS, retention=Retention.expires(sweep_connections)),
)
