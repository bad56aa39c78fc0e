"""Local users in rooms wherever they are: what this server can do by itself, and what it must ask others for.

A room that this server is in, it changes by itself: membership.py. Into one that it is not in, a user comes by way of a
server that is: remote_joins.py; and gets out of an invite to one likewise: remote_leaves.py.
Spec: server-server-api/#joining-rooms
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homeserver.core.event import Event
from homeserver.core.identifiers import RoomAlias, RoomID, ServerName, UserID, parse_room_id, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.errors import Forbidden
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.remote_joins import RemoteJoins
from homeserver.services.rooms.remote_knocks import RemoteKnocks
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.services.rooms.several_servers import candidates, first_answer
from homeserver.services.rooms.third_party_invites import Redeemed, redeemed
from homeserver.storage.blocked_rooms import find_block
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership
from homeserver.storage.profiles import member_profile
from homeserver.storage.remote_memberships import find_remote_membership
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import find_head


@dataclass(frozen=True, slots=True)
class _Standing:
    """How this server, and one of its users, stand to a room."""

    is_here: bool  # this server is in the room, or nobody is, so that it can decide by itself
    is_blocked: bool
    version: RoomVersion | None
    inviting: Sequence[str]  # the server that the user's membership is known from
    servers: Sequence[str]  # known to be in the room
    current: Event | None  # the user's membership
    profile: Mapping[str, Any]  # Any: JSON
    reaches_nobody: bool  # nobody is to hear what the user says

    def check_is_open(self) -> None:
        """Raises Forbidden for a room that this server's administrators have closed."""
        if self.is_blocked:
            raise Forbidden("This server takes no part in the room")

    def said(self, reason: str | None) -> dict[str, Any]:
        """What an event of the user's says besides the membership."""
        if self.reaches_nobody:
            return {}
        return dict(self.profile) if reason is None else {**self.profile, "reason": reason}


