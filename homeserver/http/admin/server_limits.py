"""Administration: how much single servers may ask and send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.http.endpoint import NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.federation.server_limits import EffectiveLimit, ServerLimits
from homeserver.storage.server_limits import ServerLimit


class LimitBody(msgspec.Struct, frozen=True):
    """`burst` at once, and `rate_hz` a second in the long run."""

    rate_hz: float
    burst: int


class LimitsBody(msgspec.Struct, frozen=True):
    """Limits by their names; null has that for all servers count again."""

    limits: dict[str, LimitBody | None]


class OwnLimitsAnswer(TypedDict):
    """What is set for single servers."""

    limits: Sequence[ServerLimit]


class ServerLimitsAnswer(TypedDict):
    """All limits that count for a server, by their names."""

    server: str
    limits: Mapping[str, EffectiveLimit]


@dataclass(frozen=True)
class ServerLimitAdminEndpoints:
    """Limits of single servers."""

    limits: ServerLimits

    @admin_endpoint("GET", "/_columba/admin/v1/federation/limits", spec="for `homeserver admin federation limits`")
    async def all(self, _: PlainRequest) -> Reply[OwnLimitsAnswer]:
        """What is set for single servers."""
        return Reply({"limits": self.limits.all})

    @admin_endpoint(
        "GET", "/_columba/admin/v1/federation/limits/{serverName}", spec="for `homeserver admin federation limit NAME`"
    )
    async def one(self, request: PlainRequest) -> Reply[ServerLimitsAnswer]:
        """What counts for a server."""
        return _told(request.path["serverName"], self.limits)

    @admin_endpoint(
        "PUT",
        "/_columba/admin/v1/federation/limits/{serverName}",
        body=LimitsBody,
        spec="for `homeserver admin federation limit NAME --set`",
    )
    async def change(self, request: Request[NoQuery, LimitsBody]) -> Reply[ServerLimitsAnswer]:
        """Set limits of a server, or have those for all count again; the others stay."""
        server = request.path["serverName"]
        changes = {
            name: None if limit is None else (limit.rate_hz, limit.burst) for name, limit in request.body.limits.items()
        }
        await self.limits.change(server, changes)
        return _told(server, self.limits)


def _told(server: str, limits: ServerLimits) -> Reply[ServerLimitsAnswer]:
    return Reply({"server": server, "limits": limits.of(server)})
