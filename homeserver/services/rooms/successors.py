"""Coming into rooms, and into those with which others were replaced elsewhere: what was for the old room is for these.

An upgrade that is made here sees to that for all users of this server at once: upgrades.py.
Spec: client-server-api/#room-upgrades
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.core.auth_selection import CREATE
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID, UserID, parse_room_id
from homeserver.core.room_upgrades import TOMBSTONE
from homeserver.services.errors import GuestAccessForbidden
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.guests import UNWELCOME, is_unwelcome
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.room_upgrades import move_aliases
from homeserver.storage.rooms import find_head, find_published, set_published


class Successors:
    """Brings local users into rooms wherever they are, with what they had set for a room that this one replaces."""

    def __init__(
        self, database: Database, states: RoomStates, anywhere: RemoteMembership, settings: RoomSettings
    ) -> None:
        self._database = database
        self._states = states
        self._anywhere = anywhere
        self._settings = settings

    async def join(
        self,
        user_id: UserID,
        room: str,
        reason: str | None,
        third_party_signed: Mapping[str, Any] | None = None,  # Any: JSON
        *,
        via: Sequence[str] = (),
    ) -> RoomID:
        """See RemoteMembership.join. Raises GuestAccessForbidden, too."""
        before = self._database.position
        room_id = await self._anywhere.join(user_id, room, reason, third_party_signed, via=via)
        is_unwelcome, replaced = await self._database.read(self._look, user_id, room_id, before)
        if is_unwelcome:
            # Whether a room elsewhere lets guests in is in its state, which is told to those alone who have joined.
            await self._anywhere.leave(user_id, room_id, None)
            raise GuestAccessForbidden(UNWELCOME)
        if replaced is not None:
            await self._database.write(self._take_over, user_id, room_id, before)
        return room_id

    def _look(self, tx: Transaction, user_id: UserID, room_id: RoomID, before: int) -> tuple[bool, RoomID | None]:
        return is_unwelcome(tx, self._states, room_id, user_id), self._find_replaced(tx, user_id, room_id, before)

    def _find_replaced(self, tx: Transaction, user_id: UserID, room_id: RoomID, before: int) -> RoomID | None:
        """The room that the user was in and this one replaces, as both rooms say; if the user has come since."""
        membership, head = find_membership(tx, room_id, user_id), find_head(tx, room_id)
        if head is None or membership is None or membership.log_position <= before:
            return None
        create = self._states.find(tx, room_id, head.current_root, *CREATE)
        predecessor = None if create is None else create.event.content.get("predecessor")
        old = _room_id(predecessor.get("room_id")) if isinstance(predecessor, dict) else None
        old_head = None if old is None else find_head(tx, old)
        if old is None or old_head is None:
            return None
        tombstone = self._states.find(tx, old, old_head.current_root, TOMBSTONE)
        if tombstone is None or tombstone.event.content.get("replacement_room") != room_id:
            return None
        there = find_membership(tx, old, user_id)
        return old if there is not None and there.membership == "join" else None

    def _take_over(self, tx: Transaction, user_id: UserID, room_id: RoomID, before: int) -> None:
        old = self._find_replaced(tx, user_id, room_id, before)
        if old is None:
            return
        self._settings.repeat(tx, (user_id,), old, room_id)
        move_aliases(tx, old, room_id)
        if find_published(tx, old):
            set_published(tx, old, is_published=False)
            set_published(tx, room_id, is_published=True)


def _room_id(value: object) -> RoomID | None:
    try:
        return parse_room_id(value if isinstance(value, str) else "")
    except BadIdentifier:
        return None
