"""Events that this server is to send to others, and what of the change log is for one server.

An event is marked when it is written (services/events/persistence.py). Which servers are in a room is in
room_servers.py, how far each server has got in outboxes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import SYNC_HORIZON_MS
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event for the servers of its room; `pdu` is its JSON as it is stored."""

    position: int
    event_id: EventID
    room_id: RoomID
    sender: UserID
    state_key: str | None  # of a member event: the user whom it is about
    pdu: bytes


IN_SPAN = """
    SELECT log_position, event_id, room_id, sender, CASE WHEN type = 'm.room.member' THEN state_key END, pdu
      FROM events WHERE is_outgoing AND log_position > :after AND log_position <= :upto
     ORDER BY log_position LIMIT :limit"""


def outgoing_events(tx: Transaction, *, after: int, upto: int, limit: int) -> list[OutgoingEvent]:
    """The first outgoing events in (after, upto] of all rooms, oldest first."""
    return [_outgoing(row) for row in tx.all(IN_SPAN, after=after, upto=upto, limit=limit)]


AT = """
    SELECT log_position, event_id, room_id, sender, CASE WHEN type = 'm.room.member' THEN state_key END, pdu
      FROM events WHERE is_outgoing AND log_position IN :positions[bigint]"""


def outgoing_events_at(tx: Transaction, positions: Sequence[int]) -> list[OutgoingEvent]:
    """The outgoing events at these positions, in no order; those of purged rooms are gone."""
    return [_outgoing(row) for row in tx.all(AT, positions=list(positions))] if positions else []


INSERT_NOTICE = """
    INSERT INTO removal_notices (destination, log_position, room_id, written_ms)
    VALUES (:destination, :log_position, :room_id, :written_ms)"""


def insert_removal_notice(
    tx: Transaction, destination: ServerName, room_id: RoomID, *, position: int, now_ms: int
) -> None:
    """The event at this position goes to that server too, whether or not it is in the room."""
    row = {"destination": destination, "log_position": position, "room_id": room_id, "written_ms": now_ms}
    tx.insert_many(INSERT_NOTICE, [row])


NOTICES = """
    SELECT log_position, destination FROM removal_notices WHERE log_position > :after AND log_position <= :upto"""


def removal_notices(tx: Transaction, *, after: int, upto: int) -> list[tuple[int, ServerName]]:
    """Which events in (after, upto] go to which servers beside those in the room."""
    return [(row[0], ServerName(row[1])) for row in tx.all(NOTICES, after=after, upto=upto)]


POSITIONS_FOR = """
    SELECT log_position FROM (
        SELECT e.log_position FROM room_servers s
          JOIN events e ON e.room_id = s.room_id AND e.is_outgoing
               AND e.log_position > s.since_position
               AND (s.until_position IS NULL OR e.log_position <= s.until_position)
         WHERE s.server = :destination AND (s.until_position IS NULL OR s.until_position > :after)
           AND e.log_position > :after AND e.log_position <= :upto AND e.sender NOT LIKE '%:' || :destination
         LIMIT :limit) AS of_rooms
    UNION ALL
    SELECT log_position FROM (
        SELECT log_position FROM removal_notices
         WHERE destination = :destination AND log_position > :after AND log_position <= :upto
         LIMIT :limit) AS of_removals
    UNION ALL
    SELECT log_position FROM (
        SELECT DISTINCT d.log_position FROM device_updates d
          JOIN memberships m ON m.user_id = d.user_id AND m.membership = 'join'
          JOIN room_servers s ON s.room_id = m.room_id AND s.server = :destination AND s.until_position IS NULL
         WHERE d.log_position > :after AND d.log_position <= :upto
         LIMIT :limit) AS of_devices"""


def positions_for(tx: Transaction, destination: ServerName, *, after: int, upto: int, most: int) -> list[int] | None:
    """The positions in (after, upto] at which there is an event or a device list update for a server, in order.

    A server gets the events of a room that were written while it was there, the one with which it left included; its
    own users' are not sent back to it. None when there are more than `most`: they are not counted.
    """
    rows = tx.all(POSITIONS_FOR, destination=destination, after=after, upto=upto, limit=most + 1)
    positions = sorted({row[0] for row in rows})
    return positions if len(positions) <= most else None


NEWEST_FOR = """
    SELECT newest FROM (
        SELECT (SELECT e.log_position FROM events e
                 WHERE e.room_id = s.room_id AND e.is_outgoing
                   AND e.log_position > s.since_position
                   AND (s.until_position IS NULL OR e.log_position <= s.until_position)
                   AND e.log_position > :after AND e.log_position <= :upto AND e.sender NOT LIKE '%:' || :destination
                 ORDER BY e.log_position DESC LIMIT 1) AS newest
          FROM room_servers s
         WHERE s.server = :destination AND (s.until_position IS NULL OR s.until_position > :after)) AS of_rooms
     WHERE newest IS NOT NULL
    UNION
    SELECT log_position FROM removal_notices
     WHERE destination = :destination AND log_position > :after AND log_position <= :upto
    UNION
    SELECT MAX(d.log_position) FROM device_updates d
      JOIN memberships m ON m.user_id = d.user_id AND m.membership = 'join'
      JOIN room_servers s ON s.room_id = m.room_id AND s.server = :destination AND s.until_position IS NULL
     WHERE d.log_position > :after AND d.log_position <= :upto GROUP BY d.user_id, d.device_id = ''
    ORDER BY 1 LIMIT :limit"""


