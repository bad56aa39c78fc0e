"""The rooms that two users share. Spec: client-server-api/#mutual-rooms"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID, UserID, parse_room_id
from homeserver.services.errors import InvalidParameter
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import count_mutual_rooms, mutual_rooms

ROOMS_PER_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class MutualRooms:
    """Some of the rooms, how many there are in all, and what the next page begins after, if there is one."""

    joined: Sequence[RoomID]
    count: int
    next_batch: str | None


class Acquaintance:
    """Tells users what they share with others; nothing about others alone."""

    def __init__(self, database: Database, rooms_per_page: int = ROOMS_PER_PAGE) -> None:
        self._database = database
        self._rooms_per_page = rooms_per_page

    async def with_user(self, user_id: UserID, other: UserID, after: str | None) -> MutualRooms:
        """The rooms in which both are joined. Raises InvalidParameter for oneself, and for a token not from here."""
        if other == user_id:
            raise InvalidParameter("Everybody shares all rooms with themselves")
        try:
            begin = "" if after is None else parse_room_id(after)
        except BadIdentifier:
            raise InvalidParameter("`from` is not a token that this server gave") from None
        return await self._database.read(_mutual_rooms, user_id, other, begin, self._rooms_per_page)


def _mutual_rooms(tx: Transaction, user_id: UserID, other: UserID, after: str, limit: int) -> MutualRooms:
    found = mutual_rooms(tx, user_id, other, after=after, limit=limit + 1)
    page = found[:limit]
    if not after and len(found) == len(page):
        return MutualRooms(page, len(page), None)
    return MutualRooms(page, count_mutual_rooms(tx, user_id, other), page[-1] if len(found) > len(page) else None)
