"""Giving users of any server power in a room, or taking it from them, by the server's hand (local_powers.py).

Bringing a user of this server to all the power that there is here is in room_recovery.py.
"""

from typing import Final

from homeserver.core.auth_selection import POWER_LEVELS
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.power_levels import Level
from homeserver.services.admin.local_powers import LocalPowers, by_local_power, local_powers
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.storage.database import Transaction

SILENT: Final = -1  # at most: below whatever a room asks for that says nothing of it


class RoomPowers:
    """Sets power levels."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def set_level(self, room_id: RoomID, user_id: UserID, level: int | None) -> Level:
        """Give a user this level, or that of everybody; which it is then. Who has it already keeps it.

        Raises NotFound, Forbidden.
        """
        return await by_local_power(self._creation, self._set_level, room_id, user_id, level)

    async def mute(self, room_id: RoomID, user_id: UserID) -> Level:
        """Give a user a level at which nothing can be sent into the room; which it is. Raises NotFound, Forbidden."""
        return await by_local_power(self._creation, self._mute, room_id, user_id)

    def _set_level(self, tx: Transaction, room_id: RoomID, user_id: UserID, level: int | None) -> Level:
        powers = local_powers(tx, self._creation, room_id)
        self._change(powers, user_id, level)
        return powers.levels.users_default if level is None else level

    def _mute(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> Level:
        powers = local_powers(tx, self._creation, room_id)
        silent = min(SILENT, powers.levels.least_to_send - 1)
        if powers.level(user_id) <= silent:
            return powers.level(user_id)
        self._change(powers, user_id, silent)
        return silent

    def _change(self, powers: LocalPowers, user_id: UserID, level: int | None) -> None:
        content, event = powers.with_level(user_id, level), powers.write.state((POWER_LEVELS,)).get(POWER_LEVELS)
        if event is not None and content == event.content:
            return
        self._creation.add(powers.write, Draft(POWER_LEVELS[0], powers.strongest, content, state_key=""))
        powers.write.finish()
