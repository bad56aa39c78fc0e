"""Administration: the rooms of spaces, whoever may see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

import msgspec

from homeserver.http.endpoint import NoBody, Reply, Request, admin_endpoint
from homeserver.services.rooms.hierarchy import Hierarchy, WalkWish

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html#admin-space-hierarchy-endpoint"


class SpaceQuery(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """How far to go into a space, and which page of it."""

    limit: int | None = None
    max_depth: int | None = None
    since: str | None = None


class SpaceAnswer(TypedDict):
    """Some of the rooms, each after the space that holds it, and where the page after them begins."""

    rooms: Sequence[Mapping[str, Any]]  # Any: JSON
    next_batch: NotRequired[str]


@dataclass(frozen=True)
class HierarchyAdminEndpoints:
    """Walks through spaces."""

    hierarchy: Hierarchy

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/hierarchy",
        also=("/_synapse/admin/v1/rooms/{roomId}/hierarchy",),
        query=SpaceQuery,
        spec=SYNAPSE,
    )
    async def walk(self, request: Request[SpaceQuery, NoBody]) -> Reply[SpaceAnswer]:
        """A page of the rooms in a space that this server knows."""
        query = request.query
        wish = WalkWish(None, request.room_id, max_depth=query.max_depth)
        page = await self.hierarchy.page(wish, limit=query.limit, token=query.since)
        answer: SpaceAnswer = {"rooms": page.rooms}
        if page.next_batch is not None:
            answer["next_batch"] = page.next_batch
        return Reply(answer)
