"""Administration: what is done with rooms, and in them, by the server's hand.

Each lies under a name of this server's own and under that of Synapse, whose tools use it, and has the shape of those.
"""

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import msgspec

from homeserver.core.identifiers import RoomID, parse_user_id
from homeserver.http.endpoint import EMPTY, NoQuery, Nothing, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.room_blocks import RoomBlocks
from homeserver.services.admin.room_recovery import RoomRecovery
from homeserver.services.errors import MissingParameter

SYNAPSE_ROOMS = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html"


class BlockBody(msgspec.Struct, frozen=True):
    """Whether the room is to be blocked."""

    block: bool


class RoomAdminBody(msgspec.Struct, frozen=True):
    """Whom it is about; without, whoever asks."""

    user_id: str | None = None


class JoinQuery(msgspec.Struct, frozen=True):
    """Through which servers."""

    server_name: list[str] = []
    via: list[str] = []


class JoinBody(msgspec.Struct, frozen=True):
    """Who is to join."""

    user_id: str


class BlockAnswer(TypedDict):
    """Whether a room is blocked; if so, by which user (nobody is named where it was the owner), and when."""

    block: bool
    user_id: NotRequired[str]
    blocked_ts: NotRequired[int]


class BlockSetAnswer(TypedDict):
    """Whether a room is blocked now."""

    block: bool


class JoinAnswer(TypedDict):
    """Which room was joined."""

    room_id: str


@dataclass(frozen=True)
class RoomActEndpoints:
    """Rooms, in the hands of those who look after the server."""

    blocks: RoomBlocks
    recovery: RoomRecovery

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/block",
        also=("/_synapse/admin/v1/rooms/{roomId}/block",),
        spec=SYNAPSE_ROOMS,
    )
    async def find_block(self, request: PlainRequest) -> Reply[BlockAnswer]:
        """Whether a room is blocked, and who did it."""
        block = await self.blocks.find(request.room_id)
        if block is None:
            return Reply({"block": False})
        if block.blocked_by is None:
            # The owner of the server is no user; Draupnir takes no null here.
            return Reply({"block": True, "blocked_ts": block.blocked_ms})
        return Reply({"block": True, "user_id": block.blocked_by, "blocked_ts": block.blocked_ms})

    @admin_endpoint(
        "PUT",
        "/_columba/admin/v1/rooms/{roomId}/block",
        also=("/_synapse/admin/v1/rooms/{roomId}/block",),
        body=BlockBody,
        spec=SYNAPSE_ROOMS,
    )
    async def set_block(self, request: Request[NoQuery, BlockBody]) -> Reply[BlockSetAnswer]:
        """Block a room, or open it again."""
        if request.body.block:
            await self.blocks.block(request.room_id, request.user_id)
        else:
            await self.blocks.unblock(request.room_id)
        return Reply({"block": request.body.block})

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomIdOrAlias}/make_room_admin",
        also=("/_synapse/admin/v1/rooms/{roomIdOrAlias}/make_room_admin",),
        body=RoomAdminBody,
        spec=SYNAPSE_ROOMS,
    )
    async def make_room_admin(self, request: Request[NoQuery, RoomAdminBody]) -> Reply[Nothing]:
        """Give somebody as much power in a room as this server's users have there."""
        named = request.body.user_id
        user_id = request.user_id if named is None else parse_user_id(named)
        if user_id is None:
            raise MissingParameter("user_id is missing: the owner of the server is no user of it")
        await self.recovery.make_admin(request.path["roomIdOrAlias"], user_id)
        return EMPTY

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/join/{roomIdOrAlias}",
        also=("/_synapse/admin/v1/join/{roomIdOrAlias}",),
        query=JoinQuery,
        body=JoinBody,
        spec="https://element-hq.github.io/synapse/latest/admin_api/room_membership.html",
    )
    async def join(self, request: Request[JoinQuery, JoinBody]) -> Reply[JoinAnswer]:
        """Let a user of this server join a room."""
        servers = request.query.via or request.query.server_name
        room_id: RoomID = await self.recovery.join(
            parse_user_id(request.body.user_id), request.path["roomIdOrAlias"], via=servers
        )
        return Reply({"room_id": room_id})
