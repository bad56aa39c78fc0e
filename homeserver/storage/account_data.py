"""What users keep on the server for themselves, globally and per room; a room's tags are its row of type m.tag.

Push rules, which clients see as account data too, are in push_rules.py. Spec: client-server-api/#client-config
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Conflict, Transaction
from homeserver.storage.tables import Owner, Retention, Table

NO_ROOM: Final = ""  # what the column holds for global account data
MOST_PIECES: Final = 20_000  # of one user, in all rooms
MOST_BYTES: Final = 16 * 1024 * 1024  # as above


@dataclass(frozen=True, slots=True)
class AccountData:
    """One piece of a user's account data: `content` is a JSON object, `room_id` None for what is global."""

    room_id: RoomID | None
    type: str
    content: bytes


STORE = """
    INSERT INTO account_data (user_id, room_id, type, content, log_position)
    VALUES (:user_id, :room_id, :type, :content, :log_position)
    ON CONFLICT (user_id, room_id, type) DO UPDATE SET
        content = excluded.content, log_position = excluded.log_position"""


def store_account_data(tx: Transaction, user_id: UserID, data: AccountData, *, log_position: int) -> None:
    """Put a piece of account data in place of the one of its room and type."""
    row = {
        "user_id": user_id,
        "room_id": data.room_id or NO_ROOM,
        "type": data.type,
        "content": data.content,
        "log_position": log_position,
    }
    tx.insert_many(STORE, [row])


SWAP = """
    INSERT INTO account_data (user_id, room_id, type, content, log_position)
    VALUES (:user_id, :room_id, :type, :content, :log_position)
    ON CONFLICT (user_id, room_id, type) DO UPDATE SET
        content = excluded.content, log_position = excluded.log_position
     WHERE account_data.log_position = :seen"""


def swap_account_data(
    tx: Transaction, user_id: UserID, data: AccountData, *, seen: int | None, log_position: int
) -> None:
    """Put account data in place of what was read at log position `seen`, or of nothing (None).

    Raises Conflict when it changed since.
    """
    swapped = tx.run(
        SWAP,
        user_id=user_id,
        room_id=data.room_id or NO_ROOM,
        type=data.type,
        content=data.content,
        log_position=log_position,
        seen=0 if seen is None else seen,
    )
    if not swapped:
        raise Conflict(data.type)


FIND = """
    SELECT content, log_position FROM account_data
     WHERE user_id = :user_id AND room_id = :room_id AND type = :type"""


def find_account_data(tx: Transaction, user_id: UserID, room_id: RoomID | None, data_type: str) -> bytes | None:
    """The content of a piece of account data."""
    found = find_versioned(tx, user_id, room_id, data_type)
    return None if found is None else found[0]


def find_versioned(
    tx: Transaction, user_id: UserID, room_id: RoomID | None, data_type: str
) -> tuple[bytes, int] | None:
    """The content of a piece of account data, and the log position at which it changed last."""
    row = tx.one(FIND, user_id=user_id, room_id=room_id or NO_ROOM, type=data_type)
    return None if row is None else (bytes(row[0]), row[1])


SINCE = """
    SELECT room_id, type, content FROM account_data
     WHERE user_id = :user_id AND log_position > :after AND log_position <= :upto ORDER BY log_position"""


def account_data_since(tx: Transaction, user_id: UserID, *, after: int, upto: int) -> list[AccountData]:
    """What changed of the user's account data in (after, upto], in all rooms and globally, oldest first."""
    return [_account_data(row) for row in tx.all(SINCE, user_id=user_id, after=after, upto=upto)]


ALL = "SELECT room_id, type, content FROM account_data WHERE user_id = :user_id ORDER BY log_position"


def all_account_data(tx: Transaction, user_id: UserID) -> list[AccountData]:
    """All account data of the user, in all rooms and globally, what changed longest ago first."""
    return [_account_data(row) for row in tx.all(ALL, user_id=user_id)]


OF_ROOMS = """
    SELECT room_id, type, content FROM account_data
     WHERE user_id = :user_id AND room_id IN :room_ids[text] ORDER BY log_position"""


def account_data_of(tx: Transaction, user_id: UserID, room_ids: Sequence[RoomID | None]) -> list[AccountData]:
    """All account data of the user in these rooms, None for what is global, what changed longest ago first."""
    if not room_ids:
        return []
    rows = tx.all(OF_ROOMS, user_id=user_id, room_ids=[room_id or NO_ROOM for room_id in room_ids])
    return [_account_data(row) for row in rows]


OF_TYPE = "SELECT room_id, type, content FROM account_data WHERE user_id = :user_id AND type = :type"


def account_data_of_type(tx: Transaction, user_id: UserID, data_type: str) -> list[AccountData]:
    """The user's account data of one type, in all rooms and globally, in no order."""
    return [_account_data(row) for row in tx.all(OF_TYPE, user_id=user_id, type=data_type)]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much account data a user has."""

    pieces: int
    size_bytes: int

    def may_grow(self, pieces: int, size_bytes: int) -> bool:
        """Whether so many more pieces and bytes are within what a user may have."""
        return self.pieces + pieces <= MOST_PIECES and self.size_bytes + size_bytes <= MOST_BYTES


USAGE = "SELECT COUNT(*), SUM(LENGTH(content)) FROM account_data WHERE user_id = :user_id"


def account_data_usage(tx: Transaction, user_id: UserID) -> Usage:
    """How much account data the user has, in all rooms and globally."""
    pieces, size_bytes = tx.one(USAGE, user_id=user_id) or (0, 0)
    return Usage(int(pieces), int(size_bytes or 0))


def _account_data(row: tuple[Any, ...]) -> AccountData:
    return AccountData(RoomID(row[0]) if row[0] else None, row[1], bytes(row[2]))


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "account_data",
        owners={Owner.USER: "user_id", Owner.ROOM: "room_id"},
        retention=Retention.bounded("so many pieces and bytes per user as `Usage.may_grow` allows"),
    ),
)
