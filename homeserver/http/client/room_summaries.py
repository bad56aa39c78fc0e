"""Client-server API: room summaries."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import OPTIONAL_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.room_summaries import RoomSummaries


class ViaQuery(msgspec.Struct, frozen=True):
    """Servers that can be asked about the room."""

    via: list[str] = []


@dataclass(frozen=True)
class RoomSummaryEndpoints:
    """What rooms are, for those who are not in them."""

    summaries: RoomSummaries

    @endpoint(
        "GET",
        "/_matrix/client/v1/room_summary/{roomIdOrAlias}",
        auth=OPTIONAL_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#get_matrixclientv1room_summaryroomidoralias",
        query=ViaQuery,
        guests=True,
    )
    async def summary(self, request: Request[ViaQuery, NoBody]) -> Reply:
        """A room."""
        user_id = request.user_id
        return Reply(await self.summaries.summary(user_id, request.path["roomIdOrAlias"], via=request.query.via))
