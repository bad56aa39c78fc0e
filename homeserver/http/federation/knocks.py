"""Server-server API: knocking upon rooms."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import FEDERATION, JsonObject, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.knocks import KnockServing


class VersionsQuery(msgspec.Struct, frozen=True):
    """The room versions that the asking server knows."""

    ver: list[str]


@dataclass(frozen=True)
class FederationKnockEndpoints:
    """How users of other servers knock."""

    knocks: KnockServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_knock/{roomId}/{userId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1make_knockroomiduserid",
        query=VersionsQuery,
    )
    async def make_knock(self, request: Request[VersionsQuery, NoBody]) -> Reply:
        """A template of the knock."""
        return Reply(await self.knocks.make(request.peer, request.room_id, request.path_user_id, request.query.ver))

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_knock/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv1send_knockroomideventid",
        body=JsonObject,
    )
    async def send_knock(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Take the knock, and tell of the room."""
        shown = await self.knocks.send(request.peer, request.room_id, request.event_id, request.body)
        return Reply({"knock_room_state": shown})
