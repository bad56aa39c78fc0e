"""Client-server API: the rooms of spaces."""

from dataclasses import dataclass
from typing import Any

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.hierarchy import Hierarchy, WalkWish


class WalkQuery(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """How far to go into a space, and which page of it."""

    suggested_only: bool = False
    limit: int | None = None
    max_depth: int | None = None
    since: str | None = None


@dataclass(frozen=True)
class HierarchyEndpoints:
    """Walks through spaces."""

    hierarchy: Hierarchy

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/hierarchy",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#get_matrixclientv1roomsroomidhierarchy",
        query=WalkQuery,
    )
    async def walk(self, request: Request[WalkQuery, NoBody]) -> Reply:
        """A page of the rooms in a space."""
        query = request.query
        wish = WalkWish(request.requester.user_id, request.room_id, query.suggested_only, query.max_depth)
        page = await self.hierarchy.page(wish, limit=query.limit, token=query.since)
        body: dict[str, Any] = {"rooms": page.rooms}  # Any: JSON
        if page.next_batch is not None:
            body["next_batch"] = page.next_batch
        return Reply(body)
