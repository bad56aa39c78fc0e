"""Registration tokens: made by administrators, for those who may make an account.

How one is used is in registration.py.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.database import Database, Transaction
from homeserver.storage.registration_tokens import (
    RegistrationToken,
    change_registration_token,
    delete_registration_token,
    find_registration_token,
    insert_registration_token,
    registration_tokens,
)

LONGEST: Final = 64
DEFAULT_LENGTH: Final = 16
UNKNOWN: Final = "There is no such registration token"

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")


def is_token(text: str) -> bool:
    """Whether a token can read like this. Spec: client-server-api/#token-authenticated-registration"""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How often and until when a token counts; None for no limit."""

    uses_allowed: int | None
    expires_ms: int | None


class RegistrationTokens:
    """Makes, shows and takes back registration tokens."""

    def __init__(self, database: Database, clock: Clock, randomness: Randomness) -> None:
        self._database = database
        self._clock = clock
        self._randomness = randomness

    async def all(self, *, valid: bool | None = None) -> list[RegistrationToken]:
        """All tokens, or those that are valid, or those that are not any more."""
        now_ms = self._clock.now_ms()
        tokens = await self._database.read(registration_tokens)
        return [token for token in tokens if valid is None or token.is_valid(now_ms) == valid]

    async def token(self, token: str) -> RegistrationToken:
        """One token. Raises NotFound."""
        found = await self._database.read(find_registration_token, token)
        if found is None:
            raise NotFound(UNKNOWN)
        return found

    async def create(self, token: str | None, length: int | None, limits: TokenLimits) -> RegistrationToken:
        """Make a token; without a text of its own it is `length` random letters and digits. Raises InvalidParameter."""
        if token is None:
            if length is not None and not 1 <= length <= LONGEST:
                raise InvalidParameter(f"A registration token has 1 to {LONGEST} characters")
            token = self._randomness.opaque_id("", DEFAULT_LENGTH if length is None else length)
        elif not is_token(token):
            raise InvalidParameter(f"A registration token is 1 to {LONGEST} letters, digits, and . _ ~ -")
        now_ms = self._clock.now_ms()
        _check(limits, now_ms)
        made = RegistrationToken(token, limits.uses_allowed, 0, now_ms, limits.expires_ms)
        if not await self._database.write(insert_registration_token, made):
            raise InvalidParameter("There is such a registration token already")
        return made

    async def change(self, token: str, change: Callable[[TokenLimits], TokenLimits]) -> RegistrationToken:
        """Put other limits in place of a token's: what `change` makes of them. Raises NotFound."""
        return await self._database.write(self._change, token, change)

    async def delete(self, token: str) -> None:
        """Take a token back. Raises NotFound."""
        if not await self._database.write(delete_registration_token, token):
            raise NotFound(UNKNOWN)

    def _change(self, tx: Transaction, token: str, change: Callable[[TokenLimits], TokenLimits]) -> RegistrationToken:
        found = find_registration_token(tx, token)
        if found is None:
            raise NotFound(UNKNOWN)
        limits = change(TokenLimits(found.uses_allowed, found.expires_ms))
        # What expired long ago may stay so.
        _check(limits, self._clock.now_ms() if limits.expires_ms != found.expires_ms else 0)
        change_registration_token(tx, token, uses_allowed=limits.uses_allowed, expires_ms=limits.expires_ms)
        return replace(found, uses_allowed=limits.uses_allowed, expires_ms=limits.expires_ms)


def _check(limits: TokenLimits, now_ms: int) -> None:
    if limits.uses_allowed is not None and limits.uses_allowed < 0:
        raise InvalidParameter("A token is used a number of times that is not negative")
    if limits.expires_ms is not None and limits.expires_ms <= now_ms:
        raise InvalidParameter("The token would have expired already")
