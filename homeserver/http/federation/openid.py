"""Server-server API: OpenID. Whoever has got a token may ask: no server signs this."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import NONE, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.openid import OpenIDTokens
from homeserver.services.errors import MissingToken


class UserQuery(msgspec.Struct, frozen=True):
    """Whose token it is that somebody gave away."""

    access_token: str | None = None


@dataclass(frozen=True)
class FederationOpenIDEndpoints:
    """Who gave a token away."""

    tokens: OpenIDTokens

    @endpoint(
        "GET",
        "/_matrix/federation/v1/openid/userinfo",
        auth=NONE,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1openiduserinfo",
        query=UserQuery,
    )
    async def userinfo(self, request: Request[UserQuery, NoBody]) -> Reply:
        """The user. Without a token there is the error for requests that need one, and not that for parameters."""
        if request.query.access_token is None:
            raise MissingToken
        return Reply({"sub": await self.tokens.user(request.query.access_token)})
