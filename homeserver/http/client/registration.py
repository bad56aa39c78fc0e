"""Client-server API: account registration."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.client.interactive_auth import AuthData
from homeserver.http.client.login import device_wish, session_fields
from homeserver.http.endpoint import NONE, OPTIONAL_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.begun_registrations import RegistrationWish
from homeserver.services.accounts.guest_accounts import GuestAccounts
from homeserver.services.accounts.interactive_auth import Attempt
from homeserver.services.accounts.registration import Registration


class RegisterQuery(msgspec.Struct, frozen=True):
    """What kind of account."""

    kind: Literal["user", "guest"] = "user"


class RegisterBody(msgspec.Struct, frozen=True):
    """The account that is wanted."""

    auth: AuthData | None = None
    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False
    refresh_token: bool = False
    guest_access_token: str | None = None


class AvailableQuery(msgspec.Struct, frozen=True):
    """A name that somebody would like to have."""

    username: str


class ValidityQuery(msgspec.Struct, frozen=True):
    """A registration token."""

    token: str


@dataclass(frozen=True)
class RegistrationEndpoints:
    """How accounts are made."""

    registration: Registration
    guests: GuestAccounts

    @endpoint(
        "POST",
        "/_matrix/client/v3/register",
        auth=OPTIONAL_TOKEN,
        limit=RateClass.REGISTER,
        spec="client-server-api/#post_matrixclientv3register",
        query=RegisterQuery,
        body=RegisterBody,
        guests=True,
    )
    async def register(self, request: Request[RegisterQuery, RegisterBody]) -> Reply:
        """Make an account."""
        body = request.body
        if request.query.kind == "guest":
            return Reply(
                session_fields(await self.guests.register(body.initial_device_display_name, request.client_ip))
            )
        device = device_wish(body.device_id, body.initial_device_display_name, wants_refresh_token=body.refresh_token)
        wanted_device = None if body.inhibit_login else device
        wish = RegistrationWish(body.username, body.password, wanted_device, body.guest_access_token)
        requester = request.authenticated
        if requester is not None and requester.appservice_id is not None:
            registered = await self.registration.register_for_appservice(requester, wish)
        else:
            # Clients ask for the stages first, and only then say which account they want.
            attempt = Attempt("POST /register", b"", body.auth)
            registered = await self.registration.register(wish, attempt, request.client_ip)
        if registered.session is None:
            return Reply({"user_id": registered.user_id, "home_server": registered.user_id.partition(":")[2]})
        return Reply(session_fields(registered.session))

    @endpoint(
        "GET",
        "/_matrix/client/v3/register/available",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3registeravailable",
        query=AvailableQuery,
    )
    async def available(self, request: Request[AvailableQuery, NoBody]) -> Reply:
        """Whether a name is to be had."""
        await self.registration.check_available(request.query.username)
        return Reply({"available": True})

    @endpoint(
        "GET",
        "/_matrix/client/v1/register/m.login.registration_token/validity",
        auth=NONE,
        limit=RateClass.REGISTER,
        spec="client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity",
        query=ValidityQuery,
    )
    async def token_validity(self, request: Request[ValidityQuery, NoBody]) -> Reply:
        """Whether a registration token can be used."""
        return Reply({"valid": await self.registration.is_token_valid(request.query.token)})
