"""Names of rooms and their place in the public directory, as administrators give and take them.

An alias is given in the name of one of this server's users who is in the room (local_powers.py): who is elsewhere finds
nobody through it otherwise. What users may do themselves is in services/rooms/aliases.py and directory.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import RoomAlias, RoomID, ServerName
from homeserver.runtime.clock import Clock
from homeserver.services.admin.local_powers import by_local_power, local_powers
from homeserver.services.errors import AliasInUse, NotFound
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.room_state import ALIAS
from homeserver.services.rooms.aliases import check_new_alias, drop_from_state
from homeserver.services.rooms.known_rooms import NO_ROOM, known_head
from homeserver.storage.aliases import Alias, aliases_of_room, delete_alias, find_alias, insert_alias
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import local_members
from homeserver.storage.rooms import find_published, set_published


@dataclass(frozen=True, slots=True)
class Names:
    """The aliases that this server has for a room, and the one that the room itself says is the main one."""

    aliases: Sequence[RoomAlias]
    canonical_alias: str | None


class RoomNames:
    """Names rooms and publishes them."""

    def __init__(self, database: Database, creation: EventCreation, clock: Clock, server_name: ServerName) -> None:
        self._database = database
        self._creation = creation
        self._clock = clock
        self._server_name = server_name

    async def of_room(self, room_id: RoomID) -> Names:
        """The names of a room. Raises NotFound."""
        return await self._database.read(self._of_room, room_id)

    async def add(self, room_id: RoomID, room_alias: RoomAlias, *, is_main: bool) -> None:
        """Name a room, and let it say itself that this is its main name, if wanted. What is so already stays so.

        Raises NotFound, Forbidden, InvalidParameter, AliasInUse.
        """
        check_new_alias(room_alias, self._server_name)
        await by_local_power(self._creation, self._add, room_id, room_alias, is_main=is_main)

    async def remove(self, room_id: RoomID, room_alias: RoomAlias) -> None:
        """Take a name from a room, and out of what the room says of itself, if somebody here may. Raises NotFound."""
        await self._creation.write(self._remove, room_id, room_alias)

    async def is_published(self, room_id: RoomID) -> bool:
        """Whether the public directory shows a room. Raises NotFound."""
        return await self._database.read(_published, room_id)

    async def publish(self, room_id: RoomID, *, is_published: bool) -> None:
        """Show a room in the public directory, or hide it. Raises NotFound."""
        await self._database.write(_publish, room_id, is_published=is_published)

    def _of_room(self, tx: Transaction, room_id: RoomID) -> Names:
        head = known_head(tx, room_id)
        event = self._creation.writer.states.select_known(tx, room_id, head.current_root, (ALIAS,)).get(ALIAS)
        main = None if event is None else event.content.get("alias")
        return Names(aliases_of_room(tx, room_id), main if isinstance(main, str) else None)

    def _add(self, tx: Transaction, room_id: RoomID, room_alias: RoomAlias, *, is_main: bool) -> None:
        powers = local_powers(tx, self._creation, room_id)
        alias = Alias(room_alias, room_id, powers.strongest)
        if not insert_alias(tx, alias, created_ms=self._clock.now_ms()):
            taken = find_alias(tx, room_alias)
            if taken is None or taken.room_id != room_id:
                raise AliasInUse
        current = powers.write.state((ALIAS,)).get(ALIAS)
        content = {} if current is None else dict(current.content)
        if not is_main or content.get("alias") == room_alias:
            return
        others = content.get("alt_aliases")
        listed = [other for other in others if isinstance(other, str)] if isinstance(others, list) else []
        before = content.get("alias")
        content["alias"] = room_alias
        kept = [*listed, *([before] if isinstance(before, str) and before else [])]
        content["alt_aliases"] = [other for other in dict.fromkeys(kept) if other != room_alias]
        self._creation.add(powers.write, Draft(ALIAS[0], powers.strongest, content, state_key=""))
        powers.write.finish()

    def _remove(self, tx: Transaction, room_id: RoomID, room_alias: RoomAlias) -> None:
        alias = find_alias(tx, room_alias)
        if alias is None or alias.room_id != room_id:
            raise NotFound("The room has no such alias on this server")
        delete_alias(tx, room_alias)
        if local_members(tx, room_id):
            powers = local_powers(tx, self._creation, room_id)
            drop_from_state(self._creation, powers.write, powers.strongest, room_alias)


def _published(tx: Transaction, room_id: RoomID) -> bool:
    found = find_published(tx, room_id)
    if found is None:
        raise NotFound(NO_ROOM)
    return found


def _publish(tx: Transaction, room_id: RoomID, *, is_published: bool) -> None:
    _published(tx, room_id)
    set_published(tx, room_id, is_published=is_published)
