"""Posting JSON to a service of the operator's, over real connections."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from homeserver.outbound.callbacks import MOST_BYTES, Callbacks
from homeserver.outbound.errors import RemoteError, RemoteNonsense, Unreachable
from tests.outbound.https_servers import Outside

# Any: JSON.

OVER = Event()


class Handler(BaseHTTPRequestHandler):
    """Answers by the last part of the path."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["Authorization"], body))
        status, content = 200, b'{"yes": true}'
        match self.path.rpartition("/")[2]:
            case "refuse":
                status, content = 403, b'{"errcode": "M_FORBIDDEN"}'
            case "nonsense":
                content = b"<html>"
            case "flood":
                content = b'"' + b"x" * MOST_BYTES + b'"'
            case "elsewhere":
                self.send_response(307)
                self.send_header("Location", "/api/yes")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")
                return
            case "hang":
                OVER.wait()
                return
            case "hang-up":
                self.close_connection = True
                return
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """A service on this machine."""
    OVER.clear()
    handler = type("Noting", (Handler,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    OVER.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def callbacks(outside: Outside, service: ThreadingHTTPServer) -> Iterator[Callable[[float], Callbacks]]:
    """Makes what asks the service, with a token, for so many seconds."""
    made: list[Callbacks] = []

    def make(timeout_s: float = 30.0) -> Callbacks:
        url = f"http://127.0.0.1:{service.server_port}/api"
        made.append(Callbacks(outside.reactor, outside.clock, url, "secret", "Columba/test", timeout_s))
        return made[-1]

    yield make
    for each in made:
        outside.wait(each.close())


def test_json_is_posted_with_the_token_and_the_answer_is_json_whatever_its_status(
    outside: Outside, service: ThreadingHTTPServer, callbacks: Callable[..., Callbacks]
) -> None:
    made = callbacks()

    answers = [outside.wait(made.post(name, {"about": name})) for name in ("yes", "refuse", "elsewhere", "yes")]

    assert answers == [(200, {"yes": True}), (403, {"errcode": "M_FORBIDDEN"}), (307, {}), (200, {"yes": True})]
    asked = service.RequestHandlerClass.asked  # type: ignore[attr-defined]  # of Handler
    names = ["yes", "refuse", "elsewhere", "yes"]
    assert asked == [(f"/api/{name}", "Bearer secret", {"about": name}) for name in names]


def test_numbers_of_old_rooms_are_sent_as_they_are(
    outside: Outside, service: ThreadingHTTPServer, callbacks: Callable[..., Callbacks]
) -> None:
    outside.wait(callbacks().post("yes", {"large": 10**30, "half": 0.5}))

    ((_, _, body),) = service.RequestHandlerClass.asked  # type: ignore[attr-defined]  # of Handler
    assert body == {"large": 10**30, "half": 0.5}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nonsense", RemoteNonsense), ("flood", RemoteNonsense), ("hang-up", Unreachable), ("hang", Unreachable)],
)
def test_what_is_no_answer_is_none(
    outside: Outside, callbacks: Callable[..., Callbacks], name: str, kind: type[RemoteError]
) -> None:
    made = callbacks(0.5 if name == "hang" else 30.0)

    with pytest.raises(kind):
        outside.wait(made.post(name, {}))

    assert outside.wait(made.post("yes", {})) == (200, {"yes": True})


def test_where_nobody_listens_nobody_answers(outside: Outside, service: ThreadingHTTPServer) -> None:
    port = service.server_port
    for url in (f"http://127.0.0.2:{port}", f"http://nowhere.invalid:{port}", f"https://127.0.0.1:{port}"):
        made = Callbacks(outside.reactor, outside.clock, url, None, "Columba/test", 5.0)

        with pytest.raises(RemoteError):
            outside.wait(made.post("yes", {}))
