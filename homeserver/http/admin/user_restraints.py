"""Administration: users who are held back, or may go further than others. The shapes are those of Synapse."""

from dataclasses import dataclass
from typing import Final, TypedDict

import msgspec

from homeserver.http.endpoint import EMPTY, NoQuery, Nothing, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.user_restraints import OwnLimit, UserRestraints, own_limit

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"


class RateLimitBody(msgspec.Struct, frozen=True):
    """How fast a user may act: 0 a second, which is also what is left out, is as fast as they like."""

    messages_per_second: float = 0
    burst_count: int = 0


class RateLimitAnswer(TypedDict, total=False):
    """A limit of a user's own: 0 is none at all. Empty where the server's settings hold."""

    messages_per_second: float
    burst_count: int


@dataclass(frozen=True)
class UserRestraintEndpoints:
    """Limits of single users."""

    restraints: UserRestraints

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/override_ratelimit",
        also=("/_columba/admin/v1/users/{userId}/override_ratelimit",),
        spec=SYNAPSE,
    )
    async def rate_limit(self, request: PlainRequest) -> Reply[RateLimitAnswer]:
        """The user's own rate limit; empty where they have none."""
        return Reply(shown_limit(await self.restraints.own_limit(request.path_user_id)))

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/users/{userId}/override_ratelimit",
        also=("/_columba/admin/v1/users/{userId}/override_ratelimit",),
        body=RateLimitBody,
        spec=SYNAPSE,
    )
    async def set_rate_limit(self, request: Request[NoQuery, RateLimitBody]) -> Reply[RateLimitAnswer]:
        """Give a user a rate limit of their own."""
        own = own_limit(request.body.messages_per_second, request.body.burst_count)
        await self.restraints.set_own_limit(request.path_user_id, own)
        return Reply(shown_limit(own))

    @admin_endpoint(
        "DELETE",
        "/_synapse/admin/v1/users/{userId}/override_ratelimit",
        also=("/_columba/admin/v1/users/{userId}/override_ratelimit",),
        spec=SYNAPSE,
    )
    async def reset_rate_limit(self, request: PlainRequest) -> Reply[Nothing]:
        """Let the server's settings hold for the user again."""
        await self.restraints.set_own_limit(request.path_user_id, None)
        return EMPTY

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/users/{userId}/shadow_ban",
        also=("/_columba/admin/v1/users/{userId}/shadow_ban",),
        spec=SYNAPSE,
    )
    async def shadow_ban(self, request: PlainRequest) -> Reply[Nothing]:
        """Let nobody hear a user, without their noticing."""
        await self.restraints.set_shadow_banned(request.path_user_id, is_banned=True)
        return EMPTY

    @admin_endpoint(
        "DELETE",
        "/_synapse/admin/v1/users/{userId}/shadow_ban",
        also=("/_columba/admin/v1/users/{userId}/shadow_ban",),
        spec=SYNAPSE,
    )
    async def end_shadow_ban(self, request: PlainRequest) -> Reply[Nothing]:
        """Let a user be heard again."""
        await self.restraints.set_shadow_banned(request.path_user_id, is_banned=False)
        return EMPTY


def shown_limit(own: OwnLimit | None) -> RateLimitAnswer:
    """A limit of a user's own, as tools read it."""
    if own is None:
        return {}
    if own.limit is None:
        return {"messages_per_second": 0, "burst_count": 0}
    per_second = own.limit.per_second
    whole = int(per_second) if per_second.is_integer() else per_second
    return {"messages_per_second": whole, "burst_count": int(own.limit.burst)}
