"""The one door to the HTTP library: requests as Twisted receives them, replies as it sends them.

Everything that is decided about a request is decided in door.py; here it is received within limits, answered, logged
once and counted. A connection that is too slow, silent or stuck is closed.
"""
# The names and parameters of overridden methods are Twisted's, which leaves most of its own untyped.
# ruff: noqa: N802, N815, ARG002
# mypy: disallow-untyped-calls=False

import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from twisted.web import http

from homeserver.core.errors import ProtocolError
from homeserver.http.arrival import Arrival
from homeserver.http.client_address import UNIX_SOCKET, TrustedProxies
from homeserver.http.door import Door
from homeserver.http.endpoint import Auth, FileBody, Reply, Upload
from homeserver.http.errors import reply_to, reply_to_fault
from homeserver.http.parameters import parse_query
from homeserver.http.rendering import PREFLIGHT, Rendered, compress, may_be_compressed, render
from homeserver.http.router import Route, Router
from homeserver.runtime.clock import Cancellable, Clock
from homeserver.runtime.logs import get_logger, request_id
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.own_figures import Costs
from homeserver.services.errors import MissingToken, ServiceError, TooLarge, Unavailable

# What is over the limit is received and dropped up to this much, so that the client comes to read the answer.
DROPPED_BYTES: Final = 4 * 1024 * 1024
NOBODYS_BODY_BYTES: Final = 64 * 1024  # of a request for which nobody needs a token: logins, registrations
# Bodies in memory, of all requests together: as objects they take up to thirty times as much.
BUFFERED_BYTES: Final = 64 * 1024 * 1024
SPOOLED_FROM_BYTES: Final = 256 * 1024  # an upload larger than this goes to a file
OFFLOADED_FROM_BYTES: Final = 128 * 1024  # a body larger than this is compressed in a thread

SWEEP_EVERY_S: Final = 5.0
IDLE_S: Final = 75.0  # a connection without a request
SLOW_AFTER_S: Final = 30.0  # a request that is still arriving must by then have come at a fair rate
SLOWEST_BYTES_PER_S: Final = 1000.0
STUCK_S: Final = 600.0  # a client that does not take what it asked for
LINGER_S: Final = 5.0  # for a client to read why it was refused

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listening:
    """What holds for one listener."""

    router: Router
    proxies: TrustedProxies
    body_limit_bytes: int = 1024 * 1024
    upload_limit_bytes: int = 50 * 1024 * 1024
    by_owner: bool = False  # a socket that only the server's owner can open


