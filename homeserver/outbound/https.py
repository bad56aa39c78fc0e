"""HTTPS towards others: one request along a route, its answer under a limit, connections kept for the next.

Redirects are not followed, nothing is decompressed. Where a server is, is found out in resolver.py; whom we may
connect to is decided in connecting.py.
"""
# Twisted leaves most of what is used here untyped.
# mypy: disallow-untyped-calls=False

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from OpenSSL.SSL import Error as TlsError
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, succeed
from twisted.internet.error import ConnectionClosed, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (  # type: ignore[attr-defined] # PotentialDataLoss is not in its list of names
    URI,
    Agent,
    HTTPConnectionPool,
    PotentialDataLoss,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from homeserver.core.identifiers import ServerName
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.errors import RemoteError, RemoteNonsense, Unreachable
from homeserver.outbound.exchange import Answer, Ask
from homeserver.outbound.routes import Route

REQUESTS_AT_ONCE: Final = 256
IDLE_S: Final = 60.0  # most servers hang up after that long by themselves
IDLE_PER_SERVER: Final = 4
# As many as large rooms have: with fewer, each message to them would be a thousand new connections. 70 KB each.
SERVERS_WITH_IDLE_CONNECTIONS: Final = 1_000
GROUPS_KEPT: Final = 10_000

_SENDABLE: Final = re.compile(r"/[!-~]*")

# Reasons for the end of a connection that are not the fault of what came over it.
CONNECTION_ENDED: Final = (ConnectionClosed, OSError, TlsError, VerificationError, CertificateError)


class Https:
    """Sends requests, any number to any servers."""

    def __init__(
        self,
        reactor: Any,  # many interfaces at once
        connecting: Connecting,
        user_agent: str,
        *,
        servers_kept: int = SERVERS_WITH_IDLE_CONNECTIONS,
    ) -> None:
        self._reactor = reactor
        self._servers_kept = servers_kept
        self._connecting = connecting
        self._user_agent = user_agent
        self._turns = DeferredSemaphore(REQUESTS_AT_ONCE)
        # A pool for each server, the one that was used last at the end. Twisted's pool would keep any number.
        self._pools: OrderedDict[tuple[ServerName, Route], HTTPConnectionPool] = OrderedDict()
        self._groups: OrderedDict[ServerName, str] = OrderedDict()

    async def send(self, route: Route, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """The answer to `ask`, whatever its status. See Agent.exchange in exchange.py; there is no time limit here."""
        await self._turns.acquire()
        try:
            response = await self._response(route, ask)
            return await whole_answer(response, ask, take)
        finally:
            self._turns.release()

    def group_of(self, destination: ServerName) -> str | None:
        """By which group keys were exchanged when the server was connected to last, as far as that is remembered."""
        return self._groups.get(destination)

    async def close(self) -> None:
        """Hang up where nothing is being asked."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.closeCachedConnections()

    async def _response(self, route: Route, ask: Ask) -> IResponse:
        pool = self._pool(ask.destination, route)
        endpoints = _Endpoints(self._connecting.endpoint(route, lambda group: self._learn(ask.destination, group)))
        agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool)
        target = _target(route, ask)
        headers = Headers({name: [value] for name, value in ask.headers.items()})
        headers.setRawHeaders("Host", [route.host_header])
        headers.setRawHeaders("User-Agent", [self._user_agent])
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        body = None if ask.body is None else RequestBody(ask.body)
        try:
            try:
                response: IResponse = await agent.request(ask.method.encode("ascii"), target, headers, body)
            except ResponseNeverReceived as never:
                # A connection that was kept may have ended just when it was used again: Matrix' requests may be
                # repeated, so this one is, over a new connection.
                if not all(isinstance(reason.value, ConnectionDone | ConnectionLost) for reason in never.reasons):
                    raise
                pool.closeCachedConnections()
                response = await agent.request(ask.method.encode("ascii"), target, headers, body)
        except (ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed) as failed:
            if any(reason.check(CancelledError) for reason in failed.reasons):
                raise CancelledError from failed
            raise _problem(ask.destination, failed) from failed
        return response

    def _pool(self, destination: ServerName, route: Route) -> HTTPConnectionPool:
        pool = self._pools.get((destination, route))
        if pool is None:
            pool = HTTPConnectionPool(self._reactor)
            pool.maxPersistentPerHost = IDLE_PER_SERVER
            pool.cachedConnectionTimeout = int(IDLE_S)
            pool.retryAutomatically = False
            self._pools[destination, route] = pool
        self._pools.move_to_end((destination, route))
        if len(self._pools) > self._servers_kept:
            _, oldest = self._pools.popitem(last=False)
            oldest.closeCachedConnections()
        return pool

    def _learn(self, destination: ServerName, group: str) -> None:
        self._groups[destination] = group
        self._groups.move_to_end(destination)
        if len(self._groups) > GROUPS_KEPT:
            self._groups.popitem(last=False)


def _target(route: Route, ask: Ask) -> bytes:
    """The URL for Twisted's agent. Raises RemoteNonsense for what would not be sent as it stands."""
    if _SENDABLE.fullmatch(ask.uri) is not None:
        uri = ask.uri.encode("ascii")
        target = b"https://" + route.host_header.encode("ascii") + uri
        if URI.fromBytes(target).originForm == uri:
            return target
    raise RemoteNonsense(f"{ask.uri!r:.500} cannot be asked for")


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Gives Twisted's agent the endpoint that was chosen for it, whatever the URI."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: ARG002, N802 - Twisted's name
        return self._endpoint


@implementer(IBodyProducer)
class RequestBody:
    """A request's body, written at once. Twisted's names."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:  # noqa: N802
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:  # noqa: N802
        pass

    def resumeProducing(self) -> None:  # noqa: N802
        pass

    def stopProducing(self) -> None:  # noqa: N802
        pass


async def whole_answer(response: IResponse, ask: Ask, take: Callable[[bytes], None] | None) -> Answer:
    """The answer with its body. Raises RemoteNonsense for one that is too large or compressed, Unreachable."""
    headers = {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }
    pieces: list[bytes] = []
    reading = _Reading(ask, pieces.append if take is None or response.code != 200 else take)
    if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        # Nobody asked for it, and a little of it can be made to become very much.
        reading.refuse(RemoteNonsense(f"{ask.destination} answered compressed"))
    elif isinstance(response.length, int) and response.length > ask.most_bytes:
        reading.refuse(_too_large(ask))
    response.deliverBody(reading)
    await reading.done
    return Answer(response.code, headers, b"".join(pieces))


class _Reading(Protocol):
    """Reads a body, and hangs up when there is too much of it, or when it is no longer wanted."""

    def __init__(self, ask: Ask, take: Callable[[bytes], None]) -> None:
        self._ask = ask
        self._take = take
        self._bytes = 0
        self._refusal: RemoteError | None = None
        self._is_taking = False
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())

    def refuse(self, refusal: RemoteError) -> None:
        """Read no further; `done` fails with `refusal`."""
        if self._refusal is None:
            self._refusal = refusal
            self._hang_up()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Hang up if nothing is wanted."""
        if self._refusal is not None:
            self._hang_up()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Take a piece."""
        if self._refusal is not None:
            return
        self._bytes += len(data)
        if self._bytes > self._ask.most_bytes:
            self.refuse(_too_large(self._ask))
            return
        self._is_taking = True
        try:
            self._take(data)
        except RemoteError as refusal:
            self.refuse(refusal)
        self._is_taking = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """The body has ended, somehow."""
        if self.done.called:
            return
        if self._refusal is not None:
            self.done.errback(self._refusal)
        elif self._is_taking:  # a bug in whoever takes: Twisted has its traceback, and ended the connection for it
            self.done.errback(reason)
        elif reason.check(
            ResponseDone, PotentialDataLoss
        ):  # the latter: the end of the connection was that of the body
            self.done.callback(None)
        else:
            self.done.errback(Unreachable(f"{self._ask.destination} stopped answering: {reason.getErrorMessage()}"))

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _too_large(ask: Ask) -> RemoteNonsense:
    return RemoteNonsense(f"{ask.destination} answered with more than {ask.most_bytes} bytes")


def _problem(
    destination: ServerName, failed: Any
) -> RemoteError:  # Any: Twisted's exceptions with reasons have no type
    """What the reasons mean: that nothing came, or nothing that is HTTP."""
    said = "; ".join(reason.getErrorMessage() or reason.type.__name__ for reason in failed.reasons)
    if not all(reason.check(*CONNECTION_ENDED) for reason in failed.reasons):
        return RemoteNonsense(f"{destination} does not speak HTTP: {said:.500}")
    return Unreachable(f"{destination} did not answer: {said:.500}")
