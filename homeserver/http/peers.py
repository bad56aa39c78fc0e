"""Other servers, for a server that does not federate."""

from collections.abc import Sequence

from homeserver.core.identifiers import ServerName
from homeserver.services.errors import Unauthorized


class NoPeers:
    """Verifies nobody: see authentication.PeerVerifier."""

    async def verify(self, *, method: str, uri: str, authorization: Sequence[str], content: bytes) -> ServerName:  # noqa: ARG002
        """Raises Unauthorized."""
        raise Unauthorized("This server does not federate")
