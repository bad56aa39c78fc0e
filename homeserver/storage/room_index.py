"""What lists of a user's rooms are sorted and filtered by: one row per room, written with the room's events.

A list is read in one statement, whatever the rooms hold. What each room shows is in services/sync/.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

# Of these, and no others, a room counts as active for people: nobody looks into it because somebody came or went.
BUMP_TYPES: Final = frozenset(
    {
        "m.room.create",
        "m.room.message",
        "m.room.encrypted",
        "m.sticker",
        "m.call.invite",
        "m.poll.start",
        "org.matrix.msc3381.poll.start",
        "m.beacon_info",
        "org.matrix.msc3672.beacon_info",
    }
)


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What lists ask about a room beside its activity: of its current state."""

    room_type: str | None
    name: str | None
    is_encrypted: bool
    is_public: bool | None = None  # everybody may join or read the room; None where nobody asks


STORE = """
    INSERT INTO room_index (room_id, active_position, bump_position, room_type, name, is_encrypted, is_public)
    VALUES (:room_id, :active_position, :bump_position, :room_type, :name, :is_encrypted, :is_public)
    ON CONFLICT (room_id) DO UPDATE SET
        active_position = excluded.active_position,
        bump_position = COALESCE(excluded.bump_position, room_index.bump_position),
        room_type = CASE WHEN excluded.is_encrypted IS NULL THEN room_index.room_type ELSE excluded.room_type END,
        name = CASE WHEN excluded.is_encrypted IS NULL THEN room_index.name ELSE excluded.name END,
        is_encrypted = COALESCE(excluded.is_encrypted, room_index.is_encrypted),
        is_public = COALESCE(excluded.is_public, room_index.is_public)"""


MOVE = """
    UPDATE room_index SET active_position = :position, bump_position = COALESCE(:bump_position, bump_position)
     WHERE room_id = :room_id"""


def note_activity(
    tx: Transaction, room_id: RoomID, *, position: int, bump_position: int | None, facts: RoomFacts | None
) -> None:
    """Note that something happened in a room: at the position, which is the newest of all.

    `bump_position` is that of the newest event of BUMP_TYPES in it; `facts` are given when the state changed.
    """
    # What is said in one room comes often several times in a batch: rows that wait to be inserted together would have
    # to be inserted each time.
    if facts is None and tx.run(MOVE, room_id=room_id, position=position, bump_position=bump_position):
        return
    row = {
        "room_id": room_id,
        "active_position": position,
        "bump_position": bump_position,
        "room_type": None if facts is None else facts.room_type,
        "name": None if facts is None else facts.name,
        "is_encrypted": None if facts is None else facts.is_encrypted,
        "is_public": None if facts is None else facts.is_public,
    }
    tx.insert_many(STORE, [row])


COUNT_MEMBERS = """
    INSERT INTO room_index (room_id, active_position, joined_members) VALUES (:room_id, :position, :change)
    ON CONFLICT (room_id) DO UPDATE SET joined_members = room_index.joined_members + excluded.joined_members"""


def count_joined(tx: Transaction, room_id: RoomID, change: int, *, position: int) -> None:
    """By how many the joined members of a room have become more, or fewer."""
    if change:
        tx.insert_many(COUNT_MEMBERS, [{"room_id": room_id, "position": position, "change": change}])


FORGET_NAME = "UPDATE room_index SET name = NULL WHERE room_id = :room_id"


def forget_name(tx: Transaction, room_id: RoomID) -> None:
    """The event that named the room was redacted."""
    tx.run(FORGET_NAME, room_id=room_id)


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room as lists of one user's rooms know it.

    `facts` is None where they are not known, as of rooms that this server is not in; they are those of now, which
    somebody who is out of the room must not learn.
    """

    room_id: RoomID
    membership: str
    event_id: EventID
    sender: UserID
    place: int
    log_position: int  # of the membership
    joined_place: int | None
    was_joined: bool
    active_position: int
    bump_position: int | None
    facts: RoomFacts | None
    is_partial: bool = False  # not all of its members are known here
    is_forgotten: bool = False


SELECT: Final = """
    SELECT m.room_id, m.membership, m.event_id, m.sender, m.place, m.log_position, m.joined_place, m.was_joined,
           x.active_position, x.bump_position, x.room_type, x.name, x.is_encrypted,
           r.is_partial, m.is_forgotten
      FROM memberships m LEFT JOIN room_index x ON x.room_id = m.room_id LEFT JOIN rooms r ON r.room_id = m.room_id
     WHERE m.user_id = :user_id AND """
CURRENT = SELECT + "m.membership IN ('join', 'invite', 'knock')"
CURRENT_AMONG = SELECT + "m.membership IN ('join', 'invite', 'knock') AND m.room_id IN :room_ids[text]"


def current_rooms(tx: Transaction, user_id: UserID) -> list[ListedRoom]:
    """The rooms that the user is in, is invited to or knocks at, in no order."""
    return [_listed(row) for row in tx.all(CURRENT, user_id=user_id)]


def current_among(tx: Transaction, user_id: UserID, room_ids: Sequence[str]) -> list[ListedRoom]:
    """Those of these rooms, in no order."""
    if not room_ids:
        return []
    return [_listed(row) for row in tx.all(CURRENT_AMONG, user_id=user_id, room_ids=list(room_ids))]


REMOVED = (
    SELECT
    + """m.was_joined AND m.sender <> m.user_id AND m.membership IN ('leave', 'ban')
       AND NOT m.is_forgotten"""
)
DEPARTED = SELECT + "m.membership IN ('leave', 'ban') AND m.log_position > :after"


def departed_rooms(tx: Transaction, user_id: UserID, *, after: int) -> list[ListedRoom]:
    """The rooms that the user was in and was removed from, and those out of which the user got after a position.

    Of those that the user has forgotten there are the latter alone: not every device knows of it.
    """
    removed = [_listed(row) for row in tx.all(REMOVED, user_id=user_id)]
    since = [_listed(row) for row in tx.all(DEPARTED, user_id=user_id, after=after)]
    return list({room.room_id: room for room in (*removed, *since)}.values())


def _listed(row: tuple[Any, ...]) -> ListedRoom:
    return ListedRoom(
        room_id=RoomID(row[0]),
        membership=row[1],
        event_id=EventID(row[2]),
        sender=UserID(row[3]),
        place=row[4],
        log_position=row[5],
        joined_place=row[6],
        was_joined=bool(row[7]),
        active_position=row[5] if row[8] is None or row[1] != "join" else row[8],
        bump_position=row[9] if row[1] == "join" else None,
        facts=None if row[12] is None else RoomFacts(row[10], row[11], bool(row[12])),
        is_partial=bool(row[13]) and row[1] == "join",
        is_forgotten=bool(row[14]),
    )


TABLES: Final[tuple[Table, ...]] = (
    Table("room_index", owners={Owner.ROOM: "room_id"}, retention=Retention.bounded("one row per room")),
)
