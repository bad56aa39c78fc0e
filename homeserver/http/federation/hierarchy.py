"""Server-server API: spaces."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import FEDERATION, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.hierarchy import HierarchyServing


class HierarchyQuery(msgspec.Struct, frozen=True):
    """Whether only those children are wanted that the space suggests."""

    suggested_only: bool = False


@dataclass(frozen=True)
class FederationHierarchyEndpoints:
    """Rooms in spaces."""

    spaces: HierarchyServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/hierarchy/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1hierarchyroomid",
        query=HierarchyQuery,
    )
    async def hierarchy(self, request: Request[HierarchyQuery, NoBody]) -> Reply:
        """A space and its children."""
        suggested_only = request.query.suggested_only
        return Reply(await self.spaces.hierarchy(request.peer, request.room_id, suggested_only=suggested_only))
