"""Requests over a real connection: what arrives is answered, whatever it is."""
# mypy: disallow-untyped-calls=False
# (Twisted's transport for tests is untyped.)

import gzip
import io
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.rate_limits import RateLimit
from homeserver.http.authentication import Authentication
from homeserver.http.client_address import TrustedProxies
from homeserver.http.door import Door
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    ADMIN_SOCKET,
    FEDERATION,
    NONE,
    FileBody,
    JsonObject,
    NoBody,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    Surface,
    Upload,
    collect,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass, RateLimiting
from homeserver.http.resource import Listening, Site, Traffic
from homeserver.http.router import Router
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.metrics import Metrics
from homeserver.services.errors import Forbidden, UserInteractionRequired
from tests.fakes.acts import NotedActs
from tests.http.conftest import Peers, Serve, Served, Tokens, in_reactor, read_response, the_reactor

AS_ALICE = {"Authorization": "Bearer secret"}
SEND = "/_matrix/client/v3/rooms/!r:example.org/send/m.room.message/t1"


class Stamp(msgspec.Struct, frozen=True):
    ts: int | None = None


@dataclass(frozen=True)
class Rooms:
    """Endpoints of each kind."""

    waiting: list[Deferred[None]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEND,
        spec="",
        query=Stamp,
        body=JsonObject,
    )
    async def send(self, request: Request[Stamp, JsonObject]) -> Reply:
        return Reply(
            {
                "room": request.room_id,
                "type": request.path["eventType"],
                "txn": request.path["txnId"],
                "ts": request.query.ts,
                "body": request.body,
                "by": request.requester.user_id,
            }
        )

    @endpoint(
        "PUT",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        auth=NONE,
        limit=RateClass.FREE,
        spec="",
    )
    async def state(self, request: PlainRequest) -> Reply:
        return Reply({"type": request.path["eventType"], "key": request.path["stateKey"]})

    @endpoint("GET", "/_matrix/client/v3/large", auth=NONE, limit=RateClass.FREE, spec="")
    async def large(self, _: PlainRequest) -> Reply:
        return Reply({"text": "columba " * 100_000})

    @endpoint("GET", "/_matrix/client/v3/ip", auth=NONE, limit=RateClass.LOGIN, spec="")
    async def ip(self, request: PlainRequest) -> Reply:
        return Reply({"ip": request.client_ip, "agent": request.user_agent})

    @endpoint("GET", "/_matrix/client/v3/fault", auth=NONE, limit=RateClass.FREE, spec="")
    async def fault(self, _: PlainRequest) -> Reply:
        raise ZeroDivisionError("secret detail")

    @endpoint("GET", "/_matrix/client/v3/unprintable", auth=NONE, limit=RateClass.FREE, spec="")
    async def unprintable(self, _: PlainRequest) -> Reply:
        return Reply({"socket": object()})

    @endpoint("POST", "/_matrix/client/v3/stages", auth=NONE, limit=RateClass.FREE, spec="")
    async def stages(self, _: PlainRequest) -> Reply:
        raise UserInteractionRequired("s1", [["m.login.password"]], {}, (), Forbidden("Wrong password"))

    @endpoint("GET", "/_matrix/client/v3/wait", auth=NONE, limit=RateClass.FREE, spec="", waits=True)
    async def wait(self, _: PlainRequest) -> Reply:
        return await self._wait_to_be_woken()

    @endpoint("GET", "/_matrix/client/v3/work", auth=NONE, limit=RateClass.FREE, spec="")
    async def work(self, _: PlainRequest) -> Reply:
        return await self._wait_to_be_woken()

    async def _wait_to_be_woken(self) -> Reply:
        woken: Deferred[None] = Deferred()
        self.waiting.append(woken)
        try:
            await woken
        except CancelledError:
            self.cancelled.append("wait")
            raise
        return Reply({"woken": True})

    @endpoint(
        "POST",
        "/_matrix/media/v3/upload",
        auth=ACCESS_TOKEN,
        limit=RateClass.FREE,
        spec="",
        body=Upload,
        max_body_bytes=3_000_000,
    )
    async def upload(self, request: Request[NoQuery, Upload]) -> Reply:
        body = request.body
        return Reply({"size": body.size_bytes, "read": len(body.file.read()), "type": body.content_type})

    @endpoint("GET", "/_matrix/media/v3/download", auth=NONE, limit=RateClass.FREE, spec="")
    async def download(self, _: PlainRequest) -> Reply:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
        file.write(b"x" * 1_000_000)
        file.seek(0)
        return Reply(FileBody(file, 1_000_000), headers=(("content-type", "image/png"),))

    @endpoint("GET", "/_matrix/federation/v1/peer", auth=FEDERATION, limit=RateClass.FREE, spec="")
    async def peer(self, request: PlainRequest) -> Reply:
        return Reply({"peer": request.peer})

    @endpoint("POST", "/_columba/admin/stop", auth=ADMIN_SOCKET, limit=RateClass.FREE, spec="")
    async def stop(self, _: PlainRequest) -> Reply:
        return Reply({})


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def site(serve: Serve, rooms: Rooms) -> Served:
    return serve(rooms)


