"""Is this the user's password? An account can be guessed at so often only, from wherever."""

from collections import OrderedDict
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.core.rate_limits import Bucket, RateLimit, take
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.errors import Forbidden, LimitExceeded
from homeserver.storage.accounts import Account, find_account
from homeserver.storage.database import Database

FAILURES: Final = RateLimit(per_second=1 / 20, burst=10)
MOST_BUCKETS: Final = 100_000
WRONG: Final = "Wrong user name or password"


class PasswordCheck:
    """Checks passwords of accounts."""

    def __init__(self, database: Database, passwords: Passwords, clock: Clock, failures: RateLimit = FAILURES) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock
        self._failures = failures
        self._buckets: OrderedDict[UserID, Bucket] = OrderedDict()

    async def check(self, user_id: UserID | None, password: str) -> Account:
        """The account, if the password is its. `user_id` is None for a name that no user of this server can have.

        Raises Forbidden, for a wrong password as for no such user, and LimitExceeded.
        """
        account = None
        if user_id is not None:
            self._take(user_id)
            account = await self._database.read(find_account, user_id)
        password_hash = None if account is None or account.is_deactivated else account.password_hash
        is_correct = await self._passwords.is_correct(password_hash, password)
        if account is None or not is_correct:
            raise Forbidden(WRONG)
        self._buckets.pop(account.user_id, None)
        return account

    def _take(self, user_id: UserID) -> None:
        """Count an attempt before it is made, so that many at once do not get past; a success gives them back."""
        bucket, wait_ms = take(self._failures, self._buckets.get(user_id), self._clock.now_ms())
        self._buckets[user_id] = bucket
        self._buckets.move_to_end(user_id)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        if wait_ms is not None:
            raise LimitExceeded(wait_ms, "Too many failed attempts to log in")
