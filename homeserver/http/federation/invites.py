"""Server-server API: inviting to a room."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.endpoint import FEDERATION, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.invites import InviteServing


class InviteBody(msgspec.Struct, frozen=True):
    """The invite, and what is to be shown of the room. Any: JSON, looked into by the service."""

    room_version: str
    event: dict[str, Any]
    invite_room_state: tuple[Any, ...] = ()


@dataclass(frozen=True)
class FederationInviteEndpoints:
    """How users of this server are invited."""

    invites: InviteServing

    @endpoint(
        "PUT",
        "/_matrix/federation/v2/invite/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv2inviteroomideventid",
        body=InviteBody,
    )
    async def invite(self, request: Request[NoQuery, InviteBody]) -> Reply:
        """Sign an invite."""
        sent = request.body
        signed = await self.invites.receive(
            request.peer, request.room_id, request.event_id, sent.room_version, sent.event, list(sent.invite_room_state)
        )
        return Reply({"event": signed})

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/invite/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv1inviteroomideventid",
        body=JsonObject,
    )
    async def invite_to_old_room(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Sign an invite, as servers ask that know no room versions; the status comes twice."""
        signed = await self.invites.receive_old(request.peer, request.room_id, request.event_id, request.body)
        return Reply([200, {"event": signed}])