def errcode_of(raw: bytes) -> str:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    code: str = orjson.loads(body)["errcode"]
    return code


def test_a_request_is_decoded_authenticated_and_answered(site: Served) -> None:
    path = "/_matrix/client/v3/rooms/%21r%C3%B6%2F%3Aexample.org/send/m.room.message/a%2Fb?ts=5&unknown=1"

    answer = site.request("PUT", path, b'{"body": "\xc3\xb6"}', AS_ALICE)

    assert answer.status == 200
    assert answer.json == {
        "room": RoomID("!rö/:example.org"),
        "type": "m.room.message",
        "txn": "a/b",
        "ts": 5,
        "body": {"body": "ö"},
        "by": UserID("@alice:example.org"),
    }
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["server"] == "Columba"
    assert "date" in answer.headers


def test_the_old_version_of_a_path_answers_as_well(site: Served) -> None:
    assert site.request("PUT", SEND.replace("v3", "r0"), b"{}", AS_ALICE).status == 200


@pytest.mark.parametrize("path", ["state/m.room.name", "state/m.room.name/"])
def test_the_empty_state_key_may_be_left_out(site: Served, path: str) -> None:
    answer = site.request("PUT", f"/_matrix/client/v3/rooms/!r:example.org/{path}", b"{}")

    assert answer.json == {"type": "m.room.name", "key": ""}


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        (b"", 400, "M_NOT_JSON"),
        (b"{", 400, "M_NOT_JSON"),
        (b"\x00\xff\xfe", 400, "M_NOT_JSON"),
        (b'{"a": NaN}', 400, "M_NOT_JSON"),
        (b'{"a": "\xff"}', 400, "M_NOT_JSON"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "M_NOT_JSON"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, 400, "M_BAD_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b'"text"', 400, "M_BAD_JSON"),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', 413, "M_TOO_LARGE"),
    ],
)
def test_a_bad_body_is_refused(site: Served, body: bytes, status: int, errcode: str) -> None:
    answer = site.request("PUT", SEND, body, AS_ALICE)

    assert (answer.status, answer.json["errcode"]) == (status, errcode)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_of_duplicate_keys_the_last_counts(site: Served) -> None:
    assert site.request("PUT", SEND, b'{"a": 1, "a": 2}', AS_ALICE).json["body"] == {"a": 2}


@pytest.mark.parametrize(
    ("path", "status", "errcode"),
    [
        (SEND + "?ts=soon", 400, "M_INVALID_PARAM"),
        (SEND + "?ts=%zz", 400, "M_INVALID_PARAM"),
        (SEND.replace("t1", "%"), 400, "M_INVALID_PARAM"),
        (SEND.replace("t1", "%ff"), 400, "M_INVALID_PARAM"),
        (SEND.replace("t1", "%00"), 400, "M_INVALID_PARAM"),
        (SEND.replace("t1", "t" * 2000), 400, "M_INVALID_PARAM"),
        (SEND.replace("!r:", "r:"), 400, "M_INVALID_PARAM"),
        ("/_matrix/client/v3/nothing", 404, "M_UNRECOGNIZED"),
        ("/", 404, "M_UNRECOGNIZED"),
        ("/_matrix/client/v3/rooms", 404, "M_UNRECOGNIZED"),
        ("/_matrix/client/v3/rooms//send/m/t", 404, "M_UNRECOGNIZED"),
        ("/_matrix/client/v3/large", 405, "M_UNRECOGNIZED"),
    ],
)
def test_a_bad_path_or_query_is_refused(site: Served, path: str, status: int, errcode: str) -> None:
    answer = site.request("PUT", path, b"{}", AS_ALICE)

    assert (answer.status, answer.json["errcode"]) == (status, errcode)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_wrong_method_is_told_which_ones_are_right(site: Served) -> None:
    answer = site.request("BREW", SEND)

    assert answer.status == 405
    assert answer.headers["allow"] == "PUT"


