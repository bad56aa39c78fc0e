"""Adding servers to the lists of those that may not take part in a room, and taking them out again.

It is done in the name of one of this server's users who is in the room and has the power for it (local_powers.py). What
such a list means is in core/server_acls.py.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID
from homeserver.services.admin.local_powers import local_powers
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.storage.database import Transaction

SERVER_ACL: Final = "m.room.server_acl"
LARGEST_BYTES: Final = 60_000  # of the list's JSON: an event may have 65,536 in all


class RoomAcls:
    """Changes whom rooms shut out."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def deny(self, room_id: RoomID, patterns: Collection[str]) -> None:
        """Shut servers out of a room; who is shut out stays so. Raises NotFound, Forbidden, InvalidParameter."""
        await self._write(room_id, frozenset(patterns), frozenset())

    async def forgive(self, room_id: RoomID, patterns: Collection[str]) -> None:
        """Take patterns out of what a room denies. Raises as `deny` does."""
        await self._write(room_id, frozenset(), frozenset(patterns))

    async def _write(self, room_id: RoomID, added: frozenset[str], removed: frozenset[str]) -> None:
        try:
            await self._creation.write(self._change, room_id, added, removed)
        except AuthRejected as rejected:
            raise Forbidden(f"No user of this server in the room has the power for it: {rejected.reason}") from rejected

    def _change(self, tx: Transaction, room_id: RoomID, added: frozenset[str], removed: frozenset[str]) -> None:
        powers = local_powers(tx, self._creation, room_id)
        event = powers.write.state(((SERVER_ACL, ""),)).get((SERVER_ACL, ""))
        content = None if event is None else event.content
        denied = denied_by(content)
        wanted = [each for each in denied if each not in removed]
        wanted += sorted(added - set(denied))
        if wanted == denied:
            return
        changed = {**({"allow": ["*"]} if content is None else content), "deny": wanted}
        if added and size_of(changed) > LARGEST_BYTES:
            raise InvalidParameter("The room's list of servers would be too large for an event")
        self._creation.add(powers.write, Draft(SERVER_ACL, powers.strongest, changed, state_key=""))
        powers.write.finish()


def denied_by(content: Mapping[str, Any] | None) -> list[str]:  # Any: JSON, here and below
    """What a room's list denies."""
    deny = None if content is None else content.get("deny")
    return [each for each in deny if isinstance(each, str)] if isinstance(deny, list) else []


def size_of(content: Mapping[str, Any]) -> int:
    """How large a list is."""
    return len(orjson.dumps(content))
