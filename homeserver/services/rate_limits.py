"""What is counted besides requests: invites, joins, events of other servers, new accounts, failed logins.

How often anybody may ask at all is in http/rate_limiting.py. What counts for a server may be another number for one of
them: administrators say so (services/federation/server_limits.py).
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from homeserver.core.identifiers import ServerName
from homeserver.core.rate_limits import Bucket, RateLimit, give_back, is_full, spend, take
from homeserver.runtime.clock import Clock
from homeserver.services.errors import LimitExceeded

K = TypeVar("K", bound=Hashable)

MOST_BUCKETS: Final = 100_000


class Buckets(Generic[K]):
    """Buckets by whose they are. Memory is bounded: full ones are forgotten, and beyond MOST_BUCKETS the oldest too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[K, tuple[RateLimit, Bucket]] = {}

    def find(self, key: K) -> Bucket | None:
        """The bucket, if it is in memory; else it is full."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def keep(self, key: K, limit: RateLimit, bucket: Bucket) -> None:
        """Put a bucket in the place of the one before; `limit` is the one that it fills up by."""
        if len(self._kept) >= MOST_BUCKETS and key not in self._kept:
            self._make_room()
        self._kept[key] = (limit, bucket)

    def sweep(self) -> None:
        """Forget the buckets that are full: to be called now and then."""
        now_ms = self._clock.now_ms()
        self._kept = {key: kept for key, kept in self._kept.items() if not is_full(*kept, now_ms)}

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._kept)

    def _make_room(self) -> None:
        self.sweep()
        if len(self._kept) >= MOST_BUCKETS:
            for key in tuple(self._kept)[: MOST_BUCKETS // 10]:
                del self._kept[key]


class Counted(Enum):
    """What has a bucket, and of whom. The names are those of `rate_limits` in the configuration."""

    INVITES_BY_USER = "invites_by_user"
    INVITES_BY_NEWCOMER = "invites_by_newcomer"  # besides those by user
    INVITES_TO_USER = "invites_to_user"
    INVITES_TO_ROOM = "invites_to_room"
    INVITES_BY_SERVER = "invites_by_server"
    JOINS_TO_ROOM = "joins_to_room"
    JOINS_BY_SERVER = "joins_by_server"  # to each room
    EVENTS_BY_SERVER = "events_by_server"  # to each room
    REGISTRATIONS = "registrations"
    REGISTRATIONS_BY_ADDRESS = "registrations_by_address"
    FAILED_LOGINS_BY_ADDRESS = "failed_logins_by_address"


@dataclass(frozen=True, slots=True)
class Draw:
    """So much of what is counted, from the bucket of `whose`.

    `server` is the one that another limit may be set for; `own` is the limit that was set for a user.
    """

    counted: Counted
    whose: str
    cost: float = 1.0
    server: ServerName | None = None
    own: RateLimit | None = None


FindLimit = Callable[[ServerName, str], RateLimit | None]
"""What administrators have set for a server, by the name of the limit; None where they have not."""


class RateLimits:
    """Counts, by Counted. All but `check` is called on the reactor thread."""

    def __init__(self, limits: Mapping[Counted, RateLimit], clock: Clock, of_server: FindLimit | None = None) -> None:
        """What `limits` does not name is not limited, for no server."""
        self._limits = limits
        self._clock = clock
        self._of_server = of_server
        self._buckets: Buckets[tuple[Counted, str]] = Buckets(clock)

    def check(self, *draws: Draw) -> None:
        """Raises LimitExceeded if not all of it could be drawn now; nothing is. May be called on any thread."""
        self._try(draws)

    def draw(self, *draws: Draw) -> None:
        """Draw all of it, or nothing: then it raises LimitExceeded."""
        for key, (limit, bucket) in self._try(draws).items():
            self._buckets.keep(key, limit, bucket)

    def note(self, *draws: Draw) -> None:
        """Draw what was let through by `check` and has happened since: where others came between, it is owed."""
        now_ms = self._clock.now_ms()
        for one in draws:
            limit = self._limit_of(one)
            if limit is not None:
                key = (one.counted, one.whose)
                self._buckets.keep(key, limit, spend(limit, self._buckets.find(key), now_ms, one.cost))

    def give_back(self, draw: Draw) -> None:
        """What was drawn was not used."""
        limit = self._limit_of(draw)
        key = (draw.counted, draw.whose)
        bucket = self._buckets.find(key)
        if limit is not None and bucket is not None:
            self._buckets.keep(key, limit, give_back(limit, bucket, self._clock.now_ms(), draw.cost))

    def sweep(self) -> None:
        """Forget the buckets that are full: to be called now and then."""
        self._buckets.sweep()

    def __len__(self) -> int:
        """How many buckets are in memory."""
        return len(self._buckets)

    def _try(self, draws: tuple[Draw, ...]) -> dict[tuple[Counted, str], tuple[RateLimit, Bucket]]:
        """The buckets as they would be afterwards. Raises LimitExceeded."""
        now_ms = self._clock.now_ms()
        after: dict[tuple[Counted, str], tuple[RateLimit, Bucket]] = {}
        longest_ms = 0
        for one in draws:
            limit = self._limit_of(one)
            if limit is None:
                continue
            key = (one.counted, one.whose)
            before = after[key][1] if key in after else self._buckets.find(key)
            bucket, wait_ms = take(limit, before, now_ms, one.cost)
            longest_ms = max(longest_ms, wait_ms or 0)
            after[key] = (limit, bucket)
        if longest_ms:
            raise LimitExceeded(longest_ms)
        return after

    def _limit_of(self, draw: Draw) -> RateLimit | None:
        usual = self._limits.get(draw.counted)
        if usual is not None and draw.own is not None:
            return draw.own
        if usual is None or draw.server is None or self._of_server is None:
            return usual
        return self._of_server(draw.server, draw.counted.value) or usual
