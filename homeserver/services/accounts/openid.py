"""Users who show third parties who they are: tokens for that alone. Spec: client-server-api/#openid"""

from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.token_values import OPENID, hash_of, is_possible, new_token
from homeserver.services.errors import Forbidden, UnknownToken
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.openid_tokens import find_openid_user, insert_openid_token

LIFETIME_S: Final = 3600


class OpenIDTokens:
    """Issues such tokens, and tells whose they are."""

    def __init__(self, database: Database, clock: Clock, randomness: Randomness) -> None:
        self._database = database
        self._clock = clock
        self._randomness = randomness

    async def issue(self, requester: UserID, user_id: UserID) -> str:
        """A token that is worth something for LIFETIME_S. Raises Forbidden for another user than who asks."""
        if requester != user_id:
            raise Forbidden("One asks for oneself")
        token = new_token(OPENID, self._randomness)
        expires_ms = self._clock.now_ms() + LIFETIME_S * 1000
        await self._database.write(insert_openid_token, hash_of(token), user_id, expires_ms=expires_ms)
        return token

    async def user(self, token: str) -> UserID:
        """Whose token it is. Raises UnknownToken."""
        if not is_possible(token, OPENID):
            raise UnknownToken
        return await self._database.read(self._user, hash_of(token))

    def _user(self, tx: Transaction, token_hash: bytes) -> UserID:
        user_id = find_openid_user(tx, token_hash, now_ms=self._clock.now_ms())
        account = None if user_id is None else find_account(tx, user_id)
        if user_id is None or account is None or account.is_deactivated or account.is_locked:
            raise UnknownToken
        return user_id
