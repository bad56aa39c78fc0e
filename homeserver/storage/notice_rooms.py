"""In which room the server speaks to each of its users. What it says there are events like others."""

from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

FIND = "SELECT room_id FROM notice_rooms WHERE user_id = :user_id"


def find_notice_room(tx: Transaction, user_id: UserID) -> RoomID | None:
    """The room in which the server speaks to a user; None before it has spoken."""
    row = tx.one(FIND, user_id=user_id)
    return None if row is None else RoomID(row[0])


STORE = """
    INSERT INTO notice_rooms (user_id, room_id) VALUES (:user_id, :room_id)
    ON CONFLICT (user_id) DO UPDATE SET room_id = excluded.room_id"""


def store_notice_room(tx: Transaction, user_id: UserID, room_id: RoomID) -> None:
    """Let the server speak to a user in this room from now on."""
    tx.run(STORE, user_id=user_id, room_id=room_id)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "notice_rooms",
        owners={Owner.USER: "user_id", Owner.ROOM: "room_id"},
        retention=Retention.bounded("one row per account to which the server has spoken"),
    ),
)
