"""A site on a loopback port, with the reactor in a thread of its own: requests are plain blocking calls."""

import http.client
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Protocol

import orjson
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from homeserver.core.identifiers import DeviceID, ServerName, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.http.authentication import Authentication
from homeserver.http.client_address import TrustedProxies
from homeserver.http.door import Door
from homeserver.http.endpoint import Surface, collect
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.resource import Listening, Site, Traffic
from homeserver.http.router import Router
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.metrics import Metrics
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import Forbidden, Unauthorized
from tests.conformance.administration import document, is_administration
from tests.fakes.acts import NotedActs

# Twisted's reactor is typed as a module.
the_reactor: Any = reactor


class Tokens:
    """Access tokens that are in memory, and those that begin with "slow" only after a while."""

    def __init__(self) -> None:
        self.known: dict[str, Requester] = {"secret": Requester(UserID("@alice:example.org"), DeviceID("ALICE"), 1)}

    def find(self, token: str) -> Requester | Awaitable[Requester | None] | None:
        return self._find_slowly(token) if token.startswith("slow") else self.known.get(token)

    async def _find_slowly(self, token: str) -> Requester | None:
        later: Deferred[Requester | None] = Deferred()
        the_reactor.callLater(0, later.callback, self.known.get(token))
        return await later

    async def speak_for(self, requester: Requester, user_id: UserID | None, device_id: DeviceID | None) -> Requester:
        if user_id is not None and not user_id.startswith("@bridge_"):
            raise Forbidden
        return Requester(user_id or requester.user_id, device_id, 0, appservice_id=requester.appservice_id)


class Peers:
    """Believes what the header says."""

    async def verify(self, *, method: str, uri: str, authorization: Any, content: bytes) -> ServerName:
        if not authorization[0].startswith("X-Matrix "):
            raise Unauthorized
        return ServerName(authorization[0].removeprefix("X-Matrix "))


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, if it is JSON."""
        assert self.headers["content-type"] == "application/json"
        return orjson.loads(self.body)


@dataclass
class Served:
    """A running site, and how to talk to it."""

    port: int
    traffic: Traffic
    tokens: Tokens
    metrics: Metrics
    opened: list[http.client.HTTPConnection] = field(default_factory=list)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """One request on a connection of its own. What administrators are answered is held against the document."""
        connection = self.connect()
        connection.request(method, path, body, dict(headers or {}))
        response = read_response(connection)
        if is_administration(path) and response.body:
            assert list(document().complaints(method, path, response.status, response.json)) == []
        return response

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is kept alive."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.opened.append(connection)
        return connection

    def raw(self, sent: bytes) -> bytes:
        """Send bytes, half-close, and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(sent)
            received = b""
            while piece := connection.recv(65536):
                received += piece
            return received

    def in_reactor(self, function: Callable[[], Any]) -> Any:
        """Call on the reactor's thread; a coroutine is awaited."""
        return in_reactor(function)


class Serve(Protocol):
    """Serves the endpoints of the given objects, each site on a port of its own."""

    def __call__(
        self,
        *endpoints: object,
        limits: Mapping[RateClass, RateLimit] | None = None,
        served: Collection[Surface] = frozenset(Surface),
        proxies: TrustedProxies = TrustedProxies(()),
        by_owner: bool = False,
    ) -> Served: ...


def read_response(connection: http.client.HTTPConnection) -> Response:
    """The next response of a connection."""
    answer = connection.getresponse()
    return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def in_reactor(function: Callable[[], Any]) -> Any:
    """Call on the reactor's thread; a coroutine is awaited."""
    done: Future[Any] = Future()

    async def call() -> Any:
        result = function()
        return await result if isinstance(result, Awaitable) else result

    def begin() -> None:
        deferred = Deferred.fromCoroutine(call())
        deferred.addCallbacks(done.set_result, lambda failure: done.set_exception(failure.value))

    the_reactor.callFromThread(begin)
    return done.result(timeout=20)


@pytest.fixture(scope="session")
def running_reactor() -> Iterator[None]:
    """The reactor, in a thread, for the whole session."""
    thread = Thread(target=lambda: the_reactor.run(installSignalHandlers=False), daemon=True)
    thread.start()
    yield
    the_reactor.callFromThread(the_reactor.stop)
    thread.join(10)


@pytest.fixture
def serve(running_reactor: None) -> Iterator[Serve]:
    """Serve the endpoints of the given objects, each site on a port of its own."""
    stops: list[Callable[[], Any]] = []

    def start(
        *endpoints: object,
        limits: Mapping[RateClass, RateLimit] | None = None,
        served: Collection[Surface] = frozenset(Surface),
        proxies: TrustedProxies = TrustedProxies(()),
        by_owner: bool = False,
    ) -> Served:
        clock = ReactorClock(the_reactor)
        tokens = Tokens()
        metrics = Metrics()
        door = Door(
            Authentication(tokens, Peers(), accepts_query_tokens=True), RateLimiting(limits or {}, clock), NotedActs()
        )
        traffic = Traffic(door, clock, metrics, deferToThread)
        site = Site(traffic, Listening(Router(collect(endpoints), served), proxies, by_owner=by_owner))
        port = in_reactor(lambda: the_reactor.listenTCP(0, site, interface="127.0.0.1"))
        in_reactor(traffic.start)
        running = Served(port.getHost().port, traffic, tokens, metrics)

        def stop() -> None:
            for connection in running.opened:
                connection.close()
            in_reactor(port.stopListening)
            in_reactor(lambda: traffic.drain(0))

        stops.append(stop)
        return running

    yield start
    for stop in stops:
        stop()
