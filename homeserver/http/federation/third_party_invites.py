"""Server-server API: invites of addresses, when they have found their users."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_room_id, parse_user_id
from homeserver.http.endpoint import EMPTY, FEDERATION, NONE, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.third_party_invites import BoundAddresses, ThirdPartyInviteServing
from homeserver.services.rooms.third_party_invites import redeemed


class BoundInvite(msgspec.Struct, frozen=True):
    """An invite of an address, with what the identity server signed when the address became a user's."""

    medium: str
    address: str
    mxid: str
    room_id: str
    sender: str
    signed: JsonObject


class BoundAddress(msgspec.Struct, frozen=True):
    """An address that is a user's now, and its invites."""

    medium: str
    address: str
    mxid: str
    invites: list[BoundInvite]


@dataclass(frozen=True)
class FederationThirdPartyInviteEndpoints:
    """How the server of an invited user comes by the invite."""

    invites: ThirdPartyInviteServing
    addresses: BoundAddresses

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

    @endpoint(
        "PUT",
        "/_matrix/federation/v1/3pid/onbind",
        auth=NONE,
        limit=RateClass.INVITE,
        spec="server-server-api/#put_matrixfederationv13pidonbind",
        body=BoundAddress,
    )
    # What identity servers say, where the specification has PUT.
    @endpoint(
        "POST",
        "/_matrix/federation/v1/3pid/onbind",
        auth=NONE,
        limit=RateClass.INVITE,
        spec="server-server-api/#put_matrixfederationv13pidonbind",
        body=BoundAddress,
    )
    async def on_bind(self, request: Request[NoQuery, BoundAddress]) -> Reply:
        """Invite the user of an address to where the address was invited."""
        told = request.body
        user_id = parse_user_id(told.mxid)
        invites = [
            (parse_room_id(one.room_id), redeemed(one.sender, parse_user_id(one.mxid), one.signed))
            for one in told.invites
        ]
        await self.addresses.bound(user_id, invites)
        return EMPTY
