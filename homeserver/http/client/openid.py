"""Client-server API: OpenID."""

from dataclasses import dataclass

from homeserver.core.identifiers import ServerName
from homeserver.http.endpoint import ACCESS_TOKEN, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.openid import LIFETIME_S, OpenIDTokens


@dataclass(frozen=True)
class OpenIDEndpoints:
    """How users show third parties who they are."""

    tokens: OpenIDTokens
    server_name: ServerName

    @endpoint(
        "POST",
        "/_matrix/client/v3/user/{userId}/openid/request_token",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3useruseridopenidrequest_token",
        body=JsonObject,
    )
    async def request_token(self, request: Request[NoQuery, JsonObject]) -> Reply:
        """A token to give away."""
        token = await self.tokens.issue(request.requester.user_id, request.path_user_id)
        return Reply(
            {
                "access_token": token,
                "token_type": "Bearer",
                "matrix_server_name": self.server_name,
                "expires_in": LIFETIME_S,
            }
        )