@pytest.mark.parametrize("path", [SEND, "/_matrix/client/v3/nothing", "/%zz", "*"])
def test_options_needs_no_token_and_runs_nothing(site: Served, path: str) -> None:
    answer = site.request("OPTIONS", path)

    assert (answer.status, answer.body) == (204, b"")
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "content-length" not in answer.headers


def test_head_is_get_without_a_body(site: Served) -> None:
    connection = site.connect()

    connection.request("HEAD", "/_matrix/client/v3/ip")
    head = read_response(connection)
    connection.request("GET", "/_matrix/client/v3/ip")
    get = read_response(connection)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))


@pytest.mark.parametrize(
    ("headers", "query", "status", "errcode"),
    [
        ({}, "", 401, "M_MISSING_TOKEN"),
        ({"Authorization": "Basic secret"}, "", 401, "M_MISSING_TOKEN"),
        ({"Authorization": "Bearer "}, "", 401, "M_MISSING_TOKEN"),
        ({"Authorization": "Bearer wrong"}, "", 401, "M_UNKNOWN_TOKEN"),
        ({"Authorization": "Bearer slow"}, "", 401, "M_UNKNOWN_TOKEN"),
        ({}, "?access_token=wrong", 401, "M_UNKNOWN_TOKEN"),
        ({}, "?access_token=secret", 200, None),
        ({"Authorization": "bearer secret"}, "", 200, None),
    ],
)
def test_a_token_is_needed(site: Served, headers: dict[str, str], query: str, status: int, errcode: str | None) -> None:
    answer = site.request("PUT", SEND + query, b"{}", headers)

    assert (answer.status, answer.json.get("errcode")) == (status, errcode)


def test_another_server_is_known_by_its_signature(site: Served) -> None:
    signed = site.request("GET", "/_matrix/federation/v1/peer", None, {"Authorization": "X-Matrix other.example"})
    unsigned = site.request("GET", "/_matrix/federation/v1/peer", None, AS_ALICE)

    assert signed.json == {"peer": "other.example"}
    assert (unsigned.status, unsigned.json["errcode"]) == (401, "M_UNAUTHORIZED")


def test_the_owners_endpoints_answer_on_the_owners_socket_alone(serve: Serve, rooms: Rooms) -> None:
    assert serve(rooms).request("POST", "/_columba/admin/stop").status == 403
    assert serve(rooms, by_owner=True).request("POST", "/_columba/admin/stop").status == 200


def test_a_listener_serves_only_what_it_is_told_to(serve: Serve, rooms: Rooms) -> None:
    site = serve(rooms, served={Surface.FEDERATION})

    assert site.request("GET", "/_matrix/client/v3/ip").json["errcode"] == "M_UNRECOGNIZED"
    assert site.request("GET", "/_matrix/federation/v1/peer").status == 401


