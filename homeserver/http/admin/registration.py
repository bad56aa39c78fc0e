"""Administration: accounts made by administrators, and the tokens by which others may make one.

What lies under /_synapse/ has the shapes of Synapse, whose tools use it.
"""

from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

import msgspec

from homeserver.http.client.login import device_wish, session_fields
from homeserver.http.endpoint import (
    EMPTY,
    NONE,
    NoBody,
    NoQuery,
    Nothing,
    PlainRequest,
    Reply,
    Request,
    admin_endpoint,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.registration import Registration
from homeserver.services.accounts.registration_tokens import RegistrationTokens, TokenLimits
from homeserver.services.accounts.shared_secret import SecretWish, SharedSecretRegistration
from homeserver.storage.registration_tokens import RegistrationToken

SYNAPSE_REGISTRATION: Final = "https://element-hq.github.io/synapse/latest/admin_api/register_api.html"
SYNAPSE_TOKENS: Final = (
    "https://element-hq.github.io/synapse/latest/usage/administration/admin_api/registration_tokens.html"
)


class NewUserBody(msgspec.Struct, frozen=True):
    """An account that an administrator makes."""

    username: str
    password: str
    admin: bool = False


class SecretBody(msgspec.Struct, frozen=True):
    """An account that somebody makes who knows the shared secret."""

    nonce: str
    username: str
    password: str
    mac: str
    admin: bool = False
    user_type: str | None = None
    displayname: str | None = None
    device_id: str | None = None
    inhibit_login: bool = False


class TokensQuery(msgspec.Struct, frozen=True):
    """Which tokens."""

    valid: bool | None = None


class NewTokenBody(msgspec.Struct, frozen=True):
    """A token that an administrator makes; null stands for no limit."""

    token: str | None = None
    length: int | None = None
    uses_allowed: int | None = None
    expiry_time: int | None = None


class TokenBody(msgspec.Struct, frozen=True):
    """What is to change of a token: what is left out stays."""

    uses_allowed: int | msgspec.UnsetType | None = msgspec.UNSET
    expiry_time: int | msgspec.UnsetType | None = msgspec.UNSET


class NewUserAnswer(TypedDict):
    """Whose the account is."""

    user_id: str


class RegisteredAnswer(NewUserAnswer):
    """Whose the account is, and a session of it, unless none was wanted."""

    device_id: NotRequired[str]
    home_server: NotRequired[str]
    access_token: NotRequired[str]
    refresh_token: NotRequired[str]
    expires_in_ms: NotRequired[int | None]


class NonceAnswer(TypedDict):
    """What a proof is made for, once and soon."""

    nonce: str


class TokenAnswer(TypedDict):
    """A token, how often it may be used (null: without limit) and was, and when it expires, if it does."""

    token: str
    uses_allowed: int | None
    pending: int
    completed: int
    expiry_time: int | None


class TokensAnswer(TypedDict):
    """Tokens."""

    registration_tokens: list[TokenAnswer]


@dataclass(frozen=True)
class RegistrationAdminEndpoints:
    """Accounts, whether registration is open or not."""

    registration: Registration
    shared_secret: SharedSecretRegistration
    tokens: RegistrationTokens

    @admin_endpoint("POST", "/_columba/admin/v1/users", body=NewUserBody, spec="for `homeserver admin user register`")
    async def create_user(self, request: Request[NoQuery, NewUserBody]) -> Reply[NewUserAnswer]:
        """Make an account, and log nobody in."""
        body = request.body
        registered = await self.registration.register_by_administrator(
            body.username, body.password, is_admin=body.admin
        )
        return Reply({"user_id": registered.user_id}, 201)

    @endpoint(
        "GET",
        "/_synapse/admin/v1/register",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_REGISTRATION,
    )
    async def new_nonce(self, _: PlainRequest) -> Reply[NonceAnswer]:
        """What the proof is to be made for."""
        return Reply({"nonce": self.shared_secret.new_nonce()})

    @endpoint(
        "POST",
        "/_synapse/admin/v1/register",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_REGISTRATION,
        body=SecretBody,
    )
    async def register_by_secret(self, request: Request[NoQuery, SecretBody]) -> Reply[RegisteredAnswer]:
        """Make an account, and log it in."""
        body = request.body
        device = device_wish(body.device_id, None, wants_refresh_token=False)
        wish = SecretWish(
            body.nonce,
            body.username,
            body.password,
            body.mac,
            body.admin,
            body.user_type,
            body.displayname,
            None if body.inhibit_login else device,
        )
        registered = await self.shared_secret.register(wish)
        if registered.session is None:
            return Reply({"user_id": registered.user_id})
        return Reply({**session_fields(registered.session)})

    @admin_endpoint("GET", "/_synapse/admin/v1/registration_tokens", query=TokensQuery, spec=SYNAPSE_TOKENS)
    async def list_tokens(self, request: Request[TokensQuery, NoBody]) -> Reply[TokensAnswer]:
        """All tokens, or those that are valid, or those that are not any more."""
        tokens = await self.tokens.all(valid=request.query.valid)
        return Reply({"registration_tokens": [_shown(token) for token in tokens]})

    @admin_endpoint("POST", "/_synapse/admin/v1/registration_tokens/new", body=NewTokenBody, spec=SYNAPSE_TOKENS)
    async def create_token(self, request: Request[NoQuery, NewTokenBody]) -> Reply[TokenAnswer]:
        """Make a token."""
        body = request.body
        limits = TokenLimits(body.uses_allowed, body.expiry_time)
        return Reply(_shown(await self.tokens.create(body.token, body.length, limits)))

    @admin_endpoint("GET", "/_synapse/admin/v1/registration_tokens/{token}", spec=SYNAPSE_TOKENS)
    async def token(self, request: PlainRequest) -> Reply[TokenAnswer]:
        """One token."""
        return Reply(_shown(await self.tokens.token(request.path["token"])))

    @admin_endpoint("PUT", "/_synapse/admin/v1/registration_tokens/{token}", body=TokenBody, spec=SYNAPSE_TOKENS)
    async def change_token(self, request: Request[NoQuery, TokenBody]) -> Reply[TokenAnswer]:
        """Put other limits in place of a token's."""
        body = request.body

        def change(limits: TokenLimits) -> TokenLimits:
            uses = limits.uses_allowed if isinstance(body.uses_allowed, msgspec.UnsetType) else body.uses_allowed
            expiry = limits.expires_ms if isinstance(body.expiry_time, msgspec.UnsetType) else body.expiry_time
            return TokenLimits(uses, expiry)

        return Reply(_shown(await self.tokens.change(request.path["token"], change)))

    @admin_endpoint("DELETE", "/_synapse/admin/v1/registration_tokens/{token}", spec=SYNAPSE_TOKENS)
    async def delete_token(self, request: PlainRequest) -> Reply[Nothing]:
        """Take a token back."""
        await self.tokens.delete(request.path["token"])
        return EMPTY


def _shown(token: RegistrationToken) -> TokenAnswer:
    return {
        "token": token.token,
        "uses_allowed": token.uses_allowed,
        "pending": 0,  # a use counts when the account is made, not before
        "completed": token.times_used,
        "expiry_time": token.expires_ms,
    }