def newest_positions_for(tx: Transaction, destination: ServerName, *, after: int, upto: int, limit: int) -> list[int]:
    """As positions_for, but of each room the newest event alone, and of each user the newest update.

    What came before it the server can ask for, or will know that it lacks. Not so by an update of cross-signing keys
    (CROSS_SIGNING in device_lists.py), which names none before it: it comes beside the newest one of a device.
    """
    rows = tx.all(NEWEST_FOR, destination=destination, after=after, upto=upto, limit=limit)
    return [row[0] for row in rows]


@dataclass(frozen=True, slots=True)
class Pending:
    """How much waits for a server: at how many positions (None: more than were counted), and in how many rooms."""

    positions: int | None
    rooms: int


MOST_COUNTED: Final = 1_000
PENDING_ROOMS = """
    SELECT COUNT(DISTINCT s.room_id) FROM room_servers s
     WHERE s.server = :destination AND (s.until_position IS NULL OR s.until_position > :after)
       AND EXISTS (SELECT 1 FROM events e
                    WHERE e.room_id = s.room_id AND e.is_outgoing
                      AND e.log_position > s.since_position
                      AND (s.until_position IS NULL OR e.log_position <= s.until_position)
                      AND e.log_position > :after AND e.log_position <= :upto
                      AND e.sender NOT LIKE '%:' || :destination)"""


def pending_for(tx: Transaction, destination: ServerName, *, after: int, upto: int) -> Pending:
    """How much there is for a server in (after, upto]."""
    positions = positions_for(tx, destination, after=after, upto=upto, most=MOST_COUNTED)
    row = tx.one(PENDING_ROOMS, destination=destination, after=after, upto=upto)
    return Pending(None if positions is None else len(positions), 0 if row is None else row[0])


@dataclass(frozen=True, slots=True)
class SharedRoom:
    """A room with a server in it; which event of this one it got last there since it came, if any."""

    room_id: RoomID
    delivered_position: int | None


SHARED: Final = """
      FROM room_servers s
      JOIN room_servers o ON o.room_id = s.room_id AND o.server = :own_name AND o.until_position IS NULL
     WHERE s.server = :destination AND s.until_position IS NULL AND s.server <> :own_name"""
COUNT_SHARED = "SELECT COUNT(*)" + SHARED


def count_shared_rooms(tx: Transaction, destination: ServerName, own_name: ServerName) -> int:
    """How many rooms there are in which both servers are."""
    row = tx.one(COUNT_SHARED, destination=destination, own_name=own_name)
    return 0 if row is None else int(row[0])


SHARED_PAGE = (
    """
    SELECT p.room_id, (SELECT e.log_position FROM events e
             WHERE e.room_id = p.room_id AND e.is_outgoing
               AND e.log_position > p.since_position AND e.log_position <= p.delivered_upto
               AND e.sender NOT LIKE '%:' || :destination
             ORDER BY e.log_position DESC LIMIT 1)
      FROM (SELECT s.room_id, s.since_position, (
                   SELECT b.delivered_upto FROM outboxes b
                    WHERE b.destination = :destination AND b.delivered_ms IS NOT NULL) AS delivered_upto"""  # noqa: S608
    + SHARED
    + """
             ORDER BY CASE WHEN :descends THEN NULL ELSE s.room_id END, s.room_id DESC
             LIMIT :limit OFFSET :skipped) p
     ORDER BY CASE WHEN :descends THEN NULL ELSE p.room_id END, p.room_id DESC"""
)


def shared_rooms(
    tx: Transaction, destination: ServerName, own_name: ServerName, *, descends: bool, skipped: int, limit: int
) -> list[SharedRoom]:
    """A page of the rooms in which both servers are, by their IDs."""
    wanted = {"destination": destination, "own_name": own_name, "descends": descends}
    rows = tx.all(SHARED_PAGE, **wanted, limit=limit, skipped=skipped)
    return [SharedRoom(RoomID(row[0]), row[1]) for row in rows]


NEWEST_IN_ROOM = "SELECT MAX(log_position) FROM events WHERE room_id = :room_id AND is_outgoing"
UNTOLD = """
    SELECT 1 FROM outgoing_position WHERE log_position < :newest
    UNION ALL
    SELECT 1 FROM outboxes o
     WHERE (o.is_behind OR o.transaction_id IS NOT NULL) AND o.delivered_upto < :newest
       AND EXISTS (SELECT 1 FROM room_servers s
                    WHERE s.room_id = :room_id AND s.server = o.destination
                      AND (s.until_position IS NULL OR s.until_position >= :newest))
    LIMIT 1"""


def is_room_told(tx: Transaction, room_id: RoomID) -> bool:
    """Whether every other server in a room has all events of it that this one is to send."""
    row = tx.one(NEWEST_IN_ROOM, room_id=room_id)
    if row is None or row[0] is None:
        return True
    return tx.one(UNTOLD, room_id=room_id, newest=row[0]) is None


SWEEP_NOTICES = """
    DELETE FROM removal_notices WHERE (destination, log_position) IN (
        SELECT destination, log_position FROM removal_notices WHERE written_ms < :before LIMIT :limit)"""


def sweep_notices(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget notices for servers that have not answered for so long."""
    return tx.run(SWEEP_NOTICES, before=now_ms - SYNC_HORIZON_MS, limit=limit)


def _outgoing(row: tuple[Any, ...]) -> OutgoingEvent:
    return OutgoingEvent(row[0], EventID(row[1]), RoomID(row[2]), UserID(row[3]), row[4], bytes(row[5]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "removal_notices",
        owners={Owner.ROOM: "room_id", Owner.DESTINATION: "destination"},
        retention=Retention.expires(sweep_notices),
    ),
)
