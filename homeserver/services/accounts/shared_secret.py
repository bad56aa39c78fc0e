"""Registration by whoever knows the server's shared secret, as tools written for Synapse do it."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.registration import Registered, Registration
from homeserver.services.accounts.sessions import DeviceWish
from homeserver.services.errors import Forbidden, InvalidParameter, ServiceError

NONCE_LIFETIME_MS: Final = 60_000
MOST_NONCES: Final = 10_000


@dataclass(frozen=True, slots=True)
class SecretWish:
    """The account that is wanted, and the proof that whoever wants it knows the secret."""

    nonce: str
    username: str
    password: str
    mac: str  # HMAC-SHA1, in hexadecimal digits
    is_admin: bool = False
    user_type: str | None = None
    display_name: str | None = None
    device: DeviceWish | None = None  # None: nobody is logged in


class SharedSecretRegistration:
    """Makes accounts for those who know the secret."""

    def __init__(
        self, registration: Registration, clock: Clock, randomness: Randomness, shared_secret: str | None
    ) -> None:
        """Without a secret nobody registers in this way."""
        self._registration = registration
        self._clock = clock
        self._randomness = randomness
        self._secret = shared_secret
        self._nonces: OrderedDict[str, int] = OrderedDict()  # -> until when it counts

    def new_nonce(self) -> str:
        """A value that counts for one registration, for a minute. Raises ServiceError where there is no secret."""
        self._required_secret()
        now_ms = self._clock.now_ms()
        while self._nonces and (len(self._nonces) >= MOST_NONCES or next(iter(self._nonces.values())) <= now_ms):
            self._nonces.popitem(last=False)
        nonce = self._randomness.bytes(32).hex()
        self._nonces[nonce] = now_ms + NONCE_LIFETIME_MS
        return nonce

    async def register(self, wish: SecretWish) -> Registered:
        """Make an account. Raises ServiceError, InvalidParameter, Forbidden, and what registration raises."""
        secret = self._required_secret()
        until_ms = self._nonces.pop(wish.nonce, None)
        if until_ms is None or until_ms <= self._clock.now_ms():
            raise ServiceError("Unrecognised nonce")
        if "\0" in wish.username or "\0" in wish.password:
            raise InvalidParameter("A user name or password has no NUL")
        if not hmac.compare_digest(proof(secret, wish).encode(), wish.mac.lower().encode()):
            raise Forbidden("The HMAC is not right")
        return await self._registration.register_by_administrator(
            wish.username,
            wish.password,
            is_admin=wish.is_admin,
            device=wish.device,
            display_name=wish.display_name,
        )

    def _required_secret(self) -> str:
        if not self._secret:
            raise ServiceError("Registration by a shared secret is not enabled")
        return self._secret


def proof(shared_secret: str, wish: SecretWish) -> str:
    """What only those can compute who know the secret."""
    role = "admin" if wish.is_admin else "notadmin"
    parts = [wish.nonce, wish.username, wish.password, role]
    if wish.user_type is not None:
        parts.append(wish.user_type)
    return hmac.new(shared_secret.encode(), "\0".join(parts).encode(), "sha1").hexdigest()
