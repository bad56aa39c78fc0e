"""HTTPS servers on the loopback interface that answer as a test wants, well or badly, and a client on a reactor.

The servers are plain sockets in threads: what they send need not be HTTP. Their TLS is Python's own, linked to the
system's OpenSSL, so it is also the classical peer of tests about key exchange.
"""

import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Thread
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor

from homeserver.core.identifiers import ServerName
from homeserver.outbound.address_guard import Address, AddressGuard
from homeserver.outbound.connecting import Connecting
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.exchange import Ask
from homeserver.outbound.https import SERVERS_WITH_IDLE_CONNECTIONS, Https
from homeserver.outbound.names import Service
from homeserver.outbound.tls import TlsClients
from homeserver.runtime.clock import ReactorClock
from homeserver.runtime.tls_groups import TlsGroups
from tests.tls import Certificate, CertificateAuthority

T = TypeVar("T")
PATIENCE_S: Final = 60.0


def json_answer(body: bytes, status: int = 200, *headers: str) -> bytes:
    """An answer as a good server sends it."""
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Received:
    """A request that came in."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int  # which one it came over, by order of coming about


class Conversation:
    """A server's end of one connection."""

    def __init__(self, tls: ssl.SSLSocket, number: int) -> None:
        self.tls = tls
        self.number = number
        self._buffer = b""

    def receive(self) -> Received | None:
        """The next request; None when there is none any more."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._read():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._read():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Received(line, headers, body, self.number)

    def send(self, data: bytes) -> None:
        """Send, and mind nothing."""
        self.tls.sendall(data)

    def send_for_ever(self, data: bytes) -> None:
        """Send until the other side hangs up: ends with an OSError. Nothing, sent for ever, is silence."""
        lot = data * (1 + 4096 // max(len(data), 1))
        while data:
            self.tls.sendall(lot)
        self.wait_for_end()

    def hang_up(self) -> None:
        """End the connection in good order."""
        self.tls.unwrap().close()

    def wait_for_end(self) -> None:
        """Return when the other side has hung up."""
        while self._read():
            pass

    def _read(self) -> bool:
        data = self.tls.recv(65_536)
        self._buffer += data
        return data != b""


Behaviour = Callable[[Conversation, Received], None]


class HttpsServer:
    """One server; `behave` is called for each request, in the thread of its connection."""

    def __init__(self, certificate: Certificate, behave: Behaviour, *, address: str = "127.0.0.1") -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.certificate, certificate.private_key)
        self.context.sni_callback = self._note_sni
        self._behave = behave
        self._listening = socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self._threads: list[Thread] = []
        self._sockets: list[socket.socket] = []
        self.port: int = self._listening.getsockname()[1]
        self.received: list[Received] = []
        self.names: list[str | None] = []  # the SNI of each connection
        self.ended = 0  # connections whose other side hung up
        self._start(self._accept)

    def close(self) -> None:
        """Stop, and end all connections."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in self._sockets:
            _shut(each)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            self._sockets.append(plain)
            self._start(self._serve, plain, len(self._sockets) - 1)

    def _serve(self, plain: socket.socket, number: int) -> None:
        try:
            with self.context.wrap_socket(plain, server_side=True) as tls:
                self._sockets[number] = tls
                conversation = Conversation(tls, number)
                while (received := conversation.receive()) is not None:
                    self.received.append(received)
                    self._behave(conversation, received)
        except (OSError, ValueError):  # the other side, or the test, has hung up
            pass
        self.ended += 1

    def _note_sni(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)


def _shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def answering(*answers: bytes) -> Behaviour:
    """Gives these answers, one after another, the last of them again and again."""
    left = list(answers)

    def behave(conversation: Conversation, _: Received) -> None:
        conversation.send(left.pop(0) if len(left) > 1 else left[0])

    return behave


@dataclass
class FakeNames:
    """A domain name system that the test fills. Look-ups are noted; a name that is not there does not exist."""

    hosts: dict[str, list[str]] = field(default_factory=dict)
    records: dict[str, list[Service]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def addresses(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        if host not in self.hosts:
            raise Unreachable(f"no address is known of {host}")
        return [ip_address(address) for address in self.hosts[host]]

    async def services(self, name: str) -> Sequence[Service]:
        self.asked.append(name)
        if name in self.broken:
            raise Unreachable("nobody knows")
        return self.records.get(name, [])


class Outside:
    """The outside world of a test: a reactor that turns when the test waits, names, an authority, servers."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self.authority = authority
        self.reactor: Any = EPollReactor()  # type: ignore[no-untyped-call]
        self.reactor.startRunning(installSignalHandlers=False)
        self.clock = ReactorClock(self.reactor)
        self.names = FakeNames()
        self.groups = TlsGroups()
        self.servers: list[HttpsServer] = []
        self._clients: list[Https] = []
        self.https = self.client()

    def client(
        self,
        *,
        allows_private: bool = True,
        verifies: bool = True,
        servers_kept: int = SERVERS_WITH_IDLE_CONNECTIONS,
        has_ca_file: bool = True,
    ) -> Https:
        """A client that trusts the authority, if it has its file."""
        ca_file = self.authority.file if has_ca_file else None
        tls = TlsClients(self.groups, verifies=verifies, ca_file=ca_file)
        guard = AddressGuard(allows_private=allows_private)
        connecting = Connecting(self.reactor, self.clock, self.names, guard, tls)
        made = Https(self.reactor, connecting, "Columba/test", servers_kept=servers_kept)
        self._clients.append(made)
        return made

    def serve(self, behave: Behaviour, *names: str, address: str = "127.0.0.1") -> HttpsServer:
        """A server with a certificate for `names`, or for example.org."""
        server = HttpsServer(self.authority.issue(*(names or ("example.org",))), behave, address=address)
        self.servers.append(server)
        return server

    def wait(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """What `work` comes to; the reactor turns for so long."""
        results: list[T] = []
        failures: list[Any] = []
        Deferred.fromCoroutine(work).addCallbacks(results.append, failures.append)
        self.turn_until(lambda: bool(results or failures))
        if failures:
            failures[0].raiseException()
        return results[0]

    def turn_until(self, is_done: Callable[[], bool]) -> None:
        """Let the reactor turn until the test has what it waits for."""
        until_s = self.clock.seconds() + PATIENCE_S
        while not is_done():
            assert self.clock.seconds() < until_s, "what the test waits for does not come"
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.01)

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            self.wait(client.close())
        for server in self.servers:
            server.close()
        self.reactor.removeAll()
        self.reactor.disconnectAll()


def ask_for(
    uri: str = "/_matrix/federation/v1/version",
    *,
    method: str = "GET",
    body: bytes | None = None,
    destination: str = "example.org",
    most_bytes: int = 1 << 20,
) -> Ask:
    """A request."""
    return Ask(ServerName(destination), method, uri, {"Accept": "application/json"}, body, most_bytes)
