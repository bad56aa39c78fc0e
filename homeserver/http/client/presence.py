"""Client-server API: presence."""

from dataclasses import dataclass

import msgspec

from homeserver.core.presence import PresenceWord
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.presence import Presence


class PresenceBody(msgspec.Struct, frozen=True):
    """How present somebody is, and in which words."""

    presence: PresenceWord
    status_msg: str | None = None


@dataclass(frozen=True)
class PresenceEndpoints:
    """Who is there."""

    presence: Presence

    @endpoint(
        "GET",
        "/_matrix/client/v3/presence/{userId}/status",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3presenceuseridstatus",
    )
    async def status(self, request: PlainRequest) -> Reply:
        """How present a user is with whom one shares a room."""
        return Reply(await self.presence.status(request.requester.user_id, request.path_user_id))

    @endpoint(
        "PUT",
        "/_matrix/client/v3/presence/{userId}/status",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3presenceuseridstatus",
        body=PresenceBody,
    )
    async def set_status(self, request: Request[NoQuery, PresenceBody]) -> Reply:
        """Say how present one is."""
        requester, body = request.requester, request.body
        self.presence.set_status(
            requester.user_id, requester.device_id, request.path_user_id, body.presence, body.status_msg
        )
        return EMPTY
