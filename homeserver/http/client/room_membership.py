"""Client-server API: room membership."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.remote_invites import RemoteInviting
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.services.rooms.successors import Successors


class JoinQuery(msgspec.Struct, frozen=True):
    """Servers through which a room may be joined; `server_name` is what the parameter was called before."""

    via: list[str] = []
    server_name: list[str] = []


class JoinBody(msgspec.Struct, frozen=True):
    """Why somebody joins, and the proof of a third-party invite."""

    reason: str | None = None
    third_party_signed: dict[str, Any] | None = None


class ReasonBody(msgspec.Struct, frozen=True):
    """Why somebody does what they do."""

    reason: str | None = None


class TargetBody(msgspec.Struct, frozen=True):
    """Whom it is about."""

    user_id: str
    reason: str | None = None


@dataclass(frozen=True)
class RoomMembershipEndpoints:
    """Joining, knocking, inviting, leaving, kicking, banning."""

    membership: RoomMembership
    anywhere: RemoteMembership
    successors: Successors
    inviting: RemoteInviting

    @endpoint(
        "GET",
        "/_matrix/client/v3/joined_rooms",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3joined_rooms",
    )
    async def joined_rooms(self, request: PlainRequest) -> Reply:
        """The rooms that the user is in."""
        return Reply({"joined_rooms": await self.membership.joined_rooms(request.requester.user_id)})

    @endpoint(
        "POST",
        "/_matrix/client/v3/join/{roomIdOrAlias}",
        auth=ACCESS_TOKEN,
        limit=RateClass.JOIN,
        spec="client-server-api/#post_matrixclientv3joinroomidoralias",
        query=JoinQuery,
        body=JoinBody,
        suspended=False,
        guests=True,
    )
    async def join_room(self, request: Request[JoinQuery, JoinBody]) -> Reply:
        """Join a room by its ID or alias."""
        return await self._join(request.path["roomIdOrAlias"], request)

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/join",
        auth=ACCESS_TOKEN,
        limit=RateClass.JOIN,
        spec="client-server-api/#post_matrixclientv3roomsroomidjoin",
        query=JoinQuery,
        body=JoinBody,
        suspended=False,
        guests=True,
    )
    async def join_room_by_id(self, request: Request[JoinQuery, JoinBody]) -> Reply:
        """Join a room by its ID."""
        return await self._join(request.room_id, request)

    async def _join(self, room: str, request: Request[JoinQuery, JoinBody]) -> Reply:
        body, query = request.body, request.query
        room_id = await self.successors.join(
            request.requester.user_id, room, body.reason, body.third_party_signed, via=(*query.via, *query.server_name)
        )
        return Reply({"room_id": room_id})

    @endpoint(
        "POST",
        "/_matrix/client/v3/knock/{roomIdOrAlias}",
        auth=ACCESS_TOKEN,
        limit=RateClass.JOIN,
        spec="client-server-api/#post_matrixclientv3knockroomidoralias",
        query=JoinQuery,
        body=ReasonBody,
        suspended=False,
    )
    async def knock(self, request: Request[JoinQuery, ReasonBody]) -> Reply:
        """Ask to be let into a room."""
        query, room = request.query, request.path["roomIdOrAlias"]
        room_id = await self.anywhere.knock(
            request.requester.user_id, room, request.body.reason, via=(*query.via, *query.server_name)
        )
        return Reply({"room_id": room_id})

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/invite",
        auth=ACCESS_TOKEN,
        limit=RateClass.INVITE,
        spec="client-server-api/#post_matrixclientv3roomsroomidinvite",
        body=TargetBody,
        suspended=False,
    )
    async def invite_user(self, request: Request[NoQuery, TargetBody]) -> Reply:
        """Invite a user."""
        target = parse_user_id(request.body.user_id)
        await self.inviting.invite(request.requester.user_id, request.room_id, target, request.body.reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/leave",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidleave",
        body=ReasonBody,
        guests=True,
    )
    async def leave_room(self, request: Request[NoQuery, ReasonBody]) -> Reply:
        """Leave a room, or decline an invite."""
        await self.anywhere.leave(request.requester.user_id, request.room_id, request.body.reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/forget",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidforget",
    )
    async def forget_room(self, request: Request[NoQuery, NoBody]) -> Reply:
        """Hide a room that the user left."""
        await self.membership.forget(request.requester.user_id, request.room_id)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/kick",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidkick",
        body=TargetBody,
        suspended=False,
    )
    async def kick(self, request: Request[NoQuery, TargetBody]) -> Reply:
        """Remove a user from a room."""
        target = parse_user_id(request.body.user_id)
        await self.membership.kick(request.requester.user_id, request.room_id, target, request.body.reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/ban",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidban",
        body=TargetBody,
        suspended=False,
    )
    async def ban(self, request: Request[NoQuery, TargetBody]) -> Reply:
        """Remove a user and let them not come back."""
        target = parse_user_id(request.body.user_id)
        await self.membership.ban(request.requester.user_id, request.room_id, target, request.body.reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/unban",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3roomsroomidunban",
        body=TargetBody,
        suspended=False,
    )
    async def unban(self, request: Request[NoQuery, TargetBody]) -> Reply:
        """Let a banned user come back."""
        target = parse_user_id(request.body.user_id)
        await self.membership.unban(request.requester.user_id, request.room_id, target, request.body.reason)
        return EMPTY
