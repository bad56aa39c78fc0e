"""Which software this server runs, for other servers."""

from dataclasses import dataclass

from homeserver.http.endpoint import NONE, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass


@dataclass(frozen=True)
class FederationVersionEndpoints:
    """The software's name and version."""

    version: str

    @endpoint(
        "GET",
        "/_matrix/federation/v1/version",
        auth=NONE,
        limit=RateClass.FREE,
        spec="server-server-api/#get_matrixfederationv1version",
    )
    async def server_version(self, _: PlainRequest) -> Reply:
        """Name and version."""
        return Reply({"server": {"name": "Columba", "version": self.version}})
