"""Carries requests to other servers: finds the server, waits for a turn with it, and asks.

What is asked, and for how long an answer is awaited, is decided in federation_client.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import CancelledError, DeferredSemaphore

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.exchange import Answer, Ask
from homeserver.outbound.https import Https
from homeserver.outbound.resolver import Resolver

REQUESTS_PER_SERVER: Final = 8


class FederationAgent:
    """The agent of exchange.py for servers that are found by their names."""

    def __init__(self, resolver: Resolver, https: Https) -> None:
        self._resolver = resolver
        self._https = https
        self._turns: dict[ServerName, _Turns] = {}

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """See Agent."""
        turns = self._turns.setdefault(ask.destination, _Turns())
        turns.users += 1
        try:
            await turns.semaphore.acquire()
            try:
                return await self._https.send(await self._resolver.route(ask.destination), ask, take)
            except (Unreachable, CancelledError):  # the latter: it took too long for whoever asked
                self._resolver.doubt(ask.destination)
                raise
            finally:
                turns.semaphore.release()
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[ask.destination]

    @property
    def busy_servers(self) -> int:
        """How many servers are being asked, or are to be."""
        return len(self._turns)

    def group_of(self, destination: ServerName) -> str | None:
        """By which group keys were exchanged when the server was connected to last, as far as that is remembered."""
        return self._https.group_of(destination)

    async def close(self) -> None:
        """Hang up where nothing is being asked."""
        await self._https.close()


@dataclass(slots=True)
class _Turns:
    """How many requests to one server are under way, and how many may."""

    users: int = 0
    semaphore: DeferredSemaphore = field(default_factory=lambda: DeferredSemaphore(REQUESTS_PER_SERVER))
