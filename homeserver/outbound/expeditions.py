"""Finding a server as though for the first time, and noting what is seen on the way.

For administrators who want to know why a server cannot be reached: the usual resolver and client do the work, but
nothing that is remembered is used, and nothing that is found is remembered. What it means is in
services/federation/reachability.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from OpenSSL.crypto import X509

from homeserver.core.identifiers import ServerName
from homeserver.outbound.address_guard import Address, AddressGuard
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.errors import RemoteError
from homeserver.outbound.exchange import Answer, Ask
from homeserver.outbound.https import Https
from homeserver.outbound.names import Names, Service
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.tls import TlsClients
from homeserver.outbound.well_known import WellKnown
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness


@dataclass(frozen=True, slots=True)
class SeenDelegation:
    """What a host's /.well-known/matrix/server said, or why nothing."""

    host: str
    server: ServerName | None
    problem: RemoteError | None = None


@dataclass(frozen=True, slots=True)
class SeenServices:
    """The service records of a name, or why nobody could tell."""

    name: str
    records: Sequence[Service]
    problem: RemoteError | None = None


@dataclass(frozen=True, slots=True)
class SeenAddresses:
    """The addresses of a host, or why there are none."""

    host: str
    addresses: Sequence[Address]
    problem: RemoteError | None = None


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """The certificate by which a connection came about."""

    issuer: str
    good_until_ms: int


@dataclass(slots=True)
class Seen:
    """All that was seen, in the order of its coming."""

    delegations: list[SeenDelegation] = field(default_factory=list)
    services: list[SeenServices] = field(default_factory=list)
    addresses: list[SeenAddresses] = field(default_factory=list)
    certificate: SeenCertificate | None = None
    clock_ahead_ms: int | None = None  # of the other server, to about a second, if it told its time


class Expedition:
    """One way to a server: an Agent for exchange.py."""

    def __init__(
        self, make_agent: Callable[["Expedition"], FederationAgent], well_known: WellKnown, names: Names, clock: Clock
    ) -> None:
        self.seen = Seen()
        self._well_known = well_known
        self._names = names
        self._clock = clock
        self._agent = make_agent(self)

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """See Agent."""
        answer = await self._agent.exchange(ask, take)
        told_ms = _time_told(answer)
        if told_ms is not None:
            self.seen.clock_ahead_ms = told_ms - self._clock.now_ms()
        return answer

    def group_of(self, destination: ServerName) -> str | None:
        """By which group keys were exchanged."""
        return self._agent.group_of(destination)

    async def close(self) -> None:
        """Hang up."""
        await self._agent.close()

    # As delegations of the resolver

    async def find(self, host: str) -> ServerName | None:
        """The server that speaks for the host, if it says so."""
        try:
            server = await self._well_known.ask(host)
        except RemoteError as problem:
            self.seen.delegations.append(SeenDelegation(host, None, problem))
            return None
        self.seen.delegations.append(SeenDelegation(host, server))
        return server

    def doubt(self, host: str) -> None:
        """Nothing is remembered that could be doubted."""

    # As names

    async def addresses(self, host: str) -> Sequence[Address]:
        """See Names."""
        try:
            found = await self._names.addresses(host)
        except RemoteError as problem:
            self.seen.addresses.append(SeenAddresses(host, (), problem))
            raise
        self.seen.addresses.append(SeenAddresses(host, found))
        return found

    async def services(self, name: str) -> Sequence[Service]:
        """See Names."""
        try:
            found = await self._names.services(name)
        except RemoteError as problem:
            self.seen.services.append(SeenServices(name, (), problem))
            raise
        self.seen.services.append(SeenServices(name, found))
        return found

    # As whoever looks at certificates

    def see_certificate(self, certificate: X509) -> None:
        """Note by which certificate a connection came about."""
        try:
            read = certificate.to_cryptography()
            issuer, good_until = read.issuer.rfc4514_string(), read.not_valid_after_utc
        except ValueError:  # good enough for OpenSSL, but odd
            return
        self.seen.certificate = SeenCertificate(issuer, int(good_until.timestamp() * 1000))


class Expeditions:
    """Sets out for servers."""

    def __init__(
        self,
        reactor: Any,  # many interfaces at once
        clock: Clock,
        randomness: Randomness,
        names: Names,
        guard: AddressGuard,
        tls: TlsClients,
        well_known: WellKnown,
        user_agent: str,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._randomness = randomness
        self._names = names
        self._guard = guard
        self._tls = tls
        self._well_known = well_known
        self._user_agent = user_agent

    @property
    def verifies(self) -> bool:
        """Whether certificates are looked at."""
        return self._tls.verifies

    def begin(self) -> Expedition:
        """Set out; to be closed after."""
        return Expedition(self._agent, self._well_known, self._names, self._clock)

    def _agent(self, expedition: Expedition) -> FederationAgent:
        tls = self._tls.watched(expedition.see_certificate)
        connecting = Connecting(self._reactor, self._clock, expedition, self._guard, tls)
        https = Https(self._reactor, connecting, self._user_agent)
        return FederationAgent(Resolver(expedition, expedition, self._clock, self._randomness), https)


def _time_told(answer: Answer) -> int | None:
    told = answer.headers.get("date")
    if told is None:
        return None
    try:
        moment = parsedate_to_datetime(told)
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