def test_who_asks_too_often_is_told_when_to_come_back(serve: Serve, rooms: Rooms) -> None:
    site = serve(rooms, limits={RateClass.LOGIN: RateLimit(per_second=0.001, burst=2)})

    answers = [site.request("GET", "/_matrix/client/v3/ip") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json["errcode"] == "M_LIMIT_EXCEEDED"
    assert answers[2].json["retry_after_ms"] > 900_000
    assert int(answers[2].headers["retry-after"]) > 900


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(serve: Serve, rooms: Rooms) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.1, 192.0.2.7", "User-Agent": "test"}

    believed = serve(rooms, proxies=TrustedProxies([ip_network("127.0.0.0/8")]))
    unbelieved = serve(rooms)

    assert believed.request("GET", "/_matrix/client/v3/ip", None, forwarded).json == {
        "ip": "192.0.2.7",
        "agent": "test",
    }
    assert unbelieved.request("GET", "/_matrix/client/v3/ip", None, forwarded).json["ip"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/_matrix/client/v3/fault", "/_matrix/client/v3/unprintable"])
def test_a_fault_of_the_server_says_nothing_about_itself(site: Served, path: str) -> None:
    answer = site.request("GET", path)

    assert answer.status == 500
    assert answer.json == {"errcode": "M_UNKNOWN", "error": "Internal server error"}


def test_stages_of_authentication_are_listed_with_what_went_wrong(site: Served) -> None:
    answer = site.request("POST", "/_matrix/client/v3/stages", b"{}")

    assert answer.status == 401
    assert answer.json == {
        "session": "s1",
        "flows": [{"stages": ["m.login.password"]}],
        "params": {},
        "completed": [],
        "errcode": "M_FORBIDDEN",
        "error": "Wrong password",
    }


def test_a_large_reply_is_compressed_for_whoever_can_read_it(site: Served) -> None:
    compressed = site.request("GET", "/_matrix/client/v3/large", None, {"Accept-Encoding": "br, gzip;q=0.5"})
    plain = site.request("GET", "/_matrix/client/v3/large", None, {"Accept-Encoding": "gzip;q=0, identity"})

    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(compressed.body) == plain.body


def test_a_small_reply_is_not_compressed(site: Served) -> None:
    answer = site.request("GET", "/_matrix/client/v3/ip", None, {"Accept-Encoding": "gzip"})

    assert "content-encoding" not in answer.headers


def test_a_file_is_sent_and_an_upload_received(site: Served) -> None:
    sent = site.request("POST", "/_matrix/media/v3/upload", b"y" * 2_000_000, {**AS_ALICE, "Content-Type": "image/png"})
    received = site.request("GET", "/_matrix/media/v3/download")
    head = site.request("HEAD", "/_matrix/media/v1/download")

    assert sent.json == {"size": 2_000_000, "read": 2_000_000, "type": "image/png"}
    assert (len(received.body), received.headers["content-type"]) == (1_000_000, "image/png")
    assert (len(head.body), head.headers["content-length"]) == (0, "1000000")


def test_an_upload_of_nobody_or_of_too_much_is_refused(site: Served) -> None:
    nobody = site.request("POST", "/_matrix/media/v3/upload", b"y" * 2_000_000)
    too_much = site.request("POST", "/_matrix/media/v3/upload", b"y" * 4_000_000, AS_ALICE)

    assert nobody.json["errcode"] == "M_MISSING_TOKEN"
    assert too_much.json["errcode"] == "M_TOO_LARGE"


def test_a_body_in_chunks_is_read_and_bounded(site: Served) -> None:
    small = site.connect()
    small.request("PUT", SEND, iter([b'{"a"', b": 1}"]), AS_ALICE, encode_chunked=True)
    large = site.connect()
    large.request("PUT", SEND, iter([b"x" * 65536] * 30), AS_ALICE, encode_chunked=True)

    assert read_response(small).json["body"] == {"a": 1}
    assert read_response(large).json["errcode"] == "M_TOO_LARGE"


def test_a_body_far_too_large_is_refused_before_it_has_come(site: Served) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" % SEND.encode())
        received = connection.recv(65536)

    assert received.startswith(b"HTTP/1.1 413 ")
    assert errcode_of(received) == "M_TOO_LARGE"


def test_a_body_is_short_where_no_token_is_needed(site: Served) -> None:
    answer = site.request("POST", "/_matrix/client/v3/stages", b" " * 70_000)

    assert (answer.status, answer.json["errcode"]) == (413, "M_TOO_LARGE")


def test_bodies_in_memory_are_bounded_together(site: Served) -> None:
    site.traffic.buffered_limit_bytes = 1000
    head = b"PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n" % SEND.encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(head + b"Content-Length: 802\r\n\r\n{" + b" " * 800)
        while site.in_reactor(lambda: site.traffic.buffered_bytes) < 801:
            pass

        second = site.request("PUT", SEND, b'{"a": "' + b"x" * 300 + b'"}', AS_ALICE)
        connection.sendall(b"}")
        first = connection.recv(65536)
    third = site.request("PUT", SEND, b'{"a": "' + b"x" * 300 + b'"}', AS_ALICE)

    assert second.status == 503
    assert first.startswith(b"HTTP/1.1 200 ")
    assert third.status == 200
    assert site.in_reactor(lambda: site.traffic.buffered_bytes) == 0


def test_the_body_of_whoever_leaves_before_its_end_is_forgotten(site: Served) -> None:
    head = b"PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n" % SEND.encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(head + b"Content-Length: 802\r\n\r\n{" + b" " * 800)
        while site.in_reactor(lambda: site.traffic.buffered_bytes) < 801:
            pass

    while site.in_reactor(lambda: site.traffic.channels):
        pass
    assert site.in_reactor(lambda: site.traffic.buffered_bytes) == 0


def test_the_body_of_somebody_without_a_token_is_not_kept(site: Served) -> None:
    site.traffic.buffered_limit_bytes = 0

    assert site.request("PUT", SEND, b'{"a": 1}').json["errcode"] == "M_MISSING_TOKEN"
    assert site.request("PUT", SEND, b'{"a": 1}', AS_ALICE).status == 503


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_not_unpacked(site: Served, coding: str) -> None:
    bomb = gzip.compress(b'{"a": "' + b"x" * 500_000 + b'"}')

    answer = site.request("PUT", SEND, bomb, {**AS_ALICE, "Content-Encoding": coding})

    assert (answer.status, answer.json["errcode"]) == (400, "M_NOT_JSON")


def test_who_expects_to_continue_hears_first_whether_it_is_worth_it(site: Served) -> None:
    request = b"PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nExpect: 100-continue\r\n" % SEND.encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(request + b"Content-Length: 2\r\n\r\n")
        first = connection.recv(65536)
        connection.sendall(b"{}")
        second = connection.recv(65536)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(request + b"Content-Length: 2000000\r\n\r\n")
        refused = connection.recv(65536)

    assert first.startswith(b"HTTP/1.1 100 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert refused.startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_answered_in_order(site: Served) -> None:
    requests = b"".join(
        b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\nUser-Agent: %d\r\n\r\n" % number for number in range(2000)
    )
    last = b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\nUser-Agent: last\r\nConnection: close\r\n\r\n"

    answers = site.raw(requests + last).split(b"HTTP/1.1 200 OK")[1:]

    agents = [orjson.loads(answer.partition(b"\r\n\r\n")[2])["agent"] for answer in answers]
    assert agents == [*map(str, range(2000)), "last"]


def test_pipelined_requests_wait_for_the_one_before(site: Served, rooms: Rooms) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(b"GET /_matrix/client/v3/wait HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.sendall(b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        wait_for(lambda: rooms.waiting)
        in_reactor(lambda: rooms.waiting[0].callback(None))
        received = b""
        while piece := connection.recv(65536):
            received += piece

    assert received.index(b"woken") < received.index(b"127.0.0.1")


def wait_for(condition: Callable[[], Any]) -> None:
    """Let the reactor turn until something is the case."""
    for _ in range(100_000):
        if in_reactor(condition):
            return
    raise AssertionError("It never came to be")


def test_a_client_that_leaves_cancels_its_long_poll(site: Served, rooms: Rooms) -> None:
    connection = site.connect()
    connection.request("GET", "/_matrix/client/v3/wait")
    wait_for(lambda: rooms.waiting)

    connection.close()

    wait_for(lambda: rooms.cancelled)
    wait_for(lambda: site.traffic.in_flight == 0)


def test_draining_answers_what_is_in_flight_and_closes_the_connections(site: Served, rooms: Rooms) -> None:
    idle, waiting = site.connect(), site.connect()
    idle.connect()
    waiting.request("GET", "/_matrix/client/v3/work")
    wait_for(lambda: rooms.waiting)

    drained = in_reactor(lambda: [Deferred.fromCoroutine(site.traffic.drain(60))])[0]
    assert not in_reactor(lambda: drained.called)
    in_reactor(lambda: rooms.waiting[0].callback(None))
    answer = read_response(waiting)

    assert answer.json == {"woken": True}
    assert answer.headers["connection"] == "close"
    wait_for(lambda: drained.called)
    wait_for(lambda: not site.traffic.channels)


def test_draining_gives_up_what_takes_too_long(site: Served, rooms: Rooms) -> None:
    waiting = site.connect()
    waiting.request("GET", "/_matrix/client/v3/work")
    wait_for(lambda: rooms.waiting)

    in_reactor(lambda: site.traffic.drain(0))

    assert rooms.cancelled == ["wait"]
    assert read_response(waiting).status == 503


def test_draining_ends_long_polls_at_once(site: Served, rooms: Rooms) -> None:
    waiting = site.connect()
    waiting.request("GET", "/_matrix/client/v3/wait")
    wait_for(lambda: rooms.waiting)

    in_reactor(lambda: site.traffic.drain(60))

    assert rooms.cancelled == ["wait"]
    assert read_response(waiting).status == 503


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 40_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_once_and_ends_the_connection(site: Served, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(sent)
        received = connection.recv(65536)

    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 4") == 1
    assert errcode_of(received) == "M_UNRECOGNIZED"


def test_http_1_0_and_absolute_paths_are_understood(site: Served) -> None:
    old = site.raw(b"GET /_matrix/client/v3/ip HTTP/1.0\r\n\r\n")
    absolute = site.raw(b"GET http://x/_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert old.startswith(b"HTTP/1.1 200 OK")
    assert absolute.startswith(b"HTTP/1.1 200 OK")


def test_a_unix_socket_is_served_as_well(site: Served, rooms: Rooms, tmp_path: Path) -> None:
    listening = Listening(Router(collect([rooms]), frozenset(Surface)), TrustedProxies(()), by_owner=True)
    path = tmp_path / "admin.sock"
    port = in_reactor(lambda: the_reactor.listenUNIX(str(path), Site(site.traffic, listening), mode=0o600))
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"POST /_columba/admin/stop HTTP/1.1\r\nHost: x\r\n\r\n")
            stopped = connection.recv(65536)
            connection.sendall(b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\n\r\n")
            asked = connection.recv(65536)
    finally:
        in_reactor(port.stopListening)

    assert stopped.startswith(b"HTTP/1.1 200 ")
    assert b'"ip":"unix"' in asked


def test_requests_are_counted_by_endpoint(site: Served) -> None:
    site.request("PUT", SEND, b"{}", AS_ALICE)
    site.request("GET", "/_matrix/client/v3/nothing")

    wait_for(lambda: site.traffic.in_flight == 0)
    figures = in_reactor(site.metrics.render).decode()
    assert 'send/{eventType}/{txnId}",status="200"} 1' in figures
    assert 'columba_http_requests_total{endpoint="none",status="404"} 1' in figures


def test_a_file_reply_that_is_not_wanted_any_more_is_closed(site: Served) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(b"GET /_matrix/media/v3/download HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(10)

    wait_for(lambda: site.traffic.in_flight == 0)
    wait_for(lambda: not site.traffic.channels)


class Line:
    """A connection without a network, under a clock that is moved by hand."""

    def __init__(self, rooms: Rooms) -> None:
        self.clock = ManualClock()
        limiting = RateLimiting({}, self.clock)
        door = Door(Authentication(Tokens(), Peers(), accepts_query_tokens=True), limiting, NotedActs())
        self.traffic = Traffic(door, self.clock, Metrics(), lambda _: Deferred())
        self.traffic.start()
        router = Router(collect([rooms]), frozenset(Surface))
        self._channel = Site(self.traffic, Listening(router, TrustedProxies(()))).buildProtocol(None)
        self.transport = StringTransport()
        self._channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self._channel.dataReceived(data)

    def take_nothing(self) -> None:
        """As a client does that stops to read while much is to be sent."""
        self._channel.pauseProducing()

    def take_what_waits(self) -> None:
        """As a client does that reads again."""
        self._channel.resumeProducing()

    def pass_time(self, seconds: int) -> None:
        """Sweeps come every few seconds."""
        for _ in range(seconds):
            self.clock.advance(1)

    @property
    def is_closed(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)


@pytest.fixture
def line(rooms: Rooms) -> Line:
    return Line(rooms)


def test_an_idle_connection_is_closed_after_a_while(line: Line) -> None:
    line.send(b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 OK" in line.transport.value()

    line.pass_time(60)
    assert not line.is_closed
    line.pass_time(30)

    assert line.is_closed


def test_a_connection_that_is_used_now_and_then_stays_open(line: Line) -> None:
    for _ in range(200):
        line.send(b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\n\r\n")
        line.pass_time(1)

        assert not line.is_closed


def test_a_long_poll_may_take_its_time(line: Line) -> None:
    line.send(b"GET /_matrix/client/v3/wait HTTP/1.1\r\nHost: x\r\n\r\n")

    line.pass_time(1000)

    assert not line.is_closed


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /_matrix/client/v3/ip HTTP/1.1\r\n",
        b"PUT %s HTTP/1.1\r\nContent-Length: 9999\r\n\r\n" % SEND.encode(),
    ],
)
def test_a_request_that_drips_in_is_cut_off(line: Line, start: bytes) -> None:
    line.send(start)
    for _ in range(45):
        line.send(b"x")
        line.pass_time(1)

    assert line.is_closed


def test_a_large_upload_at_a_fair_rate_is_received(line: Line) -> None:
    line.send(
        b"POST /_matrix/media/v3/upload HTTP/1.1\r\nAuthorization: Bearer secret\r\nContent-Length: 1000000\r\n\r\n"
    )
    for _ in range(200):
        line.send(b"x" * 5000)
        line.pass_time(1)

    assert b'"size":1000000' in line.transport.value()


def test_a_client_that_takes_much_slowly_is_not_cut_off(line: Line) -> None:
    for _ in range(700):
        line.take_nothing()
        line.pass_time(1)
        line.take_what_waits()

    assert not line.is_closed


def test_a_client_that_takes_nothing_is_cut_off(line: Line) -> None:
    line.take_nothing()

    line.pass_time(500)
    assert not line.is_closed
    line.pass_time(150)

    assert line.is_closed


def test_a_refused_client_has_a_moment_to_read_why(line: Line) -> None:
    line.send(b"PUT %s HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n" % SEND.encode())
    assert line.transport.value().startswith(b"HTTP/1.1 413 ")

    assert not line.is_closed
    line.send(b"x" * 100_000)
    line.pass_time(30)

    assert line.is_closed


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2\r\nContent-Length: 50",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2, 2",
        b"Content-Length: +2",
        b"Content-Length: 0x2",
        b"Content-Length: 2_0",
        b"Content-Length: \xd9\xa2",
        b"Content-Length : 2",
        b"Content-Length:\x0b2",
        b"Content-Length: 2\nX: y",
        b"Content-Length: 2\rX: y",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding : chunked",
    ],
)
def test_of_what_others_may_cut_elsewhere_nothing_is_answered_twice(line: Line, framing: bytes) -> None:
    second = b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\n\r\n"
    request = b"POST /_matrix/client/v3/stages HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"

    line.send(request + b"{}" + second)
    line.pass_time(30)

    assert line.transport.value().startswith(b"HTTP/1.1 400 ")
    assert line.transport.value().count(b"HTTP/1.1 ") == 1
    assert line.is_closed


@pytest.mark.parametrize(
    "chunks",
    [b"2;" + b"a" * 5000 + b"\r\n{}", b"-2\r\n{}", b"0x2\r\n{}", b"2\n{}\n", b"2\r\n{}XX", b" 2\r\n{}", b"+2\r\n{}"],
)
def test_chunks_of_another_grammar_end_the_connection(line: Line, chunks: bytes) -> None:
    head = b"POST /_matrix/client/v3/stages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    second = b"GET /_matrix/client/v3/ip HTTP/1.1\r\nHost: x\r\n\r\n"

    line.send(head + chunks + b"\r\n0\r\n\r\n" + second)
    line.pass_time(30)

    assert line.transport.value().startswith(b"HTTP/1.1 400 ")
    assert line.transport.value().count(b"HTTP/1.1 ") == 1
    assert line.is_closed


def test_a_mark_must_say_what_its_handler_reads() -> None:
    async def handler(self: object, request: Request[Stamp, NoBody]) -> Reply:
        return Reply(io.BytesIO().getvalue())

    with pytest.raises(TypeError):
        endpoint("GET", "/", auth=NONE, limit=RateClass.FREE, spec="")(handler)
