"""Requests over real TLS connections, and answers of every kind."""

from typing import Any

from homeserver.outbound.exchange import Answer
from homeserver.outbound.routes import Route
from tests.outbound.https_servers import (
    HttpsServer,
    Outside,
    answering,
    ask_for,
    json_answer,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def route_to(server: HttpsServer, name: str = "example.org") -> Route:
    return Route(f"{name}:{server.port}", name, (("127.0.0.1", server.port),))


def send(outside: Outside, server: HttpsServer, **asked: Any) -> Answer:
    return outside.wait(outside.https.send(route_to(server), ask_for(**asked)))


def test_a_request_arrives_as_it_was_asked(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"{}", 200, "X-Other: a", "X-Other: b")))
    uri = "/_matrix/federation/v1/send/%21%2F%C3%A4;x?a=%20&b=c%2Fd"

    answer = send(outside, server, uri=uri, method="PUT", body=b'{"pdus":[]}')

    assert answer == Answer(200, {"content-type": "application/json", "x-other": "a, b"}, b"{}")
    [received] = server.received
    assert received.line == f"PUT {uri} HTTP/1.1"
    assert received.body == b'{"pdus":[]}'
    assert received.headers["host"] == f"example.org:{server.port}"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["user-agent"] == "Columba/test"
