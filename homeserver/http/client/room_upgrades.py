"""Client-server API: room upgrades."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.upgrades import RoomUpgrades


class UpgradeBody(msgspec.Struct, frozen=True):
    """By what the room is to be replaced."""

    new_version: str
    additional_creators: list[str] = []


@dataclass(frozen=True)
class RoomUpgradeEndpoints:
    """Replacing rooms."""

    upgrades: RoomUpgrades

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/upgrade",
        auth=ACCESS_TOKEN,
        limit=RateClass.CREATE_ROOM,
        spec="client-server-api/#post_matrixclientv3roomsroomidupgrade",
        body=UpgradeBody,
        suspended=False,
    )
    async def upgrade(self, request: Request[NoQuery, UpgradeBody]) -> Reply:
        """Replace a room by one of another version."""
        body, user_id = request.body, request.requester.user_id
        room_id = await self.upgrades.upgrade(user_id, request.room_id, body.new_version, body.additional_creators)
        return Reply({"replacement_room": room_id})