class Traffic:
    """All connections and the requests in flight on them, of every listener."""

    def __init__(
        self,
        door: Door,
        clock: Clock,
        metrics: Metrics,
        offload: Callable[[Callable[[], Rendered]], Awaitable[Rendered]],
        *,
        logs_every_request: bool = False,
        room_costs: Costs | None = None,
    ) -> None:
        """`offload` runs a function in a thread. What is asked about rooms is counted in `room_costs`, too."""
        self.door: Final = door
        self.clock: Final = clock
        self.offload: Final = offload
        self.channels: Final[set[_Channel]] = set()
        self.is_draining = False
        self.buffered_bytes = 0  # of bodies that are arriving, or whose requests are being answered
        self.buffered_limit_bytes = BUFFERED_BYTES
        self._metrics = metrics
        self._logs_every_request = logs_every_request
        self._room_costs = room_costs
        self._in_flight: set[_Exchange] = set()
        self._emptied: Deferred[None] | None = None
        self._next_sweep: Cancellable | None = None
        self._requests = 0
        self._boot = f"{clock.now_ms() & 0xFFFFFF:x}"
        self._date = (0, b"")

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return len(self._in_flight)

    def start(self) -> None:
        """Begin to look after the connections."""
        self._next_sweep = self.clock.call_later(SWEEP_EVERY_S, self._sweep)

    async def drain(self, timeout_s: float) -> None:
        """Answer what is in flight, for that long, then give up the rest; close every connection.

        Long polls end at once. The listeners are to be closed before.
        """
        self.is_draining = True
        for exchange in tuple(self._in_flight):
            exchange.end_poll()
        for channel in tuple(self.channels):
            channel.close_if_idle()
        if self._in_flight:
            emptied: Deferred[None] = Deferred()
            self._emptied = emptied
            alarm = self.clock.call_later(timeout_s, self._give_up)
            await emptied
            alarm.cancel()
        for channel in tuple(self.channels):
            channel.loseConnection()
        if self._next_sweep is not None:
            self._next_sweep.cancel()
            self._next_sweep = None

    def begin(self, exchange: "_Exchange") -> str:
        """Count a request in; gives its ID."""
        self._in_flight.add(exchange)
        self._requests += 1
        return f"{self._boot}-{self._requests:x}"

    def end(self, exchange: "_Exchange", *, status: int, size_bytes: int, cpu_s: float, wall_s: float) -> None:
        """Count a request out; `status` is 499 when the client left before the answer."""
        self._in_flight.discard(exchange)
        self._metrics.observe_request(exchange.endpoint_path, status, cpu_s=cpu_s, wall_s=wall_s)
        if self._room_costs is not None and exchange.room is not None and status < 400:
            self._room_costs.note(exchange.room, cpu_s=cpu_s, wall_s=wall_s)
        if self._logs_every_request:
            log.info(
                "request",
                method=exchange.method.decode("latin-1"),
                path=exchange.uri.partition(b"?")[0].decode("latin-1"),
                status=status,
                size_bytes=size_bytes,
                cpu_ms=round(cpu_s * 1000, 2),
                wall_ms=round(wall_s * 1000, 1),
                client=exchange.client_ip,
            )
        if self._emptied is not None and not self._in_flight:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def date(self) -> bytes:
        """The Date header's line, formatted once a second."""
        now_s = self.clock.now_ms() // 1000
        if now_s != self._date[0]:
            self._date = (now_s, b"Date: " + http.datetimeToString(now_s) + b"\r\n")
        return self._date[1]

    def _give_up(self) -> None:
        for exchange in tuple(self._in_flight):
            exchange.give_up()
        emptied, self._emptied = self._emptied, None
        if emptied is not None:
            emptied.callback(None)

    def _sweep(self) -> None:
        self._next_sweep = self.clock.call_later(SWEEP_EVERY_S, self._sweep)
        now_s = self.clock.seconds()
        for channel in tuple(self.channels):
            channel.sweep(now_s)
        self.door.sweep()


class Site(ServerFactory):
    """Makes the connections of one listener."""

    noisy = False

    def __init__(self, traffic: Traffic, listening: Listening) -> None:
        self.traffic: Final = traffic
        self.listening: Final = listening

    def buildProtocol(self, addr: IAddress | None) -> "_Channel":
        """A new connection."""
        channel = _Channel(self.traffic, self.listening)
        channel.factory = self
        return channel

    def log(self, request: http.Request) -> None:
        """Twisted's access log: Traffic writes it instead."""


