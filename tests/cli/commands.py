"""Commands as an operator types them, and servers for them to speak with."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread
from typing import Any

from twisted.internet.epollreactor import EPollReactor


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


class AdminServer:
    """What stands behind a data folder's socket: keeps what it was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []  # Any: JSON
        self.status = 200
        self.answer: Any = {}  # Any: JSON

    @contextmanager
    def listening(self, socket: Path) -> Iterator[None]:
        admin_server = self

        class Door(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                admin_server.requests.append((self.command, self.path, body))
                answer = json.dumps(admin_server.answer).encode()
                self.send_response(admin_server.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = answer  # noqa: N815 - the standard library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
                """Say nothing."""

        class Server(UnixStreamServer):
            def get_request(self) -> Any:  # Any: as the standard library says
                connection, _ = super().get_request()
                return connection, ("local", 0)

        with Server(str(socket), Door) as server:
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
