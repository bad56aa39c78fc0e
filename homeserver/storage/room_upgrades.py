"""What an upgrade looks for in the old room, and what it moves to the new one.

The rows are those of memberships.py, aliases.py and account_data.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.account_data import NO_ROOM, AccountData
from homeserver.storage.database import Transaction

BANNED = "SELECT user_id FROM memberships WHERE room_id = :room_id AND membership = 'ban' ORDER BY user_id"


def banned_users(tx: Transaction, room_id: RoomID) -> list[UserID]:
    """Everybody who is banned from the room."""
    return [UserID(row[0]) for row in tx.all(BANNED, room_id=room_id)]


JOINED = """
    SELECT user_id FROM memberships
     WHERE room_id = :room_id AND membership = 'join' AND is_local ORDER BY user_id"""


def local_user_ids(tx: Transaction, room_id: RoomID) -> list[UserID]:
    """The joined users of this server."""
    return [UserID(row[0]) for row in tx.all(JOINED, room_id=room_id)]


MOVE_ALIASES = "UPDATE room_aliases SET room_id = :new_room WHERE room_id = :old_room"


def move_aliases(tx: Transaction, old_room: RoomID, new_room: RoomID) -> int:
    """Let every alias of one room point to another; return how many there were."""
    return tx.run(MOVE_ALIASES, old_room=old_room, new_room=new_room)


@dataclass(frozen=True, slots=True)
class OwnedAccountData:
    """A piece of somebody's account data, and the log position at which it changed last."""

    user_id: UserID
    data: AccountData
    log_position: int


IN_ROOMS = """
    SELECT user_id, room_id, type, content, log_position FROM account_data
     WHERE user_id IN :user_ids[text] AND room_id IN :room_ids[text] ORDER BY user_id, room_id, type"""


def account_data_in_rooms(tx: Transaction, user_ids: Sequence[str], room_ids: Sequence[str]) -> list[OwnedAccountData]:
    """What these users keep for these rooms."""
    rows = tx.all(IN_ROOMS, user_ids=list(user_ids), room_ids=list(room_ids))
    return [
        OwnedAccountData(UserID(row[0]), AccountData(RoomID(row[1]), row[2], bytes(row[3])), row[4]) for row in rows
    ]


GLOBAL = """
    SELECT user_id, content, log_position FROM account_data
     WHERE user_id IN :user_ids[text] AND room_id = :no_room AND type = :type ORDER BY user_id"""


def global_account_data(tx: Transaction, user_ids: Sequence[str], data_type: str) -> list[OwnedAccountData]:
    """What these users keep of one type, for no single room."""
    rows = tx.all(GLOBAL, user_ids=list(user_ids), no_room=NO_ROOM, type=data_type)
    return [OwnedAccountData(UserID(row[0]), AccountData(None, data_type, bytes(row[1])), row[2]) for row in rows]
