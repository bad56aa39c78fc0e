"""From a server name to where and how that server is spoken with. Spec: server-server-api/#resolving-server-names

Addresses are looked up when a connection is made (connecting.py), so that what is checked is what is connected to.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.names import Names, Service
from homeserver.outbound.routes import Route, literal_of, split_port
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.runtime.randomness import Randomness

DEFAULT_PORT: Final = 8448
MOST_TARGETS: Final = 8
MOST_NAME_CHARACTERS: Final = 253
MOST_LABEL_CHARACTERS: Final = 63
ROUTES_KEPT: Final = 10_000
ROUTE_KEPT_S: Final = 300.0  # as long as service records usually live; a .well-known is kept longer by itself


class Delegations(Protocol):
    """To whom hosts delegate: well_known.WellKnown."""

    async def find(self, host: str) -> ServerName | None:
        """The server that speaks for the host, if it says so."""

    def doubt(self, host: str) -> None:
        """Ask again before long: the server that speaks for the host does not answer."""


@dataclass(frozen=True, slots=True)
class _Kept:
    route: Route
    until_s: float


class Resolver:
    """Finds servers, and remembers for a while where they were."""

    def __init__(
        self,
        delegations: Delegations,
        names: Names,
        clock: Clock,
        randomness: Randomness,
        *,
        routes_kept: int = ROUTES_KEPT,
    ) -> None:
        self._routes_kept = routes_kept
        self._delegations = delegations
        self._names = names
        self._clock = clock
        self._randomness = randomness
        self._routes: OrderedDict[ServerName, _Kept] = OrderedDict()
        self._locks: KeyedLocks[ServerName] = KeyedLocks()

    async def route(self, server: ServerName) -> Route:
        """How to speak with `server`. Raises Unreachable when it cannot be anywhere."""
        async with self._locks(server):
            kept = self._routes.get(server)
            if kept is None or kept.until_s <= self._clock.seconds():
                kept = _Kept(await self._find(server), self._clock.seconds() + ROUTE_KEPT_S)
                self._routes[server] = kept
            self._routes.move_to_end(server)
            if len(self._routes) > self._routes_kept:
                self._routes.popitem(last=False)
        return kept.route

    def doubt(self, server: ServerName) -> None:
        """The server did not answer: find it anew the next time, as it may have moved."""
        if self._routes.pop(server, None) is not None:
            self._delegations.doubt(split_port(server)[0])

    async def _find(self, server: ServerName) -> Route:
        known = _without_lookup(server)  # steps 1 and 2
        if known is not None:
            return known
        delegated = await self._delegations.find(server)  # step 3
        if delegated is None:
            return await self._by_service_records(server)  # steps 4 to 6
        known = _without_lookup(delegated)  # steps 3.1 and 3.2
        return await self._by_service_records(delegated) if known is None else known  # steps 3.3 to 3.5

    async def _by_service_records(self, host: ServerName) -> Route:
        """Where the service records say, or else at the host itself. The certificate is the host's in any case."""
        for service in ("_matrix-fed", "_matrix"):
            try:
                records = await self._names.services(f"{service}._tcp.{host}")
            except Unreachable:
                records = ()  # nobody can tell: the host itself may still be where it was
            if records:
                targets = tuple((record.target, record.port) for record in self._in_order(records) if record.port)
                targets = tuple(target for target in targets if target[0])
                if not targets:
                    raise Unreachable(f"{host} says that it offers no federation")
                return Route(host, host, targets[:MOST_TARGETS])
        return Route(host, host, ((host, DEFAULT_PORT),))

    def _in_order(self, records: Sequence[Service]) -> list[Service]:
        """By priority; among equals at random, but more often first the more weight a record has. See RFC 2782."""

        def place(record: Service) -> tuple[int, float]:
            # the smallest of exponentially distributed numbers belongs to each record as often as its weight says
            return record.priority, -math.log(1.0 - self._randomness.fraction()) / (record.weight or 1e-3)

        return sorted(records, key=place)


def _without_lookup(server: ServerName) -> Route | None:
    """The route to a server whose name says it all; None where there is more to ask. Raises Unreachable."""
    host, port = split_port(server)
    if port == 0:
        raise Unreachable("nobody can be reached at port 0")
    if literal_of(host) is not None:
        return Route(server, host, ((host, port or DEFAULT_PORT),))
    if len(host) > MOST_NAME_CHARACTERS or not all(
        0 < len(label) <= MOST_LABEL_CHARACTERS for label in host.split(".")
    ):
        raise Unreachable(f"{host:.255} is not possible as a name of a host")
    return None if port is None else Route(server, host, ((host, port),))
