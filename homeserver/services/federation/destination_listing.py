"""Other servers in lists, sorted and page by page, and the rooms shared with one of them, as administrators ask.

What is told there of a server is what tools made for Synapse want to know; more of one is in destination_status.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.federation.destination_status import DestinationStatuses
from homeserver.services.federation.destinations import Destinations
from homeserver.storage.database import Database, Transaction
from homeserver.storage.destinations import FailingDestination
from homeserver.storage.outboxes import deliveries, find_outboxes
from homeserver.storage.outgoing_events import SharedRoom, count_shared_rooms, shared_rooms

LONGEST_PART: Final = 255
MOST_LISTED: Final = 500  # of a page
UNKNOWN: Final = "This server knows nothing of that one"


@dataclass(frozen=True, slots=True)
class ListedDestination:
    """A server: up to which position all was delivered to it (None: nothing yet), and how it fails, if it does."""

    destination: ServerName
    delivered_position: int | None
    failing: FailingDestination | None

    @property
    def last_attempt_ms(self) -> int | None:
        """When it did not answer last: 0 for a server that does, None where that is not known."""
        return 0 if self.failing is None else self.failing.last_attempt_ms

    @property
    def interval_ms(self) -> int | None:
        """How long after that it is asked again: 0 for a server that answers, None where that is not known."""
        if self.failing is None or self.failing.last_attempt_ms is None:
            return None if self.failing else 0
        return max(self.failing.next_attempt_ms - self.failing.last_attempt_ms, 0)

    @property
    def failing_since_ms(self) -> int | None:
        """Since when it does not answer; None for a server that does."""
        return None if self.failing is None else self.failing.failing_since_ms


ORDERS: Final[Mapping[str, Callable[[ListedDestination], int | None]]] = {
    "retry_last_ts": lambda listed: listed.last_attempt_ms,
    "retry_interval": lambda listed: listed.interval_ms,
    "failure_ts": lambda listed: listed.failing_since_ms,
    "last_successful_stream_ordering": lambda listed: listed.delivered_position,
}
BY_NAME: Final = "destination"


@dataclass(frozen=True, slots=True)
class ListPage:
    """Which part of a list is wanted: so many, without the first `skipped`."""

    skipped: int
    limit: int
    descends: bool

    def check(self) -> None:
        """Raises InvalidParameter."""
        if self.skipped < 0 or self.limit < 0:
            raise InvalidParameter("Neither a page's beginning nor its limit is negative")

    @property
    def size(self) -> int:
        """How many there are on it at most."""
        return min(self.limit, MOST_LISTED)

    def goes_on(self, found: int, total: int) -> bool:
        """Whether there is more after a page on which so many were found."""
        return 0 < found < total - self.skipped


class DestinationListing:
    """Lists other servers: those to which anything was ever to be sent, and those that do not answer."""

    def __init__(
        self, database: Database, destinations: Destinations, statuses: DestinationStatuses, server_name: ServerName
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._statuses = statuses
        self._server_name = server_name

    async def page(self, part: str, by: str, wanted: ListPage) -> tuple[Sequence[ListedDestination], int]:
        """Some of the servers in whose names `part` is, and how many there are. Raises InvalidParameter.

        What a server has nothing to say of comes before all that is known, and what is the same by name.
        """
        wanted.check()
        if by != BY_NAME and by not in ORDERS:
            raise InvalidParameter(f"Servers are sorted by one of {', '.join((BY_NAME, *ORDERS))}")
        if len(part) > LONGEST_PART:
            raise InvalidParameter(f"What servers are searched by has {LONGEST_PART} characters at most")
        failing = self._destinations.all_failing()
        return await self._database.read(_page, part, by, wanted, failing)

    async def one(self, destination: ServerName) -> ListedDestination:
        """One server. Raises NotFound."""
        outbox = (await self._database.read(find_outboxes, [destination])).get(destination)
        failing = self._destinations.find_failing(destination)
        if outbox is None and failing is None:
            raise NotFound(UNKNOWN)
        delivered = None if outbox is None or outbox.delivered_ms is None else outbox.delivered_upto
        return ListedDestination(destination, delivered, failing)

    async def rooms(self, destination: ServerName, wanted: ListPage) -> tuple[Sequence[SharedRoom], int]:
        """Some of the rooms in which both servers are, by their IDs, and how many there are.

        Raises InvalidParameter; NotFound for a server of which nothing is known.
        """
        wanted.check()
        found, total = await self._database.read(_rooms, destination, self._server_name, wanted)
        if not total:
            await self.one(destination)
        return found, total

    async def reset(self, destination: ServerName) -> None:
        """Have a server asked now that did not answer. Raises NotFound; InvalidParameter for one that does answer."""
        if (await self.one(destination)).failing is None:
            raise InvalidParameter("This server answers, as far as is known: there is nothing to reset")
        await self._statuses.retry(destination)


def _page(
    tx: Transaction, part: str, by: str, wanted: ListPage, failing: Mapping[ServerName, FailingDestination]
) -> tuple[list[ListedDestination], int]:
    delivered = deliveries(tx, part)
    small = part.lower()
    names = sorted({*delivered, *(server for server in failing if small in server.lower())})
    if by == BY_NAME and wanted.descends:
        names.reverse()
    listed = [ListedDestination(name, delivered.get(name), failing.get(name)) for name in names]
    if by in ORDERS:
        told = ORDERS[by]
        listed.sort(key=lambda one: _rank(told(one)), reverse=wanted.descends)  # keeps the order of names
    return listed[wanted.skipped : wanted.skipped + wanted.size], len(listed)


def _rank(told: int | None) -> int:
    return -1 if told is None else told


def _rooms(
    tx: Transaction, destination: ServerName, server_name: ServerName, wanted: ListPage
) -> tuple[list[SharedRoom], int]:
    found = shared_rooms(
        tx, destination, server_name, descends=wanted.descends, skipped=wanted.skipped, limit=wanted.size
    )
    return found, count_shared_rooms(tx, destination, server_name)
