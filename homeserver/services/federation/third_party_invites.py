"""Invites of addresses whose users have been found, by other servers or here: turned into invites of these users.

A room of which the asking server is to know nothing is refused like one that does not exist.
Spec: server-server-api/#third-party-invites
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from homeserver.core.errors import ProtocolError
from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of, server_name_of_user
from homeserver.runtime.logs import get_logger
from homeserver.runtime.parallel import in_parallel
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, ServiceError
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.room_access import NO_ROOM, RoomAccess
from homeserver.services.rooms.remote_invites import RemoteInviting
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.third_party_invites import Redeemed, redeemed
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction

ISSUED: Final = "m.room.third_party_invite"
MOST_BOUND: Final = 20  # invites of one address: for each of them another server may have to be asked
BOUND_AT_ONCE: Final = 3
UNUSABLE: Final = "There is no such user here, or an invite that cannot be redeemed"

# JSON of other servers is `Any` in this file.

log = get_logger(__name__)


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


class BoundAddresses:
    """Hears of addresses that are users' of this server now, and were invited before."""

    def __init__(self, database: Database, anywhere: RemoteMembership, server_name: ServerName) -> None:
        self._database = database
        self._anywhere = anywhere
        self._server_name = server_name

    async def bound(self, user_id: UserID, invites: Sequence[tuple[RoomID, Redeemed]]) -> None:
        """Invite a user to the rooms to which the user's address was invited, through the inviters' servers if need be.

        Who tells of it is not known. What counts is that an identity server has signed each invite whose keys the room
        names: the room's rules see to that, here or on the inviter's server.
        Raises InvalidParameter, with nothing done; Forbidden when an invite led to nothing, whatever the reason.
        """
        if len(invites) > MOST_BOUND:
            raise InvalidParameter(f"No more than {MOST_BOUND} invites of an address can be redeemed")
        if any(invite.target != user_id for _, invite in invites):
            raise InvalidParameter("An invite is another user's")
        failures: list[str] = []

        async def redeem(room_id: RoomID, invite: Redeemed) -> None:
            try:
                await self._anywhere.redeem(room_id, invite)
            except (ServiceError, ProtocolError) as failure:
                failures.append(failure.reason)
                log.info("invite of an address not redeemed", room_id=room_id, user=user_id, reason=failure.reason)

        is_known = await self._database.read(self._is_active, user_id)
        if is_known:
            await in_parallel([partial(redeem, *one) for one in invites], at_once=BOUND_AT_ONCE)
        if failures or not is_known:
            raise Forbidden(UNUSABLE)

    def _is_active(self, tx: Transaction, user_id: UserID) -> bool:
        account = find_account(tx, user_id) if server_name_of_user(user_id) == self._server_name else None
        return account is not None and not account.is_deactivated
