"""Client-server API: login and logout, and the tokens that come of it."""

from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

import msgspec

from homeserver.core.identifiers import parse_device_id
from homeserver.http.client.interactive_auth import AuthData, attempt
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    EMPTY,
    NONE,
    OPTIONAL_TOKEN,
    SOFT,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.interactive_auth import InteractiveAuth, named_user
from homeserver.services.accounts.login import Login
from homeserver.services.accounts.sessions import DeviceWish, IssuedTokens, OpenedSession, Sessions
from homeserver.services.errors import MissingParameter, ServiceError

PASSWORD: Final = "m.login.password"  # noqa: S105 - the name of a login type
TOKEN: Final = "m.login.token"  # noqa: S105 - as above
APPSERVICE: Final = "m.login.application_service"


class LoginBody(msgspec.Struct, frozen=True):
    """Who logs in, by what, and on which device."""

    type: str
    identifier: dict[str, Any] | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


class RefreshBody(msgspec.Struct, frozen=True):
    """What a new access token is got for."""

    refresh_token: str


class GetTokenBody(msgspec.Struct, frozen=True):
    """The authentication that a login token costs."""

    auth: AuthData | None = None


class TokenFields(TypedDict):
    """An access token; and with what it is renewed, and when that has to be done, where it was wanted."""

    access_token: str
    refresh_token: NotRequired[str]
    expires_in_ms: NotRequired[int | None]


class SessionFields(TokenFields):
    """A session, and its tokens."""

    user_id: str
    device_id: str
    home_server: str


@dataclass(frozen=True)
class LoginEndpoints:
    """How sessions begin, go on and end."""

    login: Login
    sessions: Sessions
    interactive_auth: InteractiveAuth

    @endpoint(
        "GET",
        "/_matrix/client/v3/login",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3login",
    )
    async def login_types(self, _: PlainRequest) -> Reply:
        """How one can log in."""
        return Reply({"flows": [{"type": PASSWORD}, {"type": TOKEN, "get_login_token": True}, {"type": APPSERVICE}]})

    @endpoint(
        "POST",
        "/_matrix/client/v3/login",
        auth=OPTIONAL_TOKEN,
        limit=RateClass.LOGIN,
        spec="client-server-api/#post_matrixclientv3login",
        body=LoginBody,
        guests=True,
    )
    async def log_in(self, request: Request[NoQuery, LoginBody]) -> Reply:
        """Begin a session."""
        body = request.body
        device = device_wish(body.device_id, body.initial_device_display_name, wants_refresh_token=body.refresh_token)
        if body.type == PASSWORD:
            if body.password is None:
                raise MissingParameter("The password is missing")
            session = await self.login.with_password(_user(body), body.password, device, request.client_ip)
        elif body.type == TOKEN:
            if body.token is None:
                raise MissingParameter("The token is missing")
            session = await self.login.with_token(body.token, device, request.client_ip)
        elif body.type == APPSERVICE:
            session = await self.login.as_appservice(request.authenticated, _user(body), device)
        else:
            raise ServiceError("This login type is not offered")
        return Reply(session_fields(session))

    @endpoint(
        "POST",
        "/_matrix/client/v1/login/get_token",
        auth=ACCESS_TOKEN,
        limit=RateClass.LOGIN,
        spec="client-server-api/#post_matrixclientv1loginget_token",
        body=GetTokenBody,
    )
    async def get_token(self, request: Request[NoQuery, GetTokenBody]) -> Reply:
        """A token with which another device logs in, once."""
        user_id = request.requester.user_id
        await self.interactive_auth.confirm_user(user_id, attempt("POST /login/get_token", request.body))
        token, lifetime_ms = await self.login.issue_token(user_id)
        return Reply({"login_token": token, "expires_in_ms": lifetime_ms})

    @endpoint(
        "POST",
        "/_matrix/client/v3/refresh",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3refresh",
        body=RefreshBody,
    )
    async def refresh(self, request: Request[NoQuery, RefreshBody]) -> Reply:
        """A new access token for a session."""
        return Reply(token_fields(await self.sessions.refresh(request.body.refresh_token)))

    @endpoint(
        "POST",
        "/_matrix/client/v3/logout",
        auth=SOFT,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3logout",
        guests=True,
    )
    async def log_out(self, request: PlainRequest) -> Reply:
        """End this session, and remove its device."""
        await self.sessions.log_out(request.requester)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/logout/all",
        auth=SOFT,
        limit=RateClass.GENERAL,
        spec="client-server-api/#post_matrixclientv3logoutall",
        guests=True,
    )
    async def log_out_all(self, request: PlainRequest) -> Reply:
        """End all sessions of the user, and remove all devices."""
        await self.sessions.log_out_all(request.requester.user_id)
        return EMPTY


def device_wish(device_id: str | None, display_name: str | None, *, wants_refresh_token: bool) -> DeviceWish:
    """The device that a body names. Raises BadIdentifier."""
    return DeviceWish(None if device_id is None else parse_device_id(device_id), display_name, wants_refresh_token)


def session_fields(session: OpenedSession) -> SessionFields:
    """What a client is told of a new session."""
    # home_server is deprecated, and still read by clients of some age.
    home_server = session.user_id.partition(":")[2]
    return {
        "user_id": session.user_id,
        "device_id": session.device_id,
        "home_server": home_server,
        **token_fields(session.tokens),
    }


def token_fields(tokens: IssuedTokens) -> TokenFields:
    """What a client is told of its tokens."""
    fields: TokenFields = {"access_token": tokens.access_token}
    if tokens.refresh_token is not None:
        fields |= {"refresh_token": tokens.refresh_token, "expires_in_ms": tokens.expires_in_ms}
    return fields


def _user(body: LoginBody) -> str | None:
    return named_user({"identifier": body.identifier, "user": body.user})
