"""Invites of addresses whose users other servers have found: turned into invites of these users.

A room of which the asking server is to know nothing is refused like one that does not exist.
Spec: server-server-api/#third-party-invites
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of, server_name_of_user
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.room_access import NO_ROOM, RoomAccess
from homeserver.services.rooms.remote_invites import RemoteInviting
from homeserver.services.rooms.third_party_invites import Redeemed, redeemed
from homeserver.storage.database import Database, Transaction

ISSUED: Final = "m.room.third_party_invite"

# JSON of other servers is `Any` in this file.


class ThirdPartyInviteServing:
    """Exchanges invites."""

    def __init__(
        self,
        database: Database,
        access: RoomAccess,
        states: RoomStates,
        inviting: RemoteInviting,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._access = access
        self._states = states
        self._inviting = inviting
        self._server_name = server_name

    async def exchange(self, server: ServerName, room_id: RoomID, event: Mapping[str, Any]) -> None:
        """Invite a user of `server` whose address a user of this server invited, as `event` shows it to be.

        Raises InvalidParameter, NotFound, Forbidden, AuthRejected, RemoteFailed.
        """
        invite = self._read(server, room_id, event)
        issued = await self._database.read(self._issued, server, room_id, invite.token)
        await self._inviting.invite_elsewhere(invite.sender, room_id, invite.target, invite.content(issued))

    def _read(self, server: ServerName, room_id: RoomID, event: Mapping[str, Any]) -> Redeemed:
        content, target = event.get("content"), event.get("state_key")
        invite = content.get("third_party_invite") if isinstance(content, dict) else None
        if event.get("type") != "m.room.member" or event.get("room_id") != room_id or not isinstance(invite, dict):
            raise InvalidParameter("This is no third-party invite into the room")
        if not isinstance(target, str) or server_name_of(UserID(target)) != server:
            raise InvalidParameter("The invited user is not of your server")
        read = redeemed(event.get("sender"), UserID(target), invite.get("signed"))
        if server_name_of_user(read.sender) != self._server_name:
            raise InvalidParameter("The inviting user is not of this server")
        return read

    def _issued(self, tx: Transaction, server: ServerName, room_id: RoomID, token: str) -> Event:
        """The invite of the address. Raises NotFound, for a room without it too, and Forbidden."""
        head = self._access.whole_room(tx, room_id, server)
        stored = self._states.find(tx, room_id, head.current_root, ISSUED, token)
        if stored is None:
            raise NotFound(NO_ROOM)
        return stored.event
