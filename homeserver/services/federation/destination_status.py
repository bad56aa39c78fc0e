"""How this server gets on with others, for administrators: who does not answer, and how far behind each one is."""

from dataclasses import dataclass
from typing import Final, Protocol

from homeserver.core.identifiers import ServerName
from homeserver.services.errors import NotFound
from homeserver.services.federation.destinations import Destinations
from homeserver.services.federation.sender import FederationSender
from homeserver.storage.database import Database, Transaction
from homeserver.storage.outboxes import StoredOutbox, find_outboxes, outboxes_after, outgoing_position
from homeserver.storage.outgoing_events import Pending, pending_for
from homeserver.storage.to_device_outbox import count_messages

SERVERS_PER_PAGE: Final = 50


class KeyGroups(Protocol):
    """Knows how connections are encrypted."""

    def group_of(self, destination: ServerName) -> str | None:
        """By which group keys were exchanged with a server last, as far as that is remembered."""


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One server. Times in milliseconds; `positions` that wait for it are not counted beyond a thousand (None)."""

    destination: ServerName
    is_blocked: bool
    last_success_ms: int | None
    failing_since_ms: int | None
    last_attempt_ms: int | None
    next_attempt_ms: int | None
    failures: int
    positions: int | None
    rooms: int
    messages: int
    has_transaction: bool
    tls_group: str | None


class DestinationStatuses:
    """Tells of other servers."""

    def __init__(
        self, database: Database, destinations: Destinations, sender: FederationSender, groups: KeyGroups
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._sender = sender
        self._groups = groups

    async def of(self, destination: ServerName) -> DestinationStatus:
        """One server. Raises NotFound when nothing was ever to be sent to it, and it did not fail to answer."""
        (status,) = await self._statuses([destination])
        is_known = status.last_success_ms or status.failures or status.positions != 0 or status.messages
        if not is_known and not status.has_transaction and not status.is_blocked:
            raise NotFound("This server knows nothing of that one")
        return status

    async def page(self, after: str) -> list[DestinationStatus]:
        """Some servers in the order of their names; none after the last."""
        stored = await self._database.read(outboxes_after, after, limit=SERVERS_PER_PAGE)
        failing = (server for server in self._destinations.failing_servers if server > after)
        names = sorted({*(outbox.destination for outbox in stored), *failing})
        return await self._statuses(names[:SERVERS_PER_PAGE])

    async def retry(self, destination: ServerName) -> None:
        """Have a server asked now that did not answer."""
        self._sender.retry(destination)
        await self._destinations.flush()

    async def _statuses(self, names: list[ServerName]) -> list[DestinationStatus]:
        rows, pending, messages = await self._database.read(_read, names)
        return [self._status(name, rows.get(name), pending.get(name), messages.get(name, 0)) for name in names]

    def _status(
        self, name: ServerName, row: StoredOutbox | None, pending: Pending | None, messages: int
    ) -> DestinationStatus:
        failing = self._destinations.find_failing(name)
        return DestinationStatus(
            destination=name,
            is_blocked=self._destinations.is_blocked(name),
            last_success_ms=None if row is None else row.delivered_ms,
            failing_since_ms=None if failing is None else failing.failing_since_ms,
            last_attempt_ms=None if failing is None else failing.last_attempt_ms,
            next_attempt_ms=None if failing is None else failing.next_attempt_ms,
            failures=0 if failing is None else failing.failures,
            positions=0 if pending is None else pending.positions,
            rooms=0 if pending is None else pending.rooms,
            messages=messages,
            has_transaction=row is not None and row.transaction is not None,
            tls_group=self._groups.group_of(name),
        )


def _read(
    tx: Transaction, names: list[ServerName]
) -> tuple[dict[ServerName, StoredOutbox], dict[ServerName, Pending], dict[ServerName, int]]:
    rows = find_outboxes(tx, names) if names else {}
    upto = outgoing_position(tx)
    pending = {
        name: pending_for(tx, name, after=row.delivered_upto, upto=upto)
        for name, row in rows.items()
        if row.is_behind or row.transaction is not None
    }
    return rows, pending, count_messages(tx, names)
