"""Commands as an operator types them, and servers for them to speak with."""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, UnixStreamServer
from threading import Thread
from typing import Any

import click
from twisted.internet.epollreactor import EPollReactor

from homeserver.cli.admin_client import AdminDoor, LocalDoor
from tests.conformance.administration import document, is_administration
from tests.tls import Certificate


def typed(*arguments: str, folder: Path, path: str = "/usr/bin:/bin") -> "subprocess.CompletedProcess[str]":
    """Run `homeserver …` in `folder` by a new interpreter, as operators do; `path` is where it finds other programs.

    The `homeserver` of tests/server.py costs much less.
    """
    return subprocess.run(
        [sys.executable, "-m", "homeserver", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": path},
        check=False,
    )


def typed_at(door: AdminDoor, topic: click.Command, *words: str) -> None:
    """Type the words after `homeserver admin TOPIC`, where the server is behind `door`."""
    judged = Offline(JudgedDoor(door)) if isinstance(door, LocalDoor) else JudgedDoor(door)
    topic.main(words, standalone_mode=False, obj=lambda config, url: nullcontext(judged))


@dataclass(frozen=True)
class JudgedDoor:
    """A door at which all is held against the document: what commands ask, and what they are answered.

    A test says of an answer what matters to it: a part of what the document has.
    """

    door: AdminDoor

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Ask, and judge the request and the answer. Any: JSON."""
        if is_administration(path):  # some tests type what is no command of ours
            wrong = list(document().complaints_about_request(method, path, json.loads(json.dumps(body))))
            assert not wrong, (method, path, body, wrong)
        status, said = self.door.call(method, path, body)
        answer = json.loads(json.dumps(said))
        complaints = list(document(lets_lack=True).complaints(method, path, status, answer))
        assert not complaints, (method, path, complaints, answer)
        return status, answer


class Offline(LocalDoor):
    """A door to the files of a server that does not run; the answers are those of another door."""

    def __init__(self, door: AdminDoor) -> None:
        self._door = door

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:  # Any: JSON
        return self._door.call(method, path, body)


class AdminServer:
    """A server's API of administrators: keeps what it was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []  # Any: JSON
        self.authorizations: list[str | None] = []
        self.status = 200
        self.answer: Any = {}  # Any: JSON
        self.headers: dict[str, str] = {}

    @contextmanager
    def listening(self, socket: Path) -> Iterator[None]:
        """Stand behind a data folder's socket."""

        class Server(UnixStreamServer):
            def get_request(self) -> Any:  # Any: as the standard library says
                connection, _ = super().get_request()
                return connection, ("local", 0)

        with Server(str(socket), self._door()) as server, _served(server):
            yield

    @contextmanager
    def listening_at_port(self, certificate: Certificate | None = None) -> Iterator[int]:
        """Stand behind a port of the loopback interface, which is given."""
        with ThreadingHTTPServer(("127.0.0.1", 0), self._door()) as server:
            if certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate.certificate, certificate.private_key)
                # The handshake is made where the request is read, in a thread of its own.
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            with _served(server):
                yield server.server_port

    def _door(self) -> type[BaseHTTPRequestHandler]:
        admin_server = self

        class Door(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                admin_server.requests.append((self.command, self.path, body))
                admin_server.authorizations.append(self.headers.get("Authorization"))
                given = admin_server.answer
                answer = given if isinstance(given, bytes) else json.dumps(given).encode()
                self.send_response(admin_server.status)
                self.send_header("Content-Length", str(len(answer)))
                for name, value in admin_server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the standard library's names

            def handle(self) -> None:
                with suppress(ssl.SSLError, ConnectionError):  # whoever does not trust the certificate hangs up
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
                """Say nothing."""

        return Door


@contextmanager
def _served(server: BaseServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


class FakeHomeserver:
    """An assembled server that answers administrators and does nothing else."""

    def __init__(self) -> None:
        self.life: list[str] = []
        self.addresses: list[str] = []

    async def start(self) -> None:
        self.life.append("start")

    async def start_offline(self) -> None:
        self.life.append("start offline")

    async def stop(self) -> None:
        self.life.append("stop")

    async def administer(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, object]:
        self.life.append(f"{method} {path}")
        return 200, {"body": dict(body)}


def new_reactor() -> Any:  # Any: Twisted's reactors have no types
    """A reactor of its own, which is not the installed one and may run in a thread."""
    return EPollReactor()  # type: ignore[no-untyped-call]
