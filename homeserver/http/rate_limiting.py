"""How much each caller may ask of each class of endpoints: a bucket for each, refilled with time.

How the limits are configured is in settings; limits that need to know more (failed logins of an account) are services'.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.services.errors import LimitExceeded

MOST_BUCKETS: Final = 100_000


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
    FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and then `per_second` in the long run."""

    per_second: float
    burst: int


DEFAULT_RATES: Final[Mapping[RateClass, Rate]] = {
    RateClass.GENERAL: Rate(20, 200),
    RateClass.SEND: Rate(5, 50),
    RateClass.LOGIN: Rate(0.2, 10),
    RateClass.REGISTER: Rate(0.1, 5),
    RateClass.JOIN: Rate(0.5, 20),
    RateClass.INVITE: Rate(0.5, 20),
    RateClass.CREATE_ROOM: Rate(0.2, 10),
    RateClass.SEARCH: Rate(1, 20),
    RateClass.KEYS: Rate(10, 100),
    RateClass.MEDIA: Rate(20, 200),
    RateClass.REPORT: Rate(0.1, 10),
    RateClass.FEDERATION: Rate(50, 500),
}


class RateLimiting:
    """The buckets. Memory is bounded: full ones are forgotten, and beyond MOST_BUCKETS the oldest as well."""

    def __init__(self, rates: Mapping[RateClass, Rate], clock: Clock) -> None:
        """A class that `rates` does not name is not limited."""
        self._rates = rates
        self._clock = clock
        # -> the moment, in ms, at which the bucket is full again
        self._full_at_ms: dict[tuple[RateClass, str], float] = {}

    def take(self, rate_class: RateClass, caller: str) -> None:
        """Count one request of `caller`: a user ID, a server name, or what `network_of` says. Raises LimitExceeded."""
        rate = self._rates.get(rate_class)
        if rate is None:
            return
        now_ms = self._clock.now_ms()
        key = (rate_class, caller)
        each_ms = 1000 / rate.per_second
        full_at_ms = max(self._full_at_ms.get(key, 0.0), now_ms) + each_ms
        wait_ms = full_at_ms - now_ms - rate.burst * each_ms
        if wait_ms > 0.5:
            raise LimitExceeded(max(1, round(wait_ms)))
        if key not in self._full_at_ms and len(self._full_at_ms) >= MOST_BUCKETS:
            self._make_room()
        self._full_at_ms[key] = full_at_ms

    def sweep(self) -> None:
        """Forget the buckets that are full: to be called now and then."""
        now_ms = self._clock.now_ms()
        self._full_at_ms = {key: full_at_ms for key, full_at_ms in self._full_at_ms.items() if full_at_ms > now_ms}

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._full_at_ms)

    def _make_room(self) -> None:
        self.sweep()
        if len(self._full_at_ms) >= MOST_BUCKETS:
            soonest_full = sorted(self._full_at_ms, key=self._full_at_ms.__getitem__)
            for key in soonest_full[: MOST_BUCKETS // 10]:
                del self._full_at_ms[key]


def network_of(address: str) -> str:
    """Whom an address stands for: itself, or for IPv6 the /64 that one household has."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
