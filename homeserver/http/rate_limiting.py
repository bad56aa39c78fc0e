"""How much each caller may ask of each class of endpoints: a bucket for each, refilled with time.

How the limits are configured is in settings; what needs to know more of a request than who asks (whom somebody
invites, how many failed logins there were) is counted in services/rate_limits.py.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from homeserver.core.rate_limits import RateLimit, take
from homeserver.runtime.clock import Clock
from homeserver.services.errors import LimitExceeded
from homeserver.services.rate_limits import Buckets


class RateClass(Enum):
    """Endpoints that share a bucket. An endpoint of class FREE has none."""

    FREE = "free"  # sync and what else is answered from memory, or waits
    GENERAL = "general"
    SEND = "send"  # events into rooms
    LOGIN = "login"
    REGISTER = "register"
    JOIN = "join"
    INVITE = "invite"
    CREATE_ROOM = "create_room"
    SEARCH = "search"
    KEYS = "keys"
    MEDIA = "media"
    REPORT = "report"
    NEWCOMER = "newcomer"  # what users do to others while their accounts are new, besides the class of it
    GUEST = "guest"  # whatever guests ask, besides the class of what they ask
    FEDERATION = "federation"


# What a user does to others: of these, a limit of the user's own says how much.
ACTS: Final = frozenset({RateClass.SEND, RateClass.JOIN, RateClass.INVITE, RateClass.CREATE_ROOM, RateClass.REPORT})
# What keeps others from trying passwords, in whose name whatsoever.
GUARDED: Final = frozenset({RateClass.LOGIN, RateClass.REGISTER})


class RateLimiting:
    """Counts requests, by RateClass."""

    def __init__(
        self,
        limits: Mapping[RateClass, RateLimit],
        clock: Clock,
        of_caller: Callable[[str, str], RateLimit | None] | None = None,
    ) -> None:
        """A class that `limits` does not name is not limited. `of_caller`: what is set for a caller, by the class."""
        self._limits = limits
        self._clock = clock
        self._of_caller = of_caller
        self._buckets: Buckets[tuple[RateClass, str]] = Buckets(clock)

    def take(self, rate_class: RateClass, caller: str, own: RateLimit | None = None) -> None:
        """Count one request of `caller`: a user ID, a server name, or what `network_of` says. Raises LimitExceeded.

        `own` is a limit that was given to this caller alone.
        """
        limit = self._limits.get(rate_class)
        if own is not None:
            limit = _limit_of(rate_class, limit, own)
        if limit is None:
            return
        if own is None and self._of_caller is not None:
            limit = self._of_caller(caller, rate_class.value) or limit
        key = (rate_class, caller)
        bucket, wait_ms = take(limit, self._buckets.find(key), self._clock.now_ms())
        if wait_ms is not None:
            raise LimitExceeded(wait_ms)
        self._buckets.keep(key, limit, bucket)

    def take_of_newcomer(self, rate_class: RateClass, caller: str, until_ms: int) -> None:
        """Count what a user does to others whose account is new until some time. Raises LimitExceeded."""
        if rate_class in ACTS and self._clock.now_ms() < until_ms:
            self.take(RateClass.NEWCOMER, caller)

    def sweep(self) -> None:
        """Forget the buckets that are full: to be called now and then."""
        self._buckets.sweep()

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._buckets)


def _limit_of(rate_class: RateClass, usual: RateLimit | None, own: RateLimit) -> RateLimit | None:
    """What holds for a caller with a limit of their own.

    Who may say little may still look as much as others do: without that no client works.
    """
    if rate_class in ACTS:
        return own
    if usual is None or rate_class in GUARDED:
        return usual
    return RateLimit(max(usual.per_second, own.per_second), max(usual.burst, own.burst))
