"""Invites that other servers bring to users of this one. Spec: server-server-api/#inviting-to-a-room

What makes an event such an invite, and how its user is told, is in services/rooms/remote_invites.py.
"""

from typing import Any, Final

from homeserver.core.errors import UnsupportedRoomVersion
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.services.errors import Forbidden, IncompatibleRoomVersion
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.room_access import SHUT_OUT
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.rooms.remote_invites import RemoteInvites
from homeserver.storage.blocked_rooms import find_block
from homeserver.storage.database import Database, Transaction

OLDEST: Final = "1"
BLOCKED: Final = "This server takes no part in this room"


class InviteServing:
    """Receives invites."""

    def __init__(self, database: Database, acls: ServerAcls, invites: RemoteInvites, limits: RateLimits) -> None:
        self._database = database
        self._acls = acls
        self._invites = invites
        self._limits = limits

    async def receive(
        self, server: ServerName, room_id: RoomID, event_id: EventID, version: str, pdu: object, room_state: object
    ) -> dict[str, Any]:  # Any: JSON
        """The invite with this server's signature added.

        Raises IncompatibleRoomVersion, Forbidden, InvalidParameter, NotFound, InviteBlocked, LimitExceeded.
        """
        self._limits.draw(Draw(Counted.INVITES_BY_SERVER, server, server=server))
        known = _known_version(version)
        await self._database.read(self._check_room, server, room_id)
        return await self._invites.receive(server, room_id, event_id, known, pdu, room_state)

    async def receive_old(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: dict[str, Any],  # Any: as above
    ) -> dict[str, Any]:
        """As `receive`, from servers that know no room versions but the first two; these differ in no event."""
        unsigned = pdu.get("unsigned")
        room_state = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        return await self.receive(server, room_id, event_id, OLDEST, pdu, room_state)

    def _check_room(self, tx: Transaction, server: ServerName, room_id: RoomID) -> None:
        if find_block(tx, room_id) is not None:
            raise Forbidden(BLOCKED)
        if not self._acls.allows(tx, room_id, server):
            raise Forbidden(SHUT_OUT)


def _known_version(name: str) -> RoomVersion:
    try:
        return room_version(name)
    except UnsupportedRoomVersion:
        raise IncompatibleRoomVersion(name[:255]) from None
