"""How administrators hold single users back, or let them go further than others: rate limits of their own, shadow bans.

How often a user has asked is counted in http/rate_limiting.py; what nobody hears of those who are shadow-banned is in
services/events/shadow_bans.py. Locked and suspended accounts: accounts/moderation.py.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core.identifiers import ServerName, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.services.accounts.local_accounts import ADMINISTRATOR, open_account
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.events.shadow_bans import ShadowBans
from homeserver.storage.accounts import Account, update_account
from homeserver.storage.database import Database, Transaction

SLOWEST_PER_SECOND: Final = 0.001
MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class OwnLimit:
    """What holds for one user instead of the server's settings: `limit`, or with None nothing at all."""

    limit: RateLimit | None


class UserRestraints:
    """Changes what single users may.

    Each method raises InvalidParameter for users of other servers, and NotFound for those who do not exist or whose
    accounts are closed.
    """

    def __init__(
        self, database: Database, tokens: AccessTokens, shadow_bans: ShadowBans, server_name: ServerName
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._shadow_bans = shadow_bans
        self._server_name = server_name

    async def own_limit(self, user_id: UserID) -> OwnLimit | None:
        """The rate limit of a user's own; None where that of the settings holds."""
        return own_limit_of(await self._database.read(self._account, user_id))

    async def set_own_limit(self, user_id: UserID, own: OwnLimit | None) -> None:
        """Give a user a rate limit of their own, or that of the settings again. It holds from the next request on."""
        await self._database.write(self._set_own_limit, user_id, own)
        self._tokens.forget_user(user_id)

    async def set_shadow_banned(self, user_id: UserID, *, is_banned: bool) -> None:
        """Let nobody hear a user any more, or everybody again. Raises Forbidden for administrators of this server."""
        await self._database.write(self._set_shadow_banned, user_id, is_banned=is_banned)
        self._shadow_bans.note(user_id, is_banned=is_banned)
        self._tokens.forget_user(user_id)

    def _set_shadow_banned(self, tx: Transaction, user_id: UserID, *, is_banned: bool) -> None:
        account = self._account(tx, user_id)
        if is_banned and account.is_admin:
            raise Forbidden(ADMINISTRATOR)
        update_account(tx, replace(account, is_shadow_banned=is_banned))

    def _set_own_limit(self, tx: Transaction, user_id: UserID, own: OwnLimit | None) -> None:
        is_limited = own is None or own.limit is not None
        limit = None if own is None else own.limit
        update_account(tx, replace(self._account(tx, user_id), is_rate_limited=is_limited, rate_limit=limit))

    def _account(self, tx: Transaction, user_id: UserID) -> Account:
        return open_account(tx, user_id, self._server_name)


def own_limit_of(account: Account) -> OwnLimit | None:
    """The rate limit of an account's own; None where that of the settings holds."""
    if not account.is_rate_limited:
        return OwnLimit(None)
    return None if account.rate_limit is None else OwnLimit(account.rate_limit)


def own_limit(per_second: float, burst: int) -> OwnLimit:
    """A limit as an administrator says it: 0 a second is none; a burst of 0 is what may be done in a second.

    Raises InvalidParameter.
    """
    if not 0 <= per_second <= MOST or 0 < per_second < SLOWEST_PER_SECOND:
        raise InvalidParameter(f"A rate is 0, for none, or between {SLOWEST_PER_SECOND} and {MOST} a second")
    if not 0 <= burst <= MOST:
        raise InvalidParameter(f"A burst is between 0 and {MOST}")
    if per_second == 0:
        return OwnLimit(None)
    return OwnLimit(RateLimit(per_second, burst or max(1, math.ceil(per_second))))
