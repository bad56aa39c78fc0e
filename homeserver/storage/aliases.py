"""Room aliases of this server. Whether a room is in the public directory is in rooms.py."""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomAlias, RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of a room, and who gave it."""

    room_alias: RoomAlias
    room_id: RoomID
    creator: UserID


INSERT = """
    INSERT INTO room_aliases (room_alias, room_id, creator, created_ms)
    VALUES (:room_alias, :room_id, :creator, :created_ms) ON CONFLICT (room_alias) DO NOTHING"""


def insert_alias(tx: Transaction, alias: Alias, *, created_ms: int) -> bool:
    """Name a room. False when the name is taken."""
    inserted = tx.run(
        INSERT,
        room_alias=alias.room_alias,
        room_id=alias.room_id,
        creator=alias.creator,
        created_ms=created_ms,
    )
    return inserted > 0


FIND = "SELECT room_alias, room_id, creator FROM room_aliases WHERE room_alias = :room_alias"


def find_alias(tx: Transaction, room_alias: RoomAlias) -> Alias | None:
    """The room of this name."""
    row = tx.one(FIND, room_alias=room_alias)
    return None if row is None else Alias(RoomAlias(row[0]), RoomID(row[1]), UserID(row[2]))


OF_ROOM = "SELECT room_alias FROM room_aliases WHERE room_id = :room_id ORDER BY room_alias"


def aliases_of_room(tx: Transaction, room_id: RoomID) -> list[RoomAlias]:
    """All names of the room on this server."""
    return [RoomAlias(row[0]) for row in tx.all(OF_ROOM, room_id=room_id)]


DELETE = "DELETE FROM room_aliases WHERE room_alias = :room_alias"


def delete_alias(tx: Transaction, room_alias: RoomAlias) -> None:
    """Take the name from its room."""
    tx.run(DELETE, room_alias=room_alias)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "room_aliases",
        owners={Owner.ROOM: "room_id", Owner.USER: "creator"},
        retention=Retention.bounded("names that users gave and can take back"),
    ),
)