class _Channel(http.HTTPChannel):
    """One connection. What Twisted does with timers for each request is done here by a sweep over all connections."""

    totalHeadersSize = 32 * 1024
    transport: ITransport

    def __init__(self, traffic: Traffic, listening: Listening) -> None:
        super().__init__()
        self.traffic: Final = traffic
        self.listening: Final = listening
        self.requestFactory = _Exchange  # type: ignore[assignment] # it takes this kind of channel alone
        self.has_given_up = False  # whatever else arrives is ignored
        self._received = 0  # bytes
        self._answered_at = 0  # how much had been received when the last answer was sent
        self._is_answering = False
        self._is_closing = False
        self._phase = ""
        self._phase_began_s = 0.0
        self._phase_began_at = 0
        self._is_stuck = False

    def connectionMade(self) -> None:
        super().connectionMade()
        # Each request asks; the system would have to be asked each time.
        self._peer = self.transport.getPeer()
        self._host = self.transport.getHost()
        self.traffic.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.traffic.channels.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if not self.has_given_up:
            self._received += len(data)
            super().dataReceived(data)

    def getPeer(self) -> IAddress:
        return self._peer

    def getHost(self) -> IAddress:
        return self._host

    def headerReceived(self, line: bytes) -> bool:
        if len(line) > 64 and line[:15].lower() == b"content-length:":
            # So many digits that Python refuses to read the number.
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        self._respondToBadRequestAndDisconnect()

    def allHeadersReceived(self) -> None:
        exchange: _Exchange = self.requests[-1]
        self.persistent = self.checkPersistence(exchange, self._version)
        exchange.headers_received(self._command, self._path, self.length)
        if not self.has_given_up and exchange.expects_continue and self._version == b"HTTP/1.1":
            self._send100Continue()

    def allContentReceived(self) -> None:
        if not self.has_given_up:
            self._is_answering = True
            super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        self._is_answering = False
        self._answered_at = self._received
        self._phase = ""  # of short requests a sweep sees nothing: what comes next begins now
        if self.traffic.is_draining:
            self.persistent = False
        super().requestDone(request)

    def pauseProducing(self) -> None:
        self._is_stuck = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        self._is_stuck = False
        if self._phase == "stuck":
            self._phase = ""  # even if it stops again before the next sweep
        super().resumeProducing()

    def loseConnection(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            super().loseConnection()

    def respond_and_give_up(self, rendered: Rendered) -> None:
        """Answer before the request has wholly arrived, and read no more. The connection is closed a little later."""
        if not self.has_given_up:
            self.has_given_up = True
            self.lineReceived = self.rawDataReceived = _ignore  # type: ignore[method-assign] # of what is buffered
            self.transport.write(_with_tail(rendered, self.traffic.date(), persistent=False, with_body=True))

    def close_if_idle(self) -> None:
        """Close the connection unless a request is on it."""
        if not self.requests:
            self.loseConnection()

    def sweep(self, now_s: float) -> None:
        """Close the connection if it has been idle, slow or stuck for too long."""
        phase = self._current_phase()
        if phase != self._phase:
            self._phase, self._phase_began_s, self._phase_began_at = phase, now_s, self._received
            return
        elapsed_s = now_s - self._phase_began_s
        if (phase == "given up" and elapsed_s >= LINGER_S) or (phase in ("stuck", "closing") and elapsed_s >= STUCK_S):
            self.forceAbortClient()
        elif phase == "receiving" and elapsed_s >= SLOW_AFTER_S:
            if self._received - self._phase_began_at < SLOWEST_BYTES_PER_S * elapsed_s:
                self.forceAbortClient()
            else:
                self._phase_began_s, self._phase_began_at = now_s, self._received
        elif phase == "idle" and elapsed_s >= IDLE_S:
            self.loseConnection()

    def _current_phase(self) -> str:
        if self.has_given_up:
            return "given up"
        if self._is_closing:
            return "closing"
        if self._is_stuck:
            return "stuck"
        if self._is_answering:
            return "answering"
        if self.requests or self._received != self._answered_at:
            return "receiving"
        return "idle"

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What is not even HTTP gets the same kind of answer as any other wrong request."""
        self.respond_and_give_up(
            render(Reply({"errcode": "M_UNRECOGNIZED", "error": "This is not a request of HTTP/1.1"}, 400))
        )


class _Exchange(http.Request):
    """One request and its answer."""

    channel: _Channel
    client_ip = ""
    endpoint_path = "none"  # for the metrics: of a bounded set

    _route: Route | None = None
    _path: Mapping[str, str] = MappingProxyType({})
    _query: Mapping[str, list[str]] = MappingProxyType({})
    _refusal: ProtocolError | ServiceError | None = None
    _limit_bytes: int
    _received_bytes = 0
    _buffered_bytes = 0
    _spool: IO[bytes] | None = None
    _context: Context
    _coroutine: Coroutine[Deferred[Any], None, None] | None = None  # Any: whatever a handler waits for
    _waiting: Deferred[Any] | None = None  # as above
    _busy_s = 0.0
    _began_s = 0.0
    _status = 499
    _sent_bytes = 0

    def __init__(self, channel: _Channel, queued: object = False) -> None:
        super().__init__(channel, queued)
        self._traffic: Final = channel.traffic
        self._listening: Final = channel.listening
        self._limit_bytes = channel.listening.body_limit_bytes
        self._chunks: list[bytes] = []

    # Receiving

    @property
    def room(self) -> str | None:
        """The room that the request is about, if its path names one; not of one that waits for news."""
        if self._route is None or self._route.mark.waits:
            return None
        return self._path.get("roomId")

    def headers_received(self, method: bytes, uri: bytes, length: int | None) -> None:
        """Find the route; refuse what is already known to be refused."""
        self.method, self.uri = method, uri
        peer = getattr(self.client, "host", None) or UNIX_SOCKET
        forwarded = self.requestHeaders.getRawHeaders(b"X-Forwarded-For")
        self.client_ip = peer if forwarded is None else self._listening.proxies.client_of(peer, _decoded(forwarded))
        if method != b"OPTIONS":
            try:
                self._find_route(method.decode("latin-1"), uri)
            except (ProtocolError, ServiceError) as refusal:
                self._refusal = refusal
        if length is not None and length > self._limit_bytes:
            self._refusal = self._too_large()
            if length > self._limit_bytes + DROPPED_BYTES or self.expects_continue:
                self._give_up_receiving()

    @property
    def expects_continue(self) -> bool:
        """True if the client waits for a sign before it sends the body."""
        return (self.getHeader(b"Expect") or b"").lower() == b"100-continue"

    def _find_route(self, method: str, uri: bytes) -> None:
        path, _, query = uri.partition(b"?")
        if not path.startswith(b"/"):
            # The absolute form, which proxies use: http://host/path
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        route, self._path = self._listening.router.find(method, path)
        self._route = route
        if route.mark.max_body_bytes is not None:
            self._limit_bytes = route.mark.max_body_bytes
        elif route.body.is_upload:
            self._limit_bytes = self._listening.upload_limit_bytes
        elif route.mark.auth in (Auth.NONE, Auth.OPTIONAL_TOKEN):
            self._limit_bytes = min(self._limit_bytes, NOBODYS_BODY_BYTES)
        self.endpoint_path = route.mark.path
        if query:
            self._query = parse_query(query)
        # A body is not worth receiving from nobody; what a token is worth is seen later.
        if route.mark.auth in (Auth.ACCESS_TOKEN, Auth.SOFT):
            authentication = self._traffic.door.authentication
            if not authentication.shows_token(self._header_values(b"Authorization"), self._query):
                raise MissingToken

    def handleContentChunk(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._received_bytes > self._limit_bytes:
            if self._refusal is None:
                self._refusal = self._too_large()
            if self._received_bytes > self._limit_bytes + DROPPED_BYTES:
                self._give_up_receiving()
        if self._refusal is not None:
            self._drop_content()
        elif self._route is not None and self._route.body.is_upload:
            self._spooled().write(data)
        else:
            self._chunks.append(data)
            self._buffered_bytes += len(data)
            self._traffic.buffered_bytes += len(data)
            if self._traffic.buffered_bytes > self._traffic.buffered_limit_bytes:
                self._refusal = Unavailable("The server is busy with large requests: try again later")
                self._drop_content()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Everything has arrived."""
        self.clientproto = version
        self._began_s = self._traffic.clock.seconds()
        self._context = copy_context()
        self._context.run(request_id.set, self._traffic.begin(self))
        self._coroutine = self._respond()
        self._step()

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._coroutine is None:
            self._drop_content()
            self._close_spool()
        else:
            self.end_poll()

    def end_poll(self) -> None:
        """Cancel a long poll; any other request runs to its end."""
        if self._route is not None and self._route.mark.waits:
            self.give_up()

    def give_up(self) -> None:
        """Cancel whatever the answer waits for."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _drop_content(self) -> None:
        """Let go of the body: it is not wanted, or not any more."""
        self._chunks = []
        self._traffic.buffered_bytes -= self._buffered_bytes
        self._buffered_bytes = 0

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request's body is larger than {self._limit_bytes} bytes")

    def _give_up_receiving(self) -> None:
        refusal = self._refusal or self._too_large()
        self.channel.respond_and_give_up(render(reply_to(refusal)))

    def _spooled(self) -> IO[bytes]:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(max_size=SPOOLED_FROM_BYTES)  # noqa: SIM115 - closed later
        return self._spool

    def _close_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    # Answering: a coroutine that runs at once as far as it can, and goes on whenever what it waits for is there.

    def _step(self, result: object = None) -> None:
        coroutine = self._coroutine
        if coroutine is None:
            return
        began_s = self._traffic.clock.seconds()
        try:
            # A result the coroutine takes from the Deferred itself.
            if isinstance(result, Failure):
                failure: Any = result.value  # Twisted types it as perhaps None, which a failure never is
                waiting = self._context.run(lambda: coroutine.throw(failure))
            else:
                waiting = self._context.run(coroutine.send, None)
        except StopIteration:
            self._coroutine = self._waiting = None
            self._busy_s += self._traffic.clock.seconds() - began_s
            self._end()
        else:
            self._waiting = waiting
            self._busy_s += self._traffic.clock.seconds() - began_s
            waiting.addBoth(self._step)

    async def _respond(self) -> None:
        try:
            rendered = await self._rendered(await self._reply())
            await self._send(rendered)
        except Exception:
            if not self._disconnected:
                log.exception("response not sent")
                self.channel.loseConnection()

    async def _reply(self) -> Reply:
        if self._refusal is not None:
            return reply_to(self._refusal)
        if self._route is None:
            return PREFLIGHT
        try:
            return await self._traffic.door.answer(self._route, self._arrival())
        except (ProtocolError, ServiceError) as refusal:
            return reply_to(refusal)
        except CancelledError:
            # The client has left, or the server is about to.
            return reply_to(Unavailable("The server is stopping"))
        except Exception as fault:
            self._log_fault(fault)
            return reply_to_fault()

    async def _rendered(self, reply: Reply) -> Rendered:
        try:
            rendered = render(reply)
        except (TypeError, ValueError) as fault:
            self._log_fault(fault)
            rendered = render(reply_to_fault())
        if may_be_compressed(rendered, self._header_values(b"Accept-Encoding")):
            if rendered.size_bytes > OFFLOADED_FROM_BYTES:
                return await self._traffic.offload(lambda: compress(rendered))
            return compress(rendered)
        return rendered

    async def _send(self, rendered: Rendered) -> None:
        if self._disconnected:
            if isinstance(rendered.body, FileBody):
                rendered.body.file.close()
            return
        self._status = rendered.status
        with_body = self.method != b"HEAD" and rendered.has_body
        persistent = bool(self.channel.persistent) and not self._traffic.is_draining
        self.startedWriting = 1
        self.channel.write(_with_tail(rendered, self._traffic.date(), persistent=persistent, with_body=with_body))
        if isinstance(rendered.body, FileBody):
            try:
                if with_body:
                    await FileSender().beginFileTransfer(rendered.body.file, self)
            finally:
                rendered.body.file.close()
                if self.producer is not None and not self._disconnected:
                    self.unregisterProducer()
        if with_body:
            self._sent_bytes = rendered.size_bytes

    def _end(self) -> None:
        self._drop_content()
        self._close_spool()
        self._traffic.end(
            self,
            status=self._status,
            size_bytes=self._sent_bytes,
            cpu_s=self._busy_s,
            wall_s=self._traffic.clock.seconds() - self._began_s,
        )
        if not self._disconnected:
            self.finish()

    def _arrival(self) -> Arrival:
        content: bytes | Upload
        if self._route is not None and self._route.body.is_upload:
            file = self._spooled()
            file.seek(0)
            content = Upload(file, self._received_bytes, self._header_value("Content-Type") or "")
        else:
            content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        return Arrival(
            self.method.decode("latin-1"),
            self.uri.decode("utf-8", "replace"),
            self._path,
            self._query,
            content,
            self._header_values(b"Authorization"),
            self._header_value,
            self.client_ip,
            self._listening.by_owner,
        )

    def _log_fault(self, fault: Exception) -> None:
        log.error(
            "request failed",
            method=self.method.decode("latin-1"),
            endpoint=self.endpoint_path,
            exc_info=fault,
        )

    def _header_values(self, name: bytes) -> list[str]:
        values = self.requestHeaders.getRawHeaders(name)
        return [] if values is None else _decoded(values)

    def _header_value(self, name: str) -> str | None:
        values = self.requestHeaders.getRawHeaders(name.encode())
        return None if values is None else values[0].decode("utf-8", "replace")


def _decoded(values: Sequence[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _ignore(data: bytes) -> None:
    """What arrives is not wanted any more."""


def _with_tail(rendered: Rendered, date: bytes, *, persistent: bool, with_body: bool) -> bytes:
    """A whole response, or all of it but the file that follows."""
    parts = [rendered.head, date]
    if rendered.has_body:
        parts.append(b"Content-Length: %d\r\n" % rendered.size_bytes)
    parts.append(b"\r\n" if persistent else b"Connection: close\r\n\r\n")
    if with_body and isinstance(rendered.body, bytes):
        parts.append(rendered.body)
    return b"".join(parts)
