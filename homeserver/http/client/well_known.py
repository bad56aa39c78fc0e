"""Where clients and servers find this server, when its name leads to it, and whom to ask for help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import ServerName
from homeserver.http.client.calls import livekit_transports
from homeserver.http.endpoint import NONE, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import NotFound

_CACHED = (("Cache-Control", "public, max-age=3600"),)


@dataclass(frozen=True)
class WellKnownEndpoints:
    """Answers under the server's own name; none of it when it is not configured."""

    public_base_url: str | None
    federation_address: ServerName | None  # host and port at which other servers reach this one
    support_contacts: Sequence[Mapping[str, str]] = ()  # as in the specification: role, matrix_id, email_address
    support_page: str | None = None
    livekit_urls: Sequence[str] = ()
    policy_server_key: str | None = None  # ed25519, in base64

    @endpoint(
        "GET",
        "/.well-known/matrix/client",
        auth=NONE,
        limit=RateClass.FREE,
        spec="client-server-api/#getwell-knownmatrixclient",
    )
    async def client(self, _: PlainRequest) -> Reply:
        """The base URL for clients."""
        if self.public_base_url is None:
            raise NotFound("This server's public address is not configured")
        told: dict[str, object] = {"m.homeserver": {"base_url": self.public_base_url}}
        if self.livekit_urls:
            # Clients looked for them here before MSC4143 gave them an endpoint.
            told["org.matrix.msc4143.rtc_foci"] = livekit_transports(self.livekit_urls)
        return Reply(told, headers=_CACHED)

    @endpoint(
        "GET",
        "/.well-known/matrix/server",
        auth=NONE,
        limit=RateClass.FREE,
        spec="server-server-api/#getwell-knownmatrixserver",
    )
    async def server(self, _: PlainRequest) -> Reply:
        """The address for other servers."""
        if self.federation_address is None:
            raise NotFound("This server's address for other servers is its name")
        return Reply({"m.server": self.federation_address}, headers=_CACHED)

    @endpoint(
        "GET",
        "/.well-known/matrix/support",
        auth=NONE,
        limit=RateClass.FREE,
        spec="client-server-api/#getwell-knownmatrixsupport",
    )
    async def support(self, _: PlainRequest) -> Reply:
        """Contacts of those who run the server."""
        found: dict[str, object] = {}
        if self.support_contacts:
            found["contacts"] = self.support_contacts
        if self.support_page is not None:
            found["support_page"] = self.support_page
        if not found:
            raise NotFound("This server names no contacts")
        return Reply(found, headers=_CACHED)

    @endpoint(
        "GET",
        "/.well-known/matrix/policy_server",
        auth=NONE,
        limit=RateClass.FREE,
        spec="client-server-api/#getwell-knownmatrixpolicy_server",
    )
    async def policy_server(self, _: PlainRequest) -> Reply:
        """The key of the policy server that runs under this server's name."""
        if self.policy_server_key is None:
            raise NotFound("No policy server runs under this name")
        return Reply({"public_keys": {"ed25519": self.policy_server_key}}, headers=_CACHED)
