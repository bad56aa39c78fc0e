"""Server-server API: leaving rooms, rejecting invites."""

from dataclasses import dataclass

from homeserver.http.endpoint import EMPTY, FEDERATION, JsonObject, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.leaves import LeaveServing


@dataclass(frozen=True)
class FederationLeaveEndpoints:
    """How users of other servers leave."""

    leaves: LeaveServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/make_leave/{roomId}/{userId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1make_leaveroomiduserid",
    )
    async def make_leave(self, request: PlainRequest) -> Reply:
        """A template of the leave."""
        return Reply(await self.leaves.make(request.peer, request.room_id, request.path_user_id))

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/send_leave/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv2send_leaveroomideventid",
        body=JsonObject,
    )
    async def send_leave(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Take the leave."""
        await self.leaves.send(request.peer, request.room_id, request.event_id, request.body)
        return EMPTY

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/send_leave/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="not in the specification any more: old servers know no other way to leave",
        body=JsonObject,
    )
    async def send_leave_of_old(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Take the leave, from servers that are told the status twice."""
        await self.leaves.send(request.peer, request.room_id, request.event_id, request.body)
        return Reply([200, {}])
