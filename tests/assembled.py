"""The whole server as assembly/ builds it, in the process of the test: no sockets, no time that passes.

Its database has its real threads. The server as a process of its own is in server.py.
"""
# Twisted leaves most of its protocols and transports untyped.
# mypy: disallow-untyped-calls=False

import gc
import http.client
import io
import itertools
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel

from homeserver.assembly.server import Columba, build
from homeserver.cli.setup import make_signing_key
from homeserver.runtime.randomness import SystemRandomness
from homeserver.settings.sections import Listener, Passwords, RateLimits, Registration, Settings
from tests.api.client import path_of
from tests.fakes.reactor import StillReactor

T = TypeVar("T")
METRIC = 'columba_database_transactions_total{kind="%s"} '


@dataclass(frozen=True, slots=True)
class Spent:
    """What requests cost: transactions of the database, and everything that came back from a thread."""

    writes: int = 0
    reads: int = 0
    crossings: int = 0

    def __sub__(self, earlier: "Spent") -> "Spent":
        return Spent(self.writes - earlier.writes, self.reads - earlier.reads, self.crossings - earlier.crossings)


@dataclass
class Asked:
    """A request that was sent. Any: JSON, here and below."""

    transport: StringTransport

    @property
    def is_answered(self) -> bool:
        """Whether the whole answer is there."""
        head, separator, body = self.transport.value().partition(b"\r\n\r\n")
        if not separator:
            return False
        headers = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
        return len(body) >= int(headers["Content-Length"])

    @property
    def answer(self) -> Any:
        """The JSON of the answer, which must be there and 200."""
        assert self.is_answered
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        assert head.split(b" ")[1] == b"200", body
        return json.loads(body) if b"application/json" in head else body.decode()


@dataclass
class AssembledServer:
    """A server that runs for as long as a test wants."""

    columba: Columba
    reactor: StillReactor
    channels: list[HTTPChannel] = field(default_factory=list)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine comes to."""
        results: list[T] = []
        deferred = Deferred.fromCoroutine(work)
        deferred.addCallback(results.append)
        failures: list[Any] = []
        deferred.addErrback(failures.append)
        self.reactor.turn_until(lambda: bool(results or failures))
        if failures:
            failures[0].raiseException()
        return results[0]

    def ask(
        self,
        token: str | None,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> Asked:
        """Send a request on a connection of its own, and wait for nothing."""
        transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8008), peerAddress=IPv4Address("TCP", "127.0.0.1", 50_000)
        )
        channel = self.reactor.factories[0].buildProtocol(transport.getPeer())
        assert isinstance(channel, HTTPChannel)
        channel.makeConnection(transport)
        self.channels.append(channel)
        content = b"" if body is None else json.dumps(body).encode()
        whole = path_of(*path) + (f"?{urlencode(query)}" if query else "")
        lines = [f"{method} {whole} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + content)
        return Asked(transport)

    def call(self, token: str | None, method: str, *path: str, **options: Any) -> Any:
        """Send a request, and return what is answered."""
        asked = self.ask(token, method, *path, **options)
        self.reactor.turn_until(lambda: asked.is_answered)
        return asked.answer

    def register(self, name: str) -> str:
        """The access token of a new user."""
        body = {"username": name, "password": "wonderland", "auth": {"type": "m.login.dummy"}}
        token: str = self.call(None, "POST", "register", body=body)["access_token"]
        self.call(token, "GET", "account", "whoami")
        return token

    @property
    def spent(self) -> Spent:
        """What was spent since the start."""
        metrics: str = self.call(None, "GET", "/_columba/metrics")
        counts = {
            kind: int(float(line.removeprefix(METRIC % kind)))
            for line, kind in itertools.product(metrics.splitlines(), ("write", "read"))
            if line.startswith(METRIC % kind)
        }
        return Spent(counts["write"], counts["read"], self.reactor.crossings)

    def close(self) -> None:
        """Stop the server."""
        self.wait(self.columba.stop())
        self.reactor.close()
        gc.unfreeze()


def assembled(folder: Path, database: str) -> AssembledServer:
    """A server that was started, with its data in `folder`."""
    settings = Settings(
        server_name="example.org",
        listeners=(Listener(port=8008, serve=("client", "metrics")),),
        data_dir=folder,
        database=database,
        passwords=Passwords(1, 8),
        registration=Registration(enabled=True, require_token=False),
        rate_limits=RateLimits(enabled=False),
    )
    make_signing_key(settings, SystemRandomness())
    reactor = StillReactor()
    server = AssembledServer(build(settings, reactor), reactor)
    server.wait(server.columba.start())
    return server
