"""Requests over real TLS connections, and answers of every kind."""

import gzip
from threading import Condition
from typing import Any

import pytest

from homeserver.outbound.connecting import MOST_HEAD_BYTES
from homeserver.outbound.errors import RemoteNonsense, Unreachable
from homeserver.outbound.exchange import Answer, within
from homeserver.outbound.routes import Route
from tests.outbound.https_servers import (
    PATIENCE_S,
    Behaviour,
    Conversation,
    HttpsServer,
    Outside,
    Received,
    answering,
    ask_for,
    json_answer,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def route_to(server: HttpsServer, name: str = "example.org") -> Route:
    return Route(f"{name}:{server.port}", name, (("127.0.0.1", server.port),))


def send(outside: Outside, server: HttpsServer, **asked: Any) -> Answer:
    return outside.wait(outside.https.send(route_to(server), ask_for(**asked)))


def flooding(beginning: bytes, again: bytes) -> Behaviour:
    """Begins an answer, and never ends it."""

    def behave(conversation: Conversation, _: Received) -> None:
        conversation.send(beginning)
        conversation.send_for_ever(again)

    return behave


def hanging_up(after: bytes) -> Behaviour:
    """Sends something, and ends the connection."""

    def behave(conversation: Conversation, _: Received) -> None:
        conversation.send(after)
        conversation.hang_up()

    return behave


def silent(conversation: Conversation, _: Received) -> None:
    """Never answers."""
    conversation.wait_for_end()


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


@pytest.mark.parametrize("uri", ["/x?", "/x#y", "/x y", "/ä", "x", "/x\r\nX-Other: y"])
def test_what_would_be_sent_otherwise_than_it_was_signed_is_not_sent(outside: Outside, uri: str) -> None:
    server = outside.serve(answering(json_answer(b"{}")))

    with pytest.raises(RemoteNonsense):
        send(outside, server, uri=uri)

    assert server.received == []


@pytest.mark.parametrize("status", [200, 301, 404, 500])
def test_whatever_the_status_an_answer_is_an_answer(outside: Outside, status: int) -> None:
    server = outside.serve(answering(json_answer(b'{"a":1}', status, "Location: https://elsewhere.example/")))

    answer = send(outside, server)

    assert (answer.status, answer.body, len(server.received)) == (status, b'{"a":1}', 1)


def test_the_next_request_takes_the_connection_of_the_one_before(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"{}")))

    for _ in range(3):
        send(outside, server, method="PUT", body=b"{}")

    assert [received.connection for received in server.received] == [0, 0, 0]


def test_a_connection_is_not_shared_by_servers_of_different_names(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"{}")), "example.org", "example.com")

    for name in ("example.org", "example.com", "example.org"):
        outside.wait(outside.https.send(route_to(server, name), ask_for(destination=name)))

    assert [received.connection for received in server.received] == [0, 1, 0]


def test_a_kept_connection_that_has_ended_is_replaced(outside: Outside) -> None:
    first = [True]

    def behave(conversation: Conversation, _: Received) -> None:
        if first.pop() if first else False:
            conversation.send(json_answer(b"{}"))
            conversation.receive()  # the next request, which it takes and does not answer
        else:
            conversation.send(json_answer(b'{"new":true}'))
            return
        conversation.hang_up()

    server = outside.serve(behave)
    send(outside, server, method="PUT", body=b"{}")

    answer = send(outside, server, method="PUT", body=b"{}")

    assert answer.body == b'{"new":true}'


def test_a_server_that_always_hangs_up_is_asked_twice_and_no_more(outside: Outside) -> None:
    server = outside.serve(hanging_up(b""))

    with pytest.raises(Unreachable):
        send(outside, server, method="PUT", body=b"{}")

    assert len(server.received) == 2


def test_connections_are_kept_for_the_servers_that_were_asked_last(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"{}")))
    https, route = outside.client(servers_kept=2), route_to(server)

    for name in ("a", "b", "a", "c"):
        outside.wait(https.send(route, ask_for(destination=name)))
    outside.turn_until(lambda: server.ended == 1)

    for name in ("a", "c", "b"):
        outside.wait(https.send(route, ask_for(destination=name)))
    assert [received.connection for received in server.received] == [0, 1, 0, 2, 0, 2, 3]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Content-Length: 2\r\n\r\n{}", id="a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n", id="chunks"),
        pytest.param(b"\r\n{}", id="the end of the connection"),
        pytest.param(b"Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", id="no compression"),
    ],
)
def test_a_body_may_end_in_several_ways(outside: Outside, body: bytes) -> None:
    server = outside.serve(hanging_up(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + body))

    assert send(outside, server).body == b"{}"


def test_a_body_is_handed_on_while_it_arrives(outside: Outside) -> None:
    def behave(conversation: Conversation, _: Received) -> None:
        conversation.send(CHUNKED + b"1\r\na\r\n")
        seen.wait_until(b"a")
        conversation.send(b"1\r\nb\r\n0\r\n\r\n")

    seen = Seen()
    server = outside.serve(behave)

    answer = outside.wait(outside.https.send(route_to(server), ask_for(), seen.take))

    assert (answer.body, seen.taken) == (b"", b"ab")


