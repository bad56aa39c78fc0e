"""For how long rooms keep what is said in them, for administrators: the server's policy, and that of single rooms.

What follows from it is in services/events/lifetimes.py and expiry.py.
"""

from dataclasses import dataclass
from typing import Any

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.retention import RETENTION, RetentionPolicy
from homeserver.services.admin.local_powers import by_local_power, local_powers
from homeserver.services.errors import InvalidParameter
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.rooms.known_rooms import known_head
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_lifetimes import find_expired, lifetime_totals

LEAST_MS = 1_000
MOST_MS = 100 * 366 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class ServerRetention:
    """The policy; how many rooms say something, and how many events were removed from all of them."""

    policy: RetentionPolicy
    rooms: int
    removed: int


@dataclass(frozen=True, slots=True)
class RoomRetention:
    """What a room's state says, what holds here (None: for ever), and how many events were removed."""

    said_ms: int | None
    lifetime_ms: int | None
    removed: int


class RoomRetentions:
    """Shows and sets it."""

    def __init__(self, database: Database, creation: EventCreation, lifetimes: Lifetimes) -> None:
        self._database = database
        self._creation = creation
        self._lifetimes = lifetimes

    @property
    def policy(self) -> RetentionPolicy:
        """The server's."""
        return self._lifetimes.policy

    async def of_server(self) -> ServerRetention:
        """The policy, and what came of it."""
        rooms, removed = await self._database.read(lifetime_totals)
        return ServerRetention(self._lifetimes.policy, rooms, removed)

    async def of_room(self, room_id: RoomID) -> RoomRetention:
        """One room's. Raises NotFound."""
        removed = await self._database.read(_removed, room_id)
        return RoomRetention(self._lifetimes.said_by(room_id), self._lifetimes.of(room_id), removed)

    async def set_room(self, room_id: RoomID, max_lifetime_ms: int | None) -> EventID:
        """Let a room's state say something else, or nothing (None). Raises NotFound, Forbidden, InvalidParameter."""
        if max_lifetime_ms is not None and not LEAST_MS <= max_lifetime_ms <= MOST_MS:
            raise InvalidParameter(f"max_lifetime is between {LEAST_MS} and {MOST_MS} milliseconds")
        content: dict[str, Any] = {} if max_lifetime_ms is None else {"max_lifetime": max_lifetime_ms}  # Any: JSON
        return await by_local_power(self._creation, self._set, room_id, content)

    def _set(self, tx: Transaction, room_id: RoomID, content: dict[str, Any]) -> EventID:
        powers = local_powers(tx, self._creation, room_id)
        current = powers.write.state((RETENTION,)).get(RETENTION)
        if current is not None and current.content == content:
            return current.event_id
        event_type, state_key = RETENTION
        added = self._creation.add(powers.write, Draft(event_type, powers.strongest, content, state_key=state_key))
        powers.write.finish()
        return added.event.event_id


def _removed(tx: Transaction, room_id: RoomID) -> int:
    known_head(tx, room_id)
    return find_expired(tx, room_id).removed
