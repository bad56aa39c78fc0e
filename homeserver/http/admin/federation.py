"""Administration: other servers, how far behind they are, and with which of them this one speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.core.identifiers import ServerName
from homeserver.http.endpoint import EMPTY, NoBody, NoQuery, Nothing, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.federation.destination_status import DestinationStatus, DestinationStatuses
from homeserver.services.federation.destinations import Destinations
from homeserver.services.federation.reachability import Reachability, Step
from homeserver.storage.destinations import ServerRule


class DestinationsQuery(msgspec.Struct, frozen=True):
    """After which server the page begins."""

    after: str = ""


class RuleBody(msgspec.Struct, frozen=True):
    """What becomes of the servers that a pattern matches."""

    is_blocked: bool


class PeersAnswer(TypedDict):
    """Servers, in the order of their names."""

    destinations: Sequence[DestinationStatus]


class ReachabilityAnswer(TypedDict):
    """What was found, one thing after the other, up to the first that is not right."""

    steps: Sequence[Step]


class ServerRulesAnswer(TypedDict):
    """All rules, in their order."""

    rules: Sequence[ServerRule]


@dataclass(frozen=True)
class FederationAdminEndpoints:
    """Other servers."""

    statuses: DestinationStatuses
    destinations: Destinations
    reachability: Reachability

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/federation/destinations",
        query=DestinationsQuery,
        spec="for `homeserver admin federation status`",
    )
    async def all(self, request: Request[DestinationsQuery, NoBody]) -> Reply[PeersAnswer]:
        """Some servers in the order of their names; none after the last."""
        statuses = await self.statuses.page(request.query.after)
        return Reply({"destinations": statuses})

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/federation/destinations/{serverName}",
        spec="for `homeserver admin federation status NAME`",
    )
    async def one(self, request: PlainRequest) -> Reply[DestinationStatus]:
        """One server."""
        return Reply(await self.statuses.of(ServerName(request.path["serverName"])))

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/federation/destinations/{serverName}/retry",
        spec="for `homeserver admin federation retry`",
    )
    async def retry(self, request: PlainRequest) -> Reply[Nothing]:
        """Ask a server now that did not answer, whenever it was to be asked again."""
        await self.statuses.retry(ServerName(request.path["serverName"]))
        return EMPTY

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/federation/destinations/{serverName}/test",
        spec="for `homeserver admin federation test`",
    )
    async def test(self, request: PlainRequest) -> Reply[ReachabilityAnswer]:
        """Try to reach a server, by nothing that is remembered of it: what was found, step by step."""
        steps = await self.reachability.test(request.path["serverName"])
        return Reply({"steps": steps})

    @admin_endpoint("GET", "/_columba/admin/v1/federation/rules", spec="for `homeserver admin federation rules`")
    async def rules(self, _: PlainRequest) -> Reply[ServerRulesAnswer]:
        """The patterns of servers that are blocked, or allowed, in their order."""
        return Reply({"rules": self.destinations.rules})

    @admin_endpoint(
        "PUT",
        "/_columba/admin/v1/federation/rules/{pattern}",
        body=RuleBody,
        spec="for `homeserver admin federation block` and `allow`",
    )
    async def set_rule(self, request: Request[NoQuery, RuleBody]) -> Reply[Nothing]:
        """Block the servers that a pattern matches, or allow them: then no others are, but those of other rules."""
        await self.destinations.set_rule(request.path["pattern"], is_blocked=request.body.is_blocked)
        return EMPTY

    @admin_endpoint(
        "DELETE", "/_columba/admin/v1/federation/rules/{pattern}", spec="for `homeserver admin federation forget`"
    )
    async def remove_rule(self, request: PlainRequest) -> Reply[Nothing]:
        """Take a rule away."""
        await self.destinations.remove_rule(request.path["pattern"])
        return EMPTY