def test_of_an_error_the_body_is_not_handed_on(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b'{"errcode":"M_FORBIDDEN"}', 403)))
    seen = Seen()

    answer = outside.wait(outside.https.send(route_to(server), ask_for(), seen.take))

    assert (answer.body, seen.taken) == (b'{"errcode":"M_FORBIDDEN"}', b"")


def test_who_takes_a_body_may_refuse_the_rest(outside: Outside) -> None:
    def refuse(_: bytes) -> None:
        raise RemoteNonsense("enough")

    server = outside.serve(flooding(CHUNKED, b"1\r\na\r\n"))

    with pytest.raises(RemoteNonsense, match="enough"):
        outside.wait(outside.https.send(route_to(server), ask_for(), refuse))

    outside.turn_until(lambda: server.ended == 1)


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(answering(json_answer(b"x" * 1001)), id="a length that is too large"),
        pytest.param(flooding(CHUNKED, b"1\r\na\r\n"), id="chunks without end"),
        pytest.param(flooding(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 100), id="no length and no end"),
        pytest.param(flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", b""), id="a huge length"),
    ],
)
def test_a_body_beyond_the_limit_is_refused_and_the_connection_ended(outside: Outside, behave: Behaviour) -> None:
    server = outside.serve(behave)

    with pytest.raises(RemoteNonsense, match="more than 1000 bytes"):
        send(outside, server, most_bytes=1000)

    outside.turn_until(lambda: server.ended == 1)


def test_a_body_of_just_the_limit_is_taken(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"x" * 1000)))

    assert len(send(outside, server, most_bytes=1000).body) == 1000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x" * 1000])
def test_a_compressed_body_is_refused(outside: Outside, encoding: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    server = outside.serve(answering(json_answer(bomb, 200, f"Content-Encoding: {encoding}")))

    with pytest.raises(RemoteNonsense, match="compressed"):
        send(outside, server)


@pytest.mark.parametrize(
    ("beginning", "again"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 100, id="one header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: b\r\n", b" b" * 100 + b"\r\n", id="one header on many lines"),
        pytest.param(b"", b"HTTP/1.1 103 Early\r\n\r\n", id="provisional answers"),
        pytest.param(b"HTTP/1.1 103 Early\r\n\r\n", b"X-A: b\r\n", id="headers after a provisional answer"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(b"", b"\n", id="bare newlines"),
        pytest.param(b"", b"a", id="a status line"),
        pytest.param(CHUNKED, b"0" * 100, id="the length of a chunk"),
        pytest.param(CHUNKED + b"0\r\n", b"X-A: b\r\n", id="trailers"),
    ],
)
def test_a_head_without_end_is_not_read_for_ever(outside: Outside, beginning: bytes, again: bytes) -> None:
    server = outside.serve(flooding(beginning, again))

    with pytest.raises((RemoteNonsense, Unreachable)):
        send(outside, server)

    outside.turn_until(lambda: server.ended >= 1)


def test_a_large_head_within_the_limit_is_read(outside: Outside) -> None:
    headers = [f"X-{number}: {'a' * 1000}" for number in range(MOST_HEAD_BYTES // 1100)]
    server = outside.serve(answering(json_answer(b"{}", 200, *headers)))

    assert len(send(outside, server).headers) == len(headers) + 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/one 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 10_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
def test_what_is_not_a_whole_answer_is_none(outside: Outside, answer: bytes) -> None:
    server = outside.serve(hanging_up(answer))

    with pytest.raises((RemoteNonsense, Unreachable)):
        send(outside, server)


@pytest.mark.parametrize("behave", [silent, flooding(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1", b"")])
def test_a_request_that_is_given_up_ends_its_connection(outside: Outside, behave: Behaviour) -> None:
    server = outside.serve(behave)
    work = outside.https.send(route_to(server), ask_for())

    with pytest.raises(Unreachable, match="within"):
        outside.wait(within(outside.clock, 0.2, work, "example.org"))

    outside.turn_until(lambda: server.ended == 1)


def test_of_each_server_the_group_of_the_last_key_exchange_is_known(outside: Outside) -> None:
    server = outside.serve(answering(json_answer(b"{}")))

    send(outside, server)

    assert outside.https.group_of(ask_for().destination) == "x25519"  # the system's OpenSSL knows no better
    assert outside.https.group_of(ask_for(destination="example.com").destination) is None


class Seen:
    """What has been taken of a body; another thread may wait for it."""

    def __init__(self) -> None:
        self.taken = b""
        self._changed = Condition()

    def take(self, piece: bytes) -> None:
        with self._changed:
            self.taken += piece
            self._changed.notify_all()

    def wait_until(self, taken: bytes) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.taken == taken, PATIENCE_S)
