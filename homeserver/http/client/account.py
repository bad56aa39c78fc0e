"""Client-server API: the account that one is logged in to."""

from dataclasses import dataclass

from homeserver.http.endpoint import ACCESS_TOKEN, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass


@dataclass(frozen=True)
class AccountEndpoints:
    """What one may ask of one's own account."""

    @endpoint(
        "GET",
        "/_matrix/client/v3/account/whoami",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3accountwhoami",
        guests=True,
    )
    async def whoami(self, request: PlainRequest) -> Reply:
        """Whose access token it is."""
        requester = request.requester
        body: dict[str, object] = {"user_id": requester.user_id, "is_guest": requester.is_guest}
        if requester.device_id is not None:
            body["device_id"] = requester.device_id
        return Reply(body)