class RemoteMembership:
    """Brings local users into rooms, and out of them."""

    def __init__(
        self,
        database: Database,
        membership: RoomMembership,
        aliases: RoomAliases,
        joins: RemoteJoins,
        leaves: RemoteLeaves,
        knocks: RemoteKnocks,
        admission: Admission,
        server_name: ServerName,
        *,
        bars_room: Callable[[RoomID], bool] = lambda _: False,
    ) -> None:
        self._database = database
        self._membership = membership
        self._aliases = aliases
        self._joins = joins
        self._leaves = leaves
        self._knocks = knocks
        self._admission = admission
        self._server_name = server_name
        self._bars_room = bars_room  # beside those that are blocked
        self._locks: KeyedLocks[RoomID] = KeyedLocks()

    async def join(
        self,
        user_id: UserID,
        room: str,
        reason: str | None,
        third_party_signed: Mapping[str, Any] | None = None,  # Any: JSON
        *,
        via: Sequence[str] = (),
    ) -> RoomID:
        """Join the room of this ID or alias, if need be through one of the servers `via` or one that is known in it.

        Joining again changes nothing. Raises NotFound, Forbidden, AuthRejected, RemoteFailed.
        """
        room_id, told = await self._room_of(room)
        await self._ask_whether_to_join(user_id, room_id)
        # The first of several users who come at once brings the room; the others join it here.
        async with self._locks(room_id):
            standing = await self._stand(user_id, room_id)
            standing.check_is_open()
            if standing.is_here:
                return await self._membership.join(user_id, room_id, reason, third_party_signed)
            content = standing.said(reason)
            if third_party_signed is not None:
                invite = redeemed(third_party_signed.get("sender"), user_id, third_party_signed)
                await self._joins.redeem(room_id, invite, ignores_backoff=True)

            async def join_through(server: ServerName) -> None:
                await self._joins.join_through(server, room_id, user_id, content, standing.version)

            others = candidates(self._server_name, standing.inviting, via, told, standing.servers)
            await first_answer(others, join_through)
        return room_id

    async def redeem(self, room_id: RoomID, invite: Redeemed) -> None:
        """Turn the invite of an address, which is the user's, into one of the user, wherever the room is.

        Raises as `join` does, and InviteBlocked.
        """
        async with self._locks(room_id):
            standing = await self._stand(invite.target, room_id)
            standing.check_is_open()
            current = None if standing.current is None else standing.current.content.get("membership")
            if standing.is_here:
                await self._membership.redeem(room_id, invite)
            elif current != "invite":
                # Strangers can ask for this: a server that did not answer lately is left alone.
                await self._joins.redeem(room_id, invite, ignores_backoff=False)

    async def knock(self, user_id: UserID, room: str, reason: str | None, *, via: Sequence[str] = ()) -> RoomID:
        """Ask to be let into the room of this ID or alias; knocking again changes nothing.

        Raises as `join` does.
        """
        room_id, told = await self._room_of(room)
        async with self._locks(room_id):
            standing = await self._stand(user_id, room_id)
            standing.check_is_open()
            if standing.is_here:
                return await self._membership.knock(user_id, room_id, reason)
            current = None if standing.current is None else standing.current.content.get("membership")
            if current == "knock":
                return room_id
            if current == "invite":
                raise Forbidden("You are invited already: you need not knock")
            if standing.reaches_nobody:
                return room_id

            async def knock_through(server: ServerName) -> None:
                await self._knocks.knock_through(server, room_id, user_id, standing.said(reason), standing.version)

            await first_answer(candidates(self._server_name, via, told, standing.servers), knock_through)
        return room_id

    async def leave(self, user_id: UserID, room_id: RoomID, reason: str | None) -> None:
        """Leave a room, decline an invite, or take back a knock, wherever the room is; leaving again changes nothing.

        Raises NotFound, Forbidden.
        """
        async with self._locks(room_id):
            standing = await self._stand(user_id, room_id)
            current = standing.current
            if standing.is_here or current is None or current.content.get("membership") not in ("invite", "knock"):
                await self._membership.leave(user_id, room_id, reason)
                return
            servers = candidates(self._server_name, standing.inviting, standing.servers)
            await self._leaves.leave(user_id, current, servers, None if standing.reaches_nobody else reason)

    async def _ask_whether_to_join(self, user_id: UserID, room_id: RoomID) -> None:
        """Raises RefusedAsSpam. About who is in the room already nobody is asked."""
        if not self._admission.is_asked_about_joins:
            return
        standing = await self._stand(user_id, room_id)
        current = None if standing.current is None else standing.current.content.get("membership")
        if current != "join":
            await self._admission.may_join(user_id, room_id, is_invited=current == "invite")

    async def _room_of(self, room: str) -> tuple[RoomID, Sequence[ServerName]]:
        if not room.startswith("#"):
            return parse_room_id(room), ()
        return await self._aliases.resolve(RoomAlias(room), is_remembered_enough=False)

    async def _stand(self, user_id: UserID, room_id: RoomID) -> _Standing:
        is_barred = self._bars_room(room_id)  # asked on this thread
        return await self._database.read(self._standing, user_id, room_id, is_barred=is_barred)

    def _standing(self, tx: Transaction, user_id: UserID, room_id: RoomID, *, is_barred: bool) -> _Standing:
        head = find_head(tx, room_id)
        servers = servers_in_room(tx, room_id)
        membership = find_membership(tx, room_id, user_id)
        outside = find_remote_membership(tx, room_id, user_id)
        current = None if outside is None else outside.encoded.event
        inviting = [] if outside is None else [outside.told_by]
        if outside is None and membership is not None:
            stored = events_by_id(tx, [membership.event_id]).get(membership.event_id)
            current = None if stored is None else stored.event
            inviting = [server_name_of_user(membership.sender)]
        is_known = head is not None and bool(head.heads)
        return _Standing(
            # An invite from outside says that a room lives on which everybody who is known here has left.
            is_here=is_known and (self._server_name in servers or (not servers and outside is None)),
            is_blocked=is_barred or find_block(tx, room_id) is not None,
            version=None if head is None else head.version,
            inviting=inviting,
            servers=sorted(servers),
            current=current,
            profile=member_profile(tx, user_id),
            reaches_nobody=self._membership.reaches_nobody(user_id),
        )
