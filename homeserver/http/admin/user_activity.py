"""Administration: how much users invite others and enter rooms. Shaped like Synapse's."""

from dataclasses import dataclass
from typing import Final, TypedDict

import msgspec

from homeserver.http.endpoint import NoBody, Reply, Request, admin_endpoint
from homeserver.services.admin.user_activity import UserActivity

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"


class SinceQuery(msgspec.Struct, frozen=True, rename={"since_ms": "from_ts"}):
    """Since when."""

    since_ms: int


class InvitesSentAnswer(TypedDict):
    """How many invites a user has sent."""

    invite_count: int


class RoomsJoinedAnswer(TypedDict):
    """How many rooms a user has entered."""

    cumulative_joined_room_count: int


@dataclass(frozen=True)
class UserActivityEndpoints:
    """What users did of late."""

    activity: UserActivity

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/sent_invite_count",
        also=("/_columba/admin/v1/users/{userId}/sent_invite_count",),
        query=SinceQuery,
        spec=SYNAPSE,
    )
    async def invites_sent(self, request: Request[SinceQuery, NoBody]) -> Reply[InvitesSentAnswer]:
        """How many invites a user has sent since a time."""
        count = await self.activity.invites_sent(request.path_user_id, request.query.since_ms)
        return Reply({"invite_count": count})

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/cumulative_joined_room_count",
        also=("/_columba/admin/v1/users/{userId}/cumulative_joined_room_count",),
        query=SinceQuery,
        spec=SYNAPSE,
    )
    async def rooms_joined(self, request: Request[SinceQuery, NoBody]) -> Reply[RoomsJoinedAnswer]:
        """How many rooms a user has entered since a time."""
        count = await self.activity.rooms_joined(request.path_user_id, request.query.since_ms)
        return Reply({"cumulative_joined_room_count": count})
