"""Server-server API: invites of addresses, when they have found their users."""

from dataclasses import dataclass

from homeserver.http.endpoint import EMPTY, FEDERATION, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.third_party_invites import ThirdPartyInviteServing


@dataclass(frozen=True)
class FederationThirdPartyInviteEndpoints:
    """How the server of an invited user comes by the invite."""

    invites: ThirdPartyInviteServing

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/exchange_third_party_invite/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid",
        body=JsonObject,
    )
    async def exchange(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """Turn the invite of an address into one of a user."""
        await self.invites.exchange(request.peer, request.room_id, request.body)
        return EMPTY
