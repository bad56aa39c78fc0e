"""Replacing rooms by the server's hand (local_powers.py): by a new one of another version, or by one that is there."""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_upgrades import TOMBSTONE, TOMBSTONE_KEY
from homeserver.services.admin.local_powers import NOBODY_HERE, by_local_power, local_powers
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.reasons import check_reason
from homeserver.services.rooms.upgrades import TOLD, RoomUpgrades
from homeserver.storage.database import Transaction

NOT_ALLOWED: Final = "No user of this server in the room may replace it"


class RoomReplacement:
    """Replaces rooms."""

    def __init__(self, creation: EventCreation, upgrades: RoomUpgrades) -> None:
        self._creation = creation
        self._upgrades = upgrades

    async def upgrade(self, room_id: RoomID, new_version: str, additional_creators: Sequence[str] = ()) -> RoomID:
        """Replace a room by a new one, which the strongest of this server's users creates; its ID. Again: the same.

        Who is heard by nobody (shadow_bans.py) makes no room.

        Raises NotFound, Forbidden, InvalidParameter, UnsupportedVersion.
        """
        user_id = await self._creation.write(self._replacer, room_id)
        return await self._upgrades.upgrade(user_id, room_id, new_version, additional_creators)

    async def close(self, room_id: RoomID, replacement: RoomID, told: str | None) -> EventID:
        """Close a room in favour of one that is there, here or elsewhere; the ID of the tombstone.

        Raises NotFound, Forbidden, InvalidParameter.
        """
        check_reason(told)
        if replacement == room_id:
            raise InvalidParameter("A room does not replace itself")
        return await by_local_power(self._creation, self._close, room_id, replacement, told)

    def _replacer(self, tx: Transaction, room_id: RoomID) -> UserID:
        powers = local_powers(tx, self._creation, room_id)
        tombstone = powers.write.state((TOMBSTONE_KEY,)).get(TOMBSTONE_KEY)
        heard = [one for one in powers.members if not self._creation.reaches_nobody(one)]
        able = [one for one in heard if powers.levels.may_send(one, TOMBSTONE, is_state=True)]
        if not able:
            raise Forbidden(NOT_ALLOWED if powers.members else NOBODY_HERE)
        # Who did it once finds what came of it.
        return UserID(tombstone.sender) if tombstone is not None and tombstone.sender in able else able[0]

    def _close(self, tx: Transaction, room_id: RoomID, replacement: RoomID, told: str | None) -> EventID:
        powers = local_powers(tx, self._creation, room_id)
        content = {"body": TOLD if told is None else told, "replacement_room": replacement}
        current = powers.write.state((TOMBSTONE_KEY,)).get(TOMBSTONE_KEY)
        if current is not None and current.content == content:
            return current.event_id
        if not powers.levels.may_send(powers.strongest, TOMBSTONE, is_state=True):
            raise Forbidden(NOT_ALLOWED)
        added = self._creation.add(powers.write, Draft(TOMBSTONE, powers.strongest, content, state_key=""))
        powers.write.finish()
        return added.event.event_id
