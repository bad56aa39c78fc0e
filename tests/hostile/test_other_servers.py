"""Servers that sign rightly and ask for what is not theirs: of a whole server, by every endpoint that names a room.

A room that they are not in, one that shuts them out and one that does not exist must look alike to them, or refuse.
"""
# Twisted leaves most of its protocols and transports untyped.
# mypy: disallow-untyped-calls=False

import http.client
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel

from homeserver.assembly.server import build
from homeserver.cli.setup import make_signing_key
from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import FOR_EVER_MS, PublishedKey
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey
from homeserver.core.x_matrix import signed_request
from homeserver.runtime.randomness import SystemRandomness
from homeserver.settings.sections import Listener, Passwords, RateLimits, Registration, Settings
from homeserver.storage.server_keys import StoredKey, store_server_keys
from tests.assembled import AssembledServer
from tests.fakes.reactor import StillReactor
from tests.services.federation.others import FAR, FAY, KEY, NEAR
from tests.services.federation.serving import finished

# Any: JSON, throughout.

OURS = ServerName("example.org")
VERSIONS = {"ver": list(ROOM_VERSIONS)}
NOWHERE = "!" + "A" * 43
NO_ID = "$" + "A" * 43


class Peer:
    """Another server, with a connection of its own for each request."""

    def __init__(self, server: AssembledServer, name: ServerName, key: SigningKey = KEY) -> None:
        self.server = server
        self.name = name
        self.key = key

    def ask(
        self, method: str, *path: str, query: Any = None, content: Any = None, version: str = "v1"
    ) -> tuple[int, Any]:
        """Status and body of what is answered to a signed request."""
        uri = f"/_matrix/federation/{version}/" + "/".join(quote(segment, safe="") for segment in path)
        uri += f"?{urlencode(query, doseq=True)}" if query else ""
        body = b"" if content is None else json.dumps(content).encode()
        signature = self.key.sign(signed_request(method, uri, self.name, OURS, body))
        header = f'X-Matrix origin="{self.name}",destination="{OURS}",key="{self.key.key_id}",sig="{signature}"'
        transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8448), peerAddress=IPv4Address("TCP", "192.0.2.1", 50_000)
        )
        channel = self.server.reactor.factories[0].buildProtocol(transport.getPeer())
        assert isinstance(channel, HTTPChannel)
        channel.makeConnection(transport)
        self.server.channels.append(channel)
        lines = [f"{method} {uri} HTTP/1.1", "Host: example.org", f"Content-Length: {len(body)}"]
        lines.append(f"Authorization: {header}")
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        self.server.reactor.turn_until(lambda: _is_whole(transport.value()))
        head, _, answered = transport.value().partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(answered)

    def join(self, room_id: str) -> Any:
        """Let Fay join."""
        status, template = self.ask("GET", "make_join", room_id, FAY, query=VERSIONS)
        assert status == 200, template
        encoded = finished(template, FAY, "join")
        path = ("send_join", room_id, encoded.event.event_id)
        status, answer = self.ask("PUT", *path, content=encoded.event.pdu, version="v2")
        assert status == 200, answer
        return answer


