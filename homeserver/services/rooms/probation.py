"""Accounts that are new: for a while they invite fewer users, and only those whom they meet, if the settings say so.

How much else they may do is counted with their requests, in http/rate_limiting.py. Of accounts that administrators made
nothing of this holds, nor of users to whom these have given a rate limit of their own.
"""

from collections.abc import Sequence
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.runtime.clock import Clock
from homeserver.services.errors import Forbidden
from homeserver.services.rate_limits import Counted, Draw
from homeserver.storage.accounts import Account
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import count_mutual_rooms

STRANGER: Final = "Your account is new: for a while you can invite only users with whom you are in a room"


class Probation:
    """Knows what newcomers may not."""

    def __init__(self, clock: Clock, *, invites_strangers: bool = True) -> None:
        self._clock = clock
        self._invites_strangers = invites_strangers

    def invite_draws(self, tx: Transaction, account: Account | None, targets: Sequence[UserID]) -> list[Draw]:
        """What invites of an account draw besides what others draw. Raises Forbidden for strangers."""
        if account is None or probation_of(account, self._clock.now_ms()) is None:
            return []
        if not self._invites_strangers:
            for target in targets:
                if not count_mutual_rooms(tx, account.user_id, target):
                    raise Forbidden(STRANGER)
        return [Draw(Counted.INVITES_BY_NEWCOMER, account.user_id, len(targets))]


def probation_of(account: Account, now_ms: int) -> int | None:
    """Until when an account may do less than others; None: it may do as much."""
    until_ms = account.probation_until_ms
    has_own_limit = account.rate_limit is not None or not account.is_rate_limited
    return None if until_ms is None or until_ms <= now_ms or has_own_limit else until_ms
