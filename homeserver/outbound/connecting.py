"""Connections to others, up to the point where HTTP begins: look-up, guard, TCP, TLS, and a limit to what comes first.

Nobody else connects to anybody.
"""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.outbound.address_guard import AddressGuard
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.names import Names
from homeserver.outbound.routes import Route, literal_of
from homeserver.outbound.tls import TlsClients
from homeserver.runtime.clock import Cancellable, Clock

CONNECT_S: Final = 10.0
NEXT_ATTEMPT_S: Final = 0.5  # an address that does not answer at once is not waited for alone
MOST_HEAD_BYTES: Final = 1 << 16

_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_PROVISIONAL: Final = re.compile(rb"\s*HTTP/\S+\s+1")


class Connecting:
    """Opens connections along routes."""

    def __init__(self, reactor: Any, clock: Clock, names: Names, guard: AddressGuard, tls: TlsClients) -> None:
        # Any: a reactor is many interfaces at once
        self._reactor = reactor
        self._clock = clock
        self._names = names
        self._guard = guard
        self._tls = tls

    def endpoint(self, route: Route, learn_group: Callable[[str], None]) -> IStreamClientEndpoint:
        """What connects to that server; `learn_group` is told by which group the keys were exchanged."""
        return _RouteEndpoint(self, route, learn_group)

    async def connect(self, route: Route, learn_group: Callable[[str], None], factory: IProtocolFactory) -> IProtocol:
        """A protocol of `factory`, connected to the first target that takes the connection. Raises Unreachable."""
        creator = self._tls.expecting(route.certificate_name, learn_group)
        wrapped = TLSMemoryBIOFactory(creator, True, WireFactory(factory), clock=self._reactor)  # noqa: FBT003
        problem = Unreachable("there is no address to connect to")
        for host, port in route.targets:
            try:
                outer = await self._connect_to(host, port, wrapped)
            except Unreachable as unreachable:
                problem = unreachable
            else:
                # outside is TLS, within it the wire, within that what the factory made
                inner: IProtocol = outer.wrappedProtocol.wrappedProtocol
                return inner
        raise problem

    async def _connect_to(self, host: str, port: int, factory: IProtocolFactory) -> Any:  # Any: Twisted has no type
        literal = literal_of(host)
        addresses = await self._names.addresses(host) if literal is None else [literal]
        allowed = []
        problem = Unreachable(f"{host} has no address")
        for address in addresses:
            try:
                self._guard.check(address)
            except Unreachable as refused:
                problem = refused
            else:
                allowed.append(address)
        if not allowed:
            raise problem
        endpoint = {4: TCP4ClientEndpoint, 6: TCP6ClientEndpoint}
        race = Race(
            [endpoint[address.version](self._reactor, str(address), port, CONNECT_S) for address in allowed],
            factory,
            self._clock,
        )
        try:
            return await race.run()
        except ConnectError as error:
            raise Unreachable(f"no connection to {host} port {port}: {error}") from error


class Race:
    """Attempts to connect that begin one after another, without waiting long for each; the first success counts."""

    def __init__(self, endpoints: Sequence[IStreamClientEndpoint], factory: IProtocolFactory, clock: Clock) -> None:
        self._waiting = list(reversed(endpoints))
        self._factory = factory
        self._clock = clock
        self._running: set[Deferred[IProtocol]] = set()
        self._alarm: Cancellable | None = None
        self._is_over = False
        self._winner: Deferred[IProtocol] = Deferred(lambda _: self._end())

    def run(self) -> Deferred[IProtocol]:
        """The first connection. Fails as the last attempt does when all fail."""
        self._start_next()
        return self._winner

    def _start_next(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._is_over or not self._waiting:
            return
        endpoint = self._waiting.pop()
        if self._waiting:
            self._alarm = self._clock.call_later(NEXT_ATTEMPT_S, self._start_next)
        attempt = endpoint.connect(self._factory)
        self._running.add(attempt)
        attempt.addCallbacks(
            self._succeeded, self._failed, callbackKeywords={"attempt": attempt}, errbackKeywords={"attempt": attempt}
        )

    def _succeeded(self, protocol: IProtocol, attempt: Deferred[IProtocol]) -> None:
        self._running.discard(attempt)
        self._end()
        self._winner.callback(protocol)

    def _failed(self, failure: Failure, attempt: Deferred[IProtocol]) -> None:
        self._running.discard(attempt)
        if self._is_over:
            return
        if self._waiting:
            self._start_next()
        elif not self._running:
            self._end()
            self._winner.errback(failure)

    def _end(self) -> None:
        self._is_over = True
        if self._alarm is not None:
            self._alarm.cancel()
        for attempt in list(self._running):
            attempt.cancel()


@implementer(IStreamClientEndpoint)
class _RouteEndpoint:
    """What Twisted's HTTP client is given to connect with."""

    def __init__(self, connecting: Connecting, route: Route, learn_group: Callable[[str], None]) -> None:
        self._connecting = connecting
        self._route = route
        self._learn_group = learn_group

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803 - Twisted's name
        return Deferred.fromCoroutine(self._connecting.connect(self._route, self._learn_group, protocolFactory))


class Wire(ProtocolWrapper):
    """What stands between TLS and HTTP: the head of an answer has a limit, and hanging up does not wait for the peer.

    Twisted's client would read headers for as long as they come, and would wait for a peer that goes on sending to
    agree to the end of the connection.
    """

    _is_lost = False
    _is_in_head = False
    _head = b""  # what has come of it
    _head_bytes = 0  # the same, with provisional answers before it

    def write(self, data: bytes) -> None:
        """Send; the next to come is the head of an answer."""
        self._await_head()
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """Send; the next to come is the head of an answer."""
        self._await_head()
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Pass on what comes, unless a head is too large."""
        if self._is_in_head:
            self._read_head(data)
            if self._is_in_head and self._head_bytes > MOST_HEAD_BYTES:
                self.loseConnection()
                return
        super().dataReceived(data)

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Hang up at once: by now everything has been sent, and read as far as anybody wants to.

        Twisted's pool also does so, when their time is over, with connections that the peer has ended.
        """
        if self._is_lost:
            return
        self.disconnecting = 1
        transport: Any = self.transport  # TLS, which has more than Twisted's declaration says
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Pass on that the connection has ended."""
        self._is_lost = True
        super().connectionLost(reason)

    def _await_head(self) -> None:
        self._is_in_head, self._head, self._head_bytes = True, b"", 0

    def _read_head(self, data: bytes) -> None:
        searched = max(0, len(self._head) - 3)
        self._head += data
        self._head_bytes += len(data)
        while (end := _END_OF_HEAD.search(self._head, searched)) is not None:
            if _PROVISIONAL.match(self._head) is None:
                self._is_in_head, self._head = False, b""
                return
            self._head, searched = self._head[end.end() :], 0


class WireFactory(WrappingFactory[Wire]):
    """Makes wires."""

    protocol = Wire