def _is_whole(sent: bytes) -> bool:
    head, separator, body = sent.partition(b"\r\n\r\n")
    if not separator:
        return False
    headers = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
    return len(body) >= int(headers["Content-Length"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssembledServer]:
    """A server that knows the key of the others."""
    settings = Settings(
        server_name=OURS,
        listeners=(Listener(port=8448, serve=("client", "federation")),),
        data_dir=tmp_path_factory.mktemp("data"),
        database="sqlite",
        passwords=Passwords(1, 8),
        registration=Registration(enabled=True, require_token=False),
        rate_limits=RateLimits(enabled=False),
    )
    make_signing_key(settings, SystemRandomness())
    reactor = StillReactor()
    running = AssembledServer(build(settings, reactor), reactor)
    running.wait(running.columba.start())
    for name in (FAR, NEAR):
        know(running, name)
    yield running
    with time_that_passes(running):
        running.close()


@contextmanager
def time_that_passes(server: AssembledServer) -> Iterator[None]:
    """Let the server give up in time on what nobody answers: the others listen nowhere."""
    is_over = False

    def pass_time() -> None:
        if not is_over:
            server.reactor.advance(0.1)
            server.reactor.callFromThread(pass_time)

    pass_time()
    yield
    is_over = True


def know(server: AssembledServer, name: ServerName) -> None:
    """Let the server have the key of another one."""
    database = server.columba.database
    assert database is not None
    published = PublishedKey(KEY.verify_key, FOR_EVER_MS)
    stored = StoredKey(published, is_for_events=True, fetched_ms=0, fetched_from=name, document_digest=b"")
    server.wait(database.write(store_server_keys, name, [stored]))


@pytest.fixture(scope="module")
def alice(server: AssembledServer) -> str:
    """An access token."""
    return server.register("alice")


def create(server: AssembledServer, token: str, **wishes: Any) -> str:
    room_id: str = server.call(token, "POST", "createRoom", body={"preset": "public_chat", **wishes})["room_id"]
    return room_id


def say(server: AssembledServer, token: str, room_id: str, body: str) -> str:
    path = ("rooms", room_id, "send", "m.room.message", body)
    event_id: str = server.call(token, "PUT", *path, body={"msgtype": "m.text", "body": body})["event_id"]
    return event_id


def questions(room_id: str, event_id: str) -> list[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """Every question about a room and an event in it."""
    between = {"earliest_events": [], "latest_events": [event_id]}
    return [
        ("GET", ("backfill", room_id), {"query": {"v": event_id, "limit": 10}}),
        ("GET", ("event_auth", room_id, event_id), {}),
        ("GET", ("state", room_id), {"query": {"event_id": event_id}}),
        ("GET", ("state_ids", room_id), {"query": {"event_id": event_id}}),
        ("GET", ("timestamp_to_event", room_id), {"query": {"ts": 0, "dir": "f"}}),
        ("POST", ("get_missing_events", room_id), {"content": between}),
    ]


def test_a_server_that_came_in_is_told_of_its_room_and_of_no_other(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, FAR)
    room_id, other = create(server, alice), create(server, alice)
    said, elsewhere = say(server, alice, room_id, "said"), say(server, alice, other, "elsewhere")

    peer.join(room_id)

    for method, path, options in questions(room_id, said):
        assert peer.ask(method, *path, **options)[0] == 200, path
    assert peer.ask("GET", "event", said)[0] == 200
    assert peer.ask("GET", "event", elsewhere) == peer.ask("GET", "event", NO_ID)
    for (method, path, options), (_, _, missing) in zip(
        questions(room_id, elsewhere), questions(room_id, NO_ID), strict=True
    ):
        absent = tuple(NO_ID if segment == elsewhere else segment for segment in path)
        answers = [peer.ask(method, *path, **options), peer.ask(method, *absent, **missing)]
        for _, body in answers:
            body.pop("origin_server_ts", None)  # when it was answered
        assert answers[0] == answers[1], path


def test_a_room_of_others_looks_like_none(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, NEAR)
    room_id = create(server, alice, initial_state=[readable_by_all()])
    said = say(server, alice, room_id, "said")

    for here, nowhere in zip(questions(room_id, said), questions(NOWHERE, said), strict=True):
        answers = [peer.ask(method, *path, **options) for method, path, options in (here, nowhere)]
        assert answers[0] == answers[1]
        assert answers[0][0] == 403
    assert peer.ask("GET", "event", said) == peer.ask("GET", "event", NO_ID)


def test_a_closed_space_looks_like_none(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, NEAR)
    closed = create(server, alice, preset="private_chat", creation_content={"type": "m.space"})

    assert peer.ask("GET", "hierarchy", closed) == peer.ask("GET", "hierarchy", NOWHERE)


def test_what_was_said_before_a_server_came_is_not_told(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, FAR)
    visibility = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = create(server, alice, initial_state=[visibility])
    said = say(server, alice, room_id, "a secret")

    peer.join(room_id)

    newest = say(server, alice, room_id, "no secret")
    answers = [peer.ask(method, *path, **options) for method, path, options in questions(room_id, newest)]
    answers += [peer.ask(method, *path, **options) for method, path, options in questions(room_id, said)]
    answers.append(peer.ask("GET", "event", said))
    assert all(status == 200 for status, _ in answers)
    assert "a secret" not in json.dumps(answers)
    assert "no secret" in json.dumps(answers)


def test_a_server_that_is_shut_out_is_told_nothing_of_its_room(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, FAR)
    room_id = create(server, alice)
    peer.join(room_id)
    said = say(server, alice, room_id, "said")

    denied = {"allow": ["*"], "deny": [FAR]}
    server.call(alice, "PUT", "rooms", room_id, "state", "m.room.server_acl", body=denied)

    for method, path, options in questions(room_id, said):
        assert peer.ask(method, *path, **options)[0] == 403, path
    assert peer.ask("GET", "event", said)[0] == 403
    assert peer.ask("GET", "make_leave", room_id, FAY)[0] == 403


def test_who_signs_with_another_key_is_nobody(server: AssembledServer, alice: str) -> None:
    peer = Peer(server, FAR, SigningKey("test", b"\x09" * 32))

    with time_that_passes(server):  # the other server is asked whether that is a new key of its own
        status, _ = peer.ask("GET", "publicRooms")

    assert status == 401


def readable_by_all() -> dict[str, Any]:
    """The state that opens a room's history to everybody."""
    content = {"history_visibility": "world_readable"}
    return {"type": "m.room.history_visibility", "state_key": "", "content": content}
