"""Administration: for how long rooms keep what is said in them; and what clients are told of it."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from homeserver.http.admin.answers import EventAnswer
from homeserver.http.endpoint import ACCESS_TOKEN, NoQuery, PlainRequest, Reply, Request, admin_endpoint, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.retention import RoomRetention, RoomRetentions, ServerRetention

HERE: Final = "for administrators: docs/moderation.md"


class RetentionBody(msgspec.Struct, frozen=True):
    """After how many milliseconds what is said in the room expires; null: the room does not say."""

    max_lifetime: int | None


@dataclass(frozen=True)
class RetentionEndpoints:
    """Lifetimes."""

    retentions: RoomRetentions

    @admin_endpoint("GET", "/_columba/admin/v1/retention", spec=HERE)
    async def of_server(self, _: PlainRequest) -> Reply[ServerRetention]:
        """The server's policy, and what was removed by it."""
        return Reply(await self.retentions.of_server())

    @admin_endpoint("GET", "/_columba/admin/v1/rooms/{roomId}/retention", spec=HERE)
    async def of_room(self, request: PlainRequest) -> Reply[RoomRetention]:
        """What a room says, what holds, and what was removed."""
        return Reply(await self.retentions.of_room(request.room_id))

    @admin_endpoint("PUT", "/_columba/admin/v1/rooms/{roomId}/retention", body=RetentionBody, spec=HERE)
    async def set_room(self, request: Request[NoQuery, RetentionBody]) -> Reply[EventAnswer]:
        """Let a room say something else."""
        return Reply({"event_id": await self.retentions.set_room(request.room_id, request.body.max_lifetime)})

    @endpoint(
        "GET",
        "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC1763",
    )
    async def configuration(self, _: PlainRequest) -> Reply:
        """What holds on this server, for clients that let users choose."""
        policy = self.retentions.policy
        everywhere: dict[str, Any] = {}  # Any: JSON
        limits: dict[str, Any] = {}
        if policy.is_enabled:
            limits["min"] = policy.shortest_ms
            if policy.longest_ms is not None:
                limits["max"] = policy.longest_ms
            if policy.default_ms is not None:
                everywhere["max_lifetime"] = policy.lifetime(None)
        return Reply(
            {
                "policies": {"*": everywhere} if everywhere else {},
                "limits": {"max_lifetime": limits} if limits else {},
            }
        )
