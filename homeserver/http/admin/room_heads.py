"""Administration: the heads of a room, the events on which nothing is built yet, made one."""

from dataclasses import dataclass
from typing import Final, TypedDict

from homeserver.http.endpoint import PlainRequest, Reply, admin_endpoint
from homeserver.services.admin.room_heads import RoomHeads

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html#deleting-forward-extremities"


class JoinedHeadsAnswer(TypedDict):
    """How many fewer heads a room has."""

    deleted: int


@dataclass(frozen=True)
class RoomHeadEndpoints:
    """Heads of rooms."""

    heads: RoomHeads

    @admin_endpoint(
        "DELETE",
        "/_columba/admin/v1/rooms/{roomIdOrAlias}/forward_extremities",
        also=("/_synapse/admin/v1/rooms/{roomIdOrAlias}/forward_extremities",),
        spec=SYNAPSE,
    )
    async def join(self, request: PlainRequest) -> Reply[JoinedHeadsAnswer]:
        """Join the events on which nothing is built yet by one that is built on all of them."""
        return Reply({"deleted": await self.heads.join(request.path["roomIdOrAlias"])})
