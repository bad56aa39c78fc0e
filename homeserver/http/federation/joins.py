"""Server-server API: joining rooms."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import FEDERATION, JsonObject, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.joins import JoinServing


class VersionsQuery(msgspec.Struct, frozen=True):
    """The room versions that the asking server knows."""

    ver: tuple[str, ...] = ("1",)


class JoinQuery(msgspec.Struct, frozen=True):
    """Whether members may be left out of the answer."""

    omit_members: bool = False


@dataclass(frozen=True)
class FederationJoinEndpoints:
    """How users of other servers join."""

    joins: JoinServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_join/{roomId}/{userId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1make_joinroomiduserid",
        query=VersionsQuery,
    )
    async def make_join(self, request: Request[VersionsQuery, NoBody]) -> Reply:
        """A template of the join."""
        return Reply(await self.joins.make(request.peer, request.room_id, request.path_user_id, request.query.ver))

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/send_join/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv2send_joinroomideventid",
        query=JoinQuery,
        body=JsonObject,
    )
    async def send_join(self, request: Request[JoinQuery, JsonObject]) -> Reply:
        """Take the join, and tell of the room."""
        answer = await self.joins.send(
            request.peer,
            request.room_id,
            request.event_id,
            request.body,
            omits_members=request.query.omit_members,
        )
        return Reply(answer)

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_join/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="not in the specification any more: old servers know no other way to join",
        body=JsonObject,
    )
    async def send_join_of_old(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Take the join, from servers that are told the status twice."""
        answer = await self.joins.send(request.peer, request.room_id, request.event_id, request.body)
        return Reply([200, answer])
