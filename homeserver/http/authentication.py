"""Who calls: the access token, the application service that speaks for a user, another server, the owner's socket.

What a token is worth is looked up by a service; how often the caller may come is in rate_limiting.py.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from homeserver.core.identifiers import DeviceID, ServerName, UserID, parse_device_id, parse_user_id
from homeserver.http.arrival import Arrival
from homeserver.http.endpoint import Auth, Endpoint, Upload
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import (
    Forbidden,
    GuestAccessForbidden,
    MissingToken,
    Unauthorized,
    UnknownToken,
    UserLocked,
    UserSuspended,
)


class TokenLookup(Protocol):
    """Knows the access tokens."""

    def find(self, token: str) -> Requester | Awaitable[Requester | None] | None:
        """Whose token it is: at once when memory knows, None for nobody's.

        A token that has expired while its session goes on gives a requester with `is_soft_logged_out`.
        """

    async def speak_for(self, requester: Requester, user_id: UserID | None, device_id: DeviceID | None) -> Requester:
        """The user, and the device, that an application service speaks for; None for the user is its own.

        Raises Forbidden when the user is not its to speak for, UnknownDevice when the device is not the user's.
        """


class PeerVerifier(Protocol):
    """Verifies the signatures of other servers' requests."""

    async def verify(self, *, method: str, uri: str, authorization: Sequence[str], content: bytes) -> ServerName:
        """The server that signed the request. `authorization` holds every such header, `content` the body as sent.

        Raises Unauthorized. Spec: server-server-api/#request-authentication
        """


class Authentication:
    """Finds out who calls."""

    def __init__(self, tokens: TokenLookup, peers: PeerVerifier, *, accepts_query_tokens: bool) -> None:
        self._tokens = tokens
        self._peers = peers
        self._accepts_query_tokens = accepts_query_tokens

    def shows_token(self, authorization: Sequence[str], query: Mapping[str, Sequence[str]]) -> bool:
        """True if there is any access token: known before the body is read."""
        return self._token(authorization, query) is not None

    async def requester(self, mark: Endpoint, shown: Arrival) -> Requester | None:
        """The user who calls; None where the endpoint's `auth` lets nobody in particular call.

        Raises MissingToken, UnknownToken, and whatever keeps the user from this endpoint.
        """
        auth = mark.auth
        if auth is Auth.NONE or auth is Auth.FEDERATION:
            return None
        if auth is Auth.ADMIN_SOCKET or (auth is Auth.ADMIN and shown.by_owner):
            if not shown.by_owner:
                raise Forbidden("Only the owner of the server may do this, by its socket")
            return None
        token = self._token(shown.authorization, shown.query)
        if token is None:
            if auth is Auth.OPTIONAL_TOKEN:
                return None
            raise MissingToken
        found = self._tokens.find(token)
        requester = found if found is None or isinstance(found, Requester) else await found
        if requester is None:
            raise UnknownToken
        if requester.appservice_id is not None:
            requester = await self._spoken_for(requester, shown.query)
        _admit(requester, mark)
        return requester

    async def origin(self, mark: Endpoint, shown: Arrival) -> ServerName | None:
        """The server that calls; None where the endpoint is not for servers. Raises Unauthorized."""
        if mark.auth is not Auth.FEDERATION:
            return None
        if not shown.authorization:
            raise Unauthorized("The request is not signed: it has no Authorization header")
        content = b"" if isinstance(shown.content, Upload) else shown.content
        return await self._peers.verify(
            method=shown.method, uri=shown.uri, authorization=shown.authorization, content=content
        )

    async def _spoken_for(self, requester: Requester, query: Mapping[str, Sequence[str]]) -> Requester:
        """Spec: application-service-api/#identity-assertion"""
        user_id = query.get("user_id")
        device_id = query.get("device_id") or query.get("org.matrix.msc3202.device_id")
        if not user_id and not device_id:
            return requester
        return await self._tokens.speak_for(
            requester,
            parse_user_id(user_id[0]) if user_id else None,
            parse_device_id(device_id[0]) if device_id else None,
        )

    def _token(self, authorization: Sequence[str], query: Mapping[str, Sequence[str]]) -> str | None:
        for value in authorization:
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token:
                return token.strip()
        if self._accepts_query_tokens and "access_token" in query:
            return query["access_token"][0]
        return None


def _admit(requester: Requester, mark: Endpoint) -> None:
    if mark.auth is not Auth.SOFT:
        if requester.is_soft_logged_out:
            raise UnknownToken("The access token has expired", soft_logout=True)
        if requester.is_locked:
            raise UserLocked
    if requester.is_suspended and (mark.auth is Auth.ADMIN or not mark.suspended):
        raise UserSuspended
    if requester.is_guest and not mark.guests:
        raise GuestAccessForbidden
    if mark.auth is Auth.ADMIN and not requester.is_admin:
        raise Forbidden("Only administrators of this server may do this")
