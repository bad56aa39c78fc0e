"""Client-server API: account management: the password, and the end of the account."""

from dataclasses import dataclass

import msgspec

from homeserver.http.client.interactive_auth import AuthData, attempt
from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.deactivation import Deactivation
from homeserver.services.accounts.password_change import PasswordChange


class PasswordBody(msgspec.Struct, frozen=True):
    """The new password."""

    new_password: str
    logout_devices: bool = True
    auth: AuthData | None = None


class DeactivateBody(msgspec.Struct, frozen=True):
    """Whether what the user sent is to be hidden from those who come later."""

    erase: bool = False
    id_server: str | None = None
    auth: AuthData | None = None


@dataclass(frozen=True)
class AccountManagementEndpoints:
    """What one may do with one's own account."""

    password_change: PasswordChange
    deactivation: Deactivation

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password",
        auth=ACCESS_TOKEN,
        limit=RateClass.LOGIN,
        spec="client-server-api/#post_matrixclientv3accountpassword",
        body=PasswordBody,
    )
    async def change_password(self, request: Request[NoQuery, PasswordBody]) -> Reply:
        """Put another password in place of one's own."""
        body = request.body
        tried = attempt("POST /account/password", body)
        await self.password_change.change(
            request.requester, body.new_password, tried, logout_devices=body.logout_devices
        )
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/deactivate",
        auth=ACCESS_TOKEN,
        limit=RateClass.LOGIN,
        spec="client-server-api/#post_matrixclientv3accountdeactivate",
        body=DeactivateBody,
    )
    async def deactivate(self, request: Request[NoQuery, DeactivateBody]) -> Reply:
        """Close one's own account."""
        tried = attempt("POST /account/deactivate", request.body)
        await self.deactivation.deactivate_own(request.requester, tried, erase=request.body.erase)
        # No third-party identifiers are kept here, so none is left bound to an identity server.
        return Reply({"id_server_unbind_result": "success"})
