"""Client-server API: calls."""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.http.endpoint import ACCESS_TOKEN, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.calls import Calls


def livekit_transports(urls: Sequence[str]) -> list[dict[str, str]]:
    """The transports of MatrixRTC that this server knows, the one to prefer first: MSC4143 and MSC4195."""
    return [{"type": "livekit", "livekit_service_url": url} for url in urls]


@dataclass(frozen=True)
class CallEndpoints:
    """Where calls go through."""

    calls: Calls
    livekit_urls: Sequence[str]

    @endpoint(
        "GET",
        "/_matrix/client/v3/voip/turnServer",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3voipturnserver",
        guests=True,
    )
    async def turn_server(self, request: PlainRequest) -> Reply:
        """TURN servers with credentials.

        Where there are none Synapse answers with an empty object, which is not as specified; clients take an error too.
        """
        access = self.calls.turn_access(request.requester)
        return Reply(
            {
                "username": access.credentials.username,
                "password": access.credentials.password,
                "uris": access.uris,
                "ttl": access.lifetime_s,
            }
        )

    @endpoint(
        "GET",
        "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="MSC4143: MatrixRTC",
        also=["/_matrix/client/v1/rtc/transports"],
        guests=True,
    )
    async def rtc_transports(self, _: PlainRequest) -> Reply:
        """Where MatrixRTC sessions can take place."""
        return Reply({"rtc_transports": livekit_transports(self.livekit_urls)})
