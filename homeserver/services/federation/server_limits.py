"""How much single servers may ask and send: more or less than what the configuration lets all.

What is counted is in services/rate_limits.py, and for requests in http/rate_limiting.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, parse_server_name
from homeserver.core.rate_limits import RateLimit
from homeserver.runtime.clock import Clock
from homeserver.services.errors import InvalidParameter
from homeserver.services.rate_limits import Counted
from homeserver.storage.database import Database, Transaction
from homeserver.storage.server_limits import ServerLimit, delete_server_limit, server_limits, store_server_limit

REQUESTS: Final = "federation"  # the class of what servers ask
NAMES: Final = (
    REQUESTS,
    Counted.EVENTS_BY_SERVER.value,
    Counted.JOINS_BY_SERVER.value,
    Counted.INVITES_BY_SERVER.value,
)
SLOWEST_HZ: Final = 0.0001
FASTEST_HZ: Final = 1_000_000.0
LARGEST_BURST: Final = 1_000_000
MOST_LIMITS: Final = 10_000  # in memory


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """What counts for a server; `is_own` if it was set for this one."""

    rate_hz: float
    burst: int
    is_own: bool


class ServerLimits:
    """Knows the limits of single servers. Used on the reactor thread."""

    def __init__(self, database: Database, clock: Clock, usual: Mapping[str, RateLimit]) -> None:
        """`usual` are the limits for all, by name; one that is not in it does not exist, for no server."""
        self._database = database
        self._clock = clock
        self._usual = usual
        self._own: dict[tuple[str, str], RateLimit] = {}
        self._stored: tuple[ServerLimit, ...] = ()

    async def load(self) -> None:
        """Remember what was set before a restart."""
        self._take(await self._database.read(server_limits))

    def find(self, server: str, name: str) -> RateLimit | None:
        """What was set for a server; None where what counts for all does."""
        return self._own.get((server.lower(), name)) if self._own else None

    @property
    def all(self) -> tuple[ServerLimit, ...]:
        """All that was set, in the order of the servers' names."""
        return self._stored

    def of(self, server: str) -> dict[str, EffectiveLimit]:
        """What counts for a server, by the names of the limits; without those that do not exist."""
        found = {}
        for name in NAMES:
            usual = self._usual.get(name)
            own = self.find(server, name)
            limit = None if usual is None else own or usual
            if limit is not None:
                found[name] = EffectiveLimit(limit.per_second, int(limit.burst), own is not None)
        return found

    async def change(self, server: str, changes: Mapping[str, tuple[float, int] | None]) -> dict[str, EffectiveLimit]:
        """Set limits, as rate_hz and burst, or have those for all count again (None); it holds at once.

        Raises InvalidParameter.
        """
        try:
            checked = parse_server_name(server.lower())
        except BadIdentifier as bad:
            raise InvalidParameter("This is no server name") from bad
        now_ms = self._clock.now_ms()
        wanted = {name: _checked(checked, name, change, now_ms) for name, change in changes.items()}
        added = sum(each is not None for each in wanted.values())
        if len(self._own) + added > MOST_LIMITS:
            raise InvalidParameter(f"There are no more than {MOST_LIMITS} limits of single servers")
        self._take(await self._database.write(_change, checked, wanted))
        return self.of(checked)

    def _take(self, stored: Iterable[ServerLimit]) -> None:
        self._stored = tuple(stored)
        self._own = {(one.server, one.name): RateLimit(one.rate_hz, one.burst) for one in self._stored}


def _checked(server: ServerName, name: str, change: tuple[float, int] | None, now_ms: int) -> ServerLimit | None:
    if name not in NAMES:
        raise InvalidParameter(f"There is no limit {name!r:.40}; there are {', '.join(NAMES)}")
    if change is None:
        return None
    rate_hz, burst = change
    if not SLOWEST_HZ <= rate_hz <= FASTEST_HZ or not 1 <= burst <= LARGEST_BURST:
        raise InvalidParameter(
            f"A limit has a rate from {SLOWEST_HZ} to {FASTEST_HZ:.0f} a second, and a burst from 1 to {LARGEST_BURST}"
        )
    return ServerLimit(server, name, rate_hz, burst, now_ms)


def _change(tx: Transaction, server: ServerName, wanted: Mapping[str, ServerLimit | None]) -> list[ServerLimit]:
    for name, limit in wanted.items():
        if limit is None:
            delete_server_limit(tx, server, name)
        else:
            store_server_limit(tx, limit)
    return server_limits(tx)
