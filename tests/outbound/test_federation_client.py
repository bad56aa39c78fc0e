"""Requests as they leave, and what is made of answers."""

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import EventID, KeyID, RoomAlias, RoomID, ServerName, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey, verify_json
from homeserver.outbound.errors import NotAsked, RemoteError, RemoteNonsense, RemoteRefused, Unreachable
from homeserver.outbound.exchange import Answer, Ask
from homeserver.outbound.federation_client import TIMEOUT_S, FederationClient, path_of
from homeserver.runtime.clock import ManualClock

OTHER = ServerName("other.example:8448")
US = ServerName("example.org")
ROOM = RoomID("!room/with?odd#characters:other.example")
EVENT = EventID("$event/with+odd=characters")
ALICE = UserID("@alice:example.org")
BOB = UserID("@bob:other.example")
PDU = {"type": "m.room.member", "content": {"membership": "join"}}
ROOM_IN_PATH = "%21room%2Fwith%3Fodd%23characters%3Aother.example"
EVENT_IN_PATH = "%24event%2Fwith%2Bodd%3Dcharacters"


class Peer:
    """Answers as the test wants, without any network."""

    def __init__(self) -> None:
        self.answers: list[Answer | RemoteError] = []
        self.asks: list[Ask] = []
        self.waits_for: Deferred[None] | None = None

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        self.asks.append(ask)
        if self.waits_for is not None:
            await self.waits_for
        answer = self.answers.pop(0)
        if isinstance(answer, RemoteError):
            raise answer
        if take is not None and answer.status == 200:
            take(answer.body)
            return Answer(200, answer.headers, b"")
        return answer


class NotingGate:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_shut = False

    def check(self, destination: ServerName, *, ignores_backoff: bool = False) -> None:
        if self.is_shut and not ignores_backoff:
            raise NotAsked("it has a while to recover")

    def succeeded(self, destination: ServerName) -> None:
        self.told.append("succeeded")

    def failed(self, destination: ServerName) -> None:
        self.told.append("failed")


class World:
    """A client, whom it asks, and whom it tells."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.gate = NotingGate()
        self.clock = ManualClock()
        self.key = SigningKey("one", b"1" * 32)
        self.client = FederationClient(self.peer, self.gate, US, self.key, self.clock)

    def answers(self, *answers: Any) -> None:
        """What the peer says to the next requests: JSON, whole answers, or errors."""
        for answer in answers:
            if not isinstance(answer, Answer | RemoteError):
                answer = Answer(200, {}, json.dumps(answer).encode())
            self.peer.answers.append(answer)

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What work comes to, without time passing."""
        results: list[Any] = []
        failures: list[BaseException] = []
        Deferred.fromCoroutine(work).addCallbacks(results.append, lambda failure: failures.append(failure.value))
        if failures:
            raise failures[0]
        return results[0]


@pytest.fixture
def world() -> World:
    """A world in which nobody has been asked."""
    return World()


def error(status: int, errcode: str | None = None, **more: Any) -> Answer:
    body = {} if errcode is None else {"errcode": errcode, "error": "no", **more}
    return Answer(status, {}, json.dumps(body).encode())


def verify_signature(world: World, ask: Ask) -> Mapping[str, Any]:
    """Raises BadSignature unless the request was signed as the specification says; its body."""
    match = re.fullmatch(
        r'X-Matrix origin="(.*?)",destination="(.*?)",key="(.*?)",sig="(.*?)"', ask.headers["Authorization"]
    )
    assert match is not None
    origin, destination, key_id, signature = match.groups()
    assert (origin, destination) == (US, ask.destination)
    signed = {"method": ask.method, "uri": ask.uri, "origin": origin, "destination": destination}
    content: dict[str, Any] = {}
    if ask.body is not None:
        content = json.loads(ask.body)
        signed["content"] = content
    verify_json({**signed, "signatures": {origin: {key_id: signature}}}, US, world.key.verify_key)
    return content


def test_a_request_is_signed_with_its_uri_as_it_is_sent(world: World) -> None:
    world.answers({})

    world.wait(world.client.get(OTHER, path_of("/_matrix/x", "a/b ä"), query={"q": ["1", "ü/"], "n": 2}))

    [ask] = world.peer.asks
    assert (ask.method, ask.uri, ask.body) == ("GET", "/_matrix/x/a%2Fb%20%C3%A4?q=1&q=%C3%BC%2F&n=2", None)
    assert verify_signature(world, ask) == {}


def test_a_request_is_signed_with_its_content(world: World) -> None:
    content = {"ü": [1, None, True], "a": {"float": 1.5, "large": 10**30}}  # as events of old rooms may be
    world.answers({}, {})

    world.wait(world.client.put(OTHER, "/_matrix/x", content={"ü": 1, "a": 2}))
    world.wait(world.client.post(OTHER, "/_matrix/x", content=content))

    put, post = world.peer.asks
    assert verify_signature(world, put) == {"ü": 1, "a": 2}
    assert put.headers["Content-Type"] == "application/json"
    assert (post.method, json.loads(post.body or b"")) == ("POST", content)


def test_whatever_has_no_need_of_a_signature_has_none(world: World) -> None:
    world.answers({"server": {}}, {}, {"server_keys": []}, {"sub": "@a:b"})

    world.wait(world.client.version(OTHER))
    world.wait(world.client.server_keys(OTHER))
    world.wait(world.client.notary_keys(OTHER, {}))
    world.wait(world.client.openid_userinfo(OTHER, "token"))

    assert [ask.headers.get("Authorization") for ask in world.peer.asks] == [None] * 4


Operation = Callable[[FederationClient], Coroutine[Any, Any, Any]]
V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"


@pytest.mark.parametrize(
    ("operation", "request_line", "content", "answer", "result"),
    [
        (lambda c: c.version(OTHER), f"GET {V1}/version", None, {"server": {"name": "x"}}, {"name": "x"}),
        (lambda c: c.version(OTHER), f"GET {V1}/version", None, {}, {}),
        (lambda c: c.server_keys(OTHER), "GET /_matrix/key/v2/server", None, {"a": 1}, {"a": 1}),
        (
            lambda c: c.notary_keys(OTHER, {US: {KeyID("ed25519:a"): 5}, OTHER: {}}),
            "POST /_matrix/key/v2/query",
            {"server_keys": {US: {"ed25519:a": {"minimum_valid_until_ts": 5}}, OTHER: {}}},
            {"server_keys": [{"a": 1}]},
            [{"a": 1}],
        ),
        (
            lambda c: c.send_transaction(OTHER, "1/2", b'{"pdus":[]}'),
            f"PUT {V1}/send/1%2F2",
            {"pdus": []},
            {"pdus": {}},
            {"pdus": {}},
        ),
        (
            lambda c: c.make_membership(OTHER, "join", ROOM, ALICE, ["1", "12"]),
            f"GET {V1}/make_join/{ROOM_IN_PATH}/%40alice%3Aexample.org?ver=1&ver=12",
            None,
            {"event": {}, "room_version": "12"},
            {"event": {}, "room_version": "12"},
        ),
        (
            lambda c: c.make_membership(OTHER, "leave", ROOM, ALICE, None),
            f"GET {V1}/make_leave/{ROOM_IN_PATH}/%40alice%3Aexample.org",
            None,
            {"event": {}},
            {"event": {}},
        ),
        (
            lambda c: c.make_membership(OTHER, "knock", ROOM, ALICE, ["7"]),
            f"GET {V1}/make_knock/{ROOM_IN_PATH}/%40alice%3Aexample.org?ver=7",
            None,
            {"event": {}},
            {"event": {}},
        ),
        (
            lambda c: c.send_leave(OTHER, ROOM, EVENT, PDU),
            f"PUT {V2}/send_leave/{ROOM_IN_PATH}/{EVENT_IN_PATH}",
            PDU,
            {},
            None,
        ),
        (
            lambda c: c.send_knock(OTHER, ROOM, EVENT, PDU),
            f"PUT {V1}/send_knock/{ROOM_IN_PATH}/{EVENT_IN_PATH}",
            PDU,
            {"knock_room_state": [1]},
            [1],
        ),
        (
            lambda c: c.send_knock(OTHER, ROOM, EVENT, PDU),
            f"PUT {V1}/send_knock/{ROOM_IN_PATH}/{EVENT_IN_PATH}",
            PDU,
            {"knock_state_events": [1]},
            [1],
        ),
        (
            lambda c: c.exchange_third_party_invite(OTHER, ROOM, PDU),
            f"PUT {V1}/exchange_third_party_invite/{ROOM_IN_PATH}",
            PDU,
            {},
            None,
        ),
        (
            lambda c: c.backfill(OTHER, ROOM, [EVENT, EventID("$b")], 10),
            f"GET {V1}/backfill/{ROOM_IN_PATH}?v={EVENT_IN_PATH}&v=%24b&limit=10",
            None,
            {"pdus": [1]},
            [1],
        ),
        (
            lambda c: c.get_missing_events(OTHER, ROOM, earliest=(EVENT,), latest=(EventID("$b"),), limit=10),
            f"POST {V1}/get_missing_events/{ROOM_IN_PATH}",
            {"earliest_events": [EVENT], "latest_events": ["$b"], "limit": 10, "min_depth": 0},
            {"events": [1]},
            [1],
        ),
        (lambda c: c.event(OTHER, EVENT), f"GET {V1}/event/{EVENT_IN_PATH}", None, {"pdus": [{"a": 1}]}, {"a": 1}),
        (
            lambda c: c.state(OTHER, ROOM, EVENT),
            f"GET {V1}/state/{ROOM_IN_PATH}?event_id={EVENT_IN_PATH}",
            None,
            {"pdus": [1], "auth_chain": [2]},
            {"pdus": [1], "auth_chain": [2]},
        ),
        (
            lambda c: c.state_ids(OTHER, ROOM, EVENT),
            f"GET {V1}/state_ids/{ROOM_IN_PATH}?event_id={EVENT_IN_PATH}",
            None,
            {"pdu_ids": ["a"], "auth_chain_ids": ["b"]},
            {"pdu_ids": ["a"], "auth_chain_ids": ["b"]},
        ),
        (
            lambda c: c.event_auth(OTHER, ROOM, EVENT),
            f"GET {V1}/event_auth/{ROOM_IN_PATH}/{EVENT_IN_PATH}",
            None,
            {"auth_chain": [1]},
            [1],
        ),
        (
            lambda c: c.timestamp_to_event(OTHER, ROOM, 5, backwards=True),
            f"GET {V1}/timestamp_to_event/{ROOM_IN_PATH}?ts=5&dir=b",
            None,
            {"event_id": "$a", "origin_server_ts": 4},
            {"event_id": "$a", "origin_server_ts": 4},
        ),
        (
            lambda c: c.hierarchy(OTHER, ROOM, suggested_only=True),
            f"GET {V1}/hierarchy/{ROOM_IN_PATH}?suggested_only=true",
            None,
            {"room": {}, "children": [1]},
            {"room": {}, "children": [1], "inaccessible_children": []},
        ),
        (
            lambda c: c.sign_by_policy_server(OTHER, PDU),
            "POST /_matrix/policy/v1/sign",
            PDU,
            {"other.example": {"ed25519:policy_server": "sig"}},
            {"other.example": {"ed25519:policy_server": "sig"}},
        ),
        (
            lambda c: c.public_rooms(OTHER, limit=5, since="a b"),
            f"GET {V1}/publicRooms?limit=5&since=a%20b&include_all_networks=false",
            None,
            {"chunk": []},
            {"chunk": []},
        ),
        (
            lambda c: c.public_rooms(OTHER, search={"generic_search_term": "x"}, include_all_networks=True),
            f"POST {V1}/publicRooms",
            {"filter": {"generic_search_term": "x"}, "include_all_networks": True},
            {"chunk": []},
            {"chunk": []},
        ),
        (
            lambda c: c.query_directory(OTHER, RoomAlias("#a&b:other.example")),
            f"GET {V1}/query/directory?room_alias=%23a%26b%3Aother.example",
            None,
            {"room_id": "!a", "servers": []},
            {"room_id": "!a", "servers": []},
        ),
        (lambda c: c.query_profile(OTHER, BOB), f"GET {V1}/query/profile?user_id=%40bob%3Aother.example", None, {}, {}),
        (
            lambda c: c.query_profile(OTHER, BOB, "displayname"),
            f"GET {V1}/query/profile?user_id=%40bob%3Aother.example&field=displayname",
            None,
            {"displayname": "Bob"},
            {"displayname": "Bob"},
        ),
        (
            lambda c: c.user_devices(OTHER, BOB),
            f"GET {V1}/user/devices/%40bob%3Aother.example",
            None,
            {"devices": [], "stream_id": 1},
            {"devices": [], "stream_id": 1},
        ),
        (
            lambda c: c.user_keys_query(OTHER, {BOB: []}),
            f"POST {V1}/user/keys/query",
            {"device_keys": {BOB: []}},
            {"device_keys": {}},
            {"device_keys": {}},
        ),
        (
            lambda c: c.user_keys_claim(OTHER, {BOB: {"D": "signed_curve25519"}}),
            f"POST {V1}/user/keys/claim",
            {"one_time_keys": {BOB: {"D": "signed_curve25519"}}},
            {"one_time_keys": {"x": {}}},
            {"x": {}},
        ),
        (
            lambda c: c.openid_userinfo(OTHER, "a&b"),
            f"GET {V1}/openid/userinfo?access_token=a%26b",
            None,
            {"sub": "@a:b"},
            {"sub": "@a:b"},
        ),
    ],
)
def test_each_operation_asks_as_the_specification_says_and_returns_what_was_answered(
    world: World, operation: Operation, request_line: str, content: Any, answer: Any, result: Any
) -> None:
    world.answers(answer)

    returned = world.wait(operation(world.client))

    [ask] = world.peer.asks
    assert f"{ask.method} {ask.uri}" == request_line
    assert (None if ask.body is None else json.loads(ask.body)) == content
    assert returned == result
    if "Authorization" in ask.headers:
        verify_signature(world, ask)


@pytest.mark.parametrize("answer", [None, [], "text", 1, {"pdus": {}}, {"pdus": []}, {"pdus": [1]}, {"events": {}}])
@pytest.mark.parametrize(
    "operation",
    [
        lambda c: c.make_membership(OTHER, "join", ROOM, ALICE, []),
        lambda c: c.make_membership(OTHER, "leave", ROOM, ALICE, None),
        lambda c: c.send_knock(OTHER, ROOM, EVENT, PDU),
        lambda c: c.send_join(OTHER, ROOM, EVENT, PDU, lambda *_: None, omit_members=False),
        lambda c: c.invite(OTHER, ROOM, EVENT, PDU, ROOM_VERSIONS["12"], []),
        lambda c: c.get_missing_events(OTHER, ROOM, earliest=[], latest=[], limit=1),
        lambda c: c.event(OTHER, EVENT),
        lambda c: c.state(OTHER, ROOM, EVENT),
        lambda c: c.state_ids(OTHER, ROOM, EVENT),
        lambda c: c.event_auth(OTHER, ROOM, EVENT),
        lambda c: c.hierarchy(OTHER, ROOM, suggested_only=False),
        lambda c: c.public_rooms(OTHER),
        lambda c: c.query_directory(OTHER, RoomAlias("#a:other.example")),
        lambda c: c.user_devices(OTHER, BOB),
        lambda c: c.user_keys_query(OTHER, {}),
        lambda c: c.user_keys_claim(OTHER, {}),
        lambda c: c.notary_keys(OTHER, {}),
    ],
)
def test_an_answer_of_another_shape_is_nonsense(world: World, operation: Operation, answer: Any) -> None:
    world.answers(answer)

    with pytest.raises(RemoteNonsense):
        world.wait(operation(world.client))


def test_the_events_of_a_join_are_handed_on_one_by_one(world: World) -> None:
    taken: list[tuple[str, Any]] = []
    world.answers({"state": [{"a": 1}, {"b": 2}], "auth_chain": [{"a": 1}], "members_omitted": True})

    rest = world.wait(
        world.client.send_join(
            OTHER, ROOM, EVENT, PDU, lambda name, event: taken.append((name, event)), omit_members=True
        )
    )

    assert rest == {"state": [], "auth_chain": [], "members_omitted": True}
    assert taken == [("state", {"a": 1}), ("state", {"b": 2}), ("auth_chain", {"a": 1})]
    [ask] = world.peer.asks
    assert ask.uri == f"{V2}/send_join/{ROOM_IN_PATH}/{EVENT_IN_PATH}?omit_members=true"
    assert verify_signature(world, ask) == PDU


@pytest.mark.parametrize("refusal", [error(404, "M_UNRECOGNIZED"), error(400, "M_UNRECOGNIZED"), error(404)])
def test_joins_and_leaves_by_old_servers_go_the_old_way(world: World, refusal: Answer) -> None:
    taken: list[tuple[str, Any]] = []
    client = world.client
    world.answers(refusal, [200, {"state": [{"a": 1}], "auth_chain": [{"b": 2}], "origin": OTHER}], refusal, [200, {}])

    rest = world.wait(
        client.send_join(OTHER, ROOM, EVENT, PDU, lambda name, event: taken.append((name, event)), omit_members=True)
    )
    world.wait(client.send_leave(OTHER, ROOM, EVENT, PDU))

    assert rest == {"state": [], "auth_chain": [], "origin": OTHER}
    assert taken == [("state", {"a": 1}), ("auth_chain", {"b": 2})]
    _, join, _, leave = world.peer.asks
    assert join.uri == f"{V1}/send_join/{ROOM_IN_PATH}/{EVENT_IN_PATH}"
    assert leave.uri == f"{V1}/send_leave/{ROOM_IN_PATH}/{EVENT_IN_PATH}"
    assert verify_signature(world, join) == verify_signature(world, leave) == PDU


def test_any_other_refusal_of_a_join_or_a_leave_is_final(world: World) -> None:
    world.answers(error(404, "M_NOT_FOUND"), error(403, "M_FORBIDDEN"))

    with pytest.raises(RemoteRefused):
        world.wait(world.client.send_join(OTHER, ROOM, EVENT, PDU, lambda *_: None, omit_members=False))
    with pytest.raises(RemoteRefused):
        world.wait(world.client.send_leave(OTHER, ROOM, EVENT, PDU))

    assert len(world.peer.asks) == 2


@pytest.mark.parametrize("answer", [{}, [200], [403, {}], [200, {"state": []}], [200, {"state": {}, "auth_chain": []}]])
def test_an_old_answer_to_a_join_of_another_shape_is_nonsense(world: World, answer: Any) -> None:
    world.answers(error(404), answer)

    with pytest.raises(RemoteNonsense):
        world.wait(world.client.send_join(OTHER, ROOM, EVENT, PDU, lambda *_: None, omit_members=False))


def test_an_invite_comes_back_with_a_signature(world: World) -> None:
    world.answers({"event": {"signed": True}})

    event = world.wait(world.client.invite(OTHER, ROOM, EVENT, PDU, ROOM_VERSIONS["12"], [{"type": "m.room.name"}]))

    [ask] = world.peer.asks
    assert event == {"signed": True}
    assert ask.uri == f"{V2}/invite/{ROOM_IN_PATH}/{EVENT_IN_PATH}"
    assert verify_signature(world, ask) == {
        "event": PDU,
        "room_version": "12",
        "invite_room_state": [{"type": "m.room.name"}],
    }


@pytest.mark.parametrize("refusal", [error(404, "M_UNRECOGNIZED"), error(400, "M_UNRECOGNIZED"), error(404)])
def test_an_invite_to_an_old_room_falls_back_to_the_old_operation(world: World, refusal: Answer) -> None:
    event = {**PDU, "unsigned": {"age": 1}}
    world.answers(refusal, [200, {"event": {"signed": True}}])

    returned = world.wait(world.client.invite(OTHER, ROOM, EVENT, event, ROOM_VERSIONS["2"], [{"type": "m.room.name"}]))

    ask = world.peer.asks[1]
    assert returned == {"signed": True}
    assert ask.uri == f"{V1}/invite/{ROOM_IN_PATH}/{EVENT_IN_PATH}"
    assert verify_signature(world, ask) == {
        **PDU,
        "unsigned": {"age": 1, "invite_room_state": [{"type": "m.room.name"}]},
    }


@pytest.mark.parametrize(
    ("version", "refusal"),
    [("12", error(404, "M_UNRECOGNIZED")), ("1", error(403, "M_FORBIDDEN")), ("1", error(404, "M_NOT_FOUND"))],
)
def test_any_other_refusal_of_an_invite_is_final(world: World, version: str, refusal: Answer) -> None:
    world.answers(refusal)

    with pytest.raises(RemoteRefused):
        world.wait(world.client.invite(OTHER, ROOM, EVENT, PDU, ROOM_VERSIONS[version], []))

    assert len(world.peer.asks) == 1


@pytest.mark.parametrize("answer", [{}, [200], [200, {}], [403, {"event": {}}], [200, {"event": 1}], "text"])
def test_an_old_answer_to_an_invite_of_another_shape_is_nonsense(world: World, answer: Any) -> None:
    world.answers(error(404), answer)

    with pytest.raises(RemoteNonsense):
        world.wait(world.client.invite(OTHER, ROOM, EVENT, PDU, ROOM_VERSIONS["1"], []))


@pytest.mark.parametrize(
    ("answer", "errcode", "body", "told"),
    [
        (error(403, "M_FORBIDDEN", more=1), "M_FORBIDDEN", {"errcode": "M_FORBIDDEN", "error": "no", "more": 1}, "ok"),
        (error(404), None, {}, "ok"),
        (error(429, "M_LIMIT_EXCEEDED"), "M_LIMIT_EXCEEDED", {"errcode": "M_LIMIT_EXCEEDED", "error": "no"}, "ok"),
        (error(500, "M_UNKNOWN"), "M_UNKNOWN", {"errcode": "M_UNKNOWN", "error": "no"}, "failed"),
        (Answer(502, {}, b"<html>Bad gateway</html>"), None, None, "failed"),
        (Answer(302, {}, b""), None, None, "ok"),
        (Answer(400, {}, b'{"errcode": 1, "error": []}'), None, {"errcode": 1, "error": []}, "ok"),
        (Answer(400, {}, b"[1]"), None, None, "ok"),
    ],
)
def test_a_refusal_is_reported_with_what_the_server_said(
    world: World, answer: Answer, errcode: str | None, body: Any, told: str
) -> None:
    world.answers(answer)

    with pytest.raises(RemoteRefused) as refused:
        world.wait(world.client.get(OTHER, "/_matrix/x"))

    assert (refused.value.status, refused.value.errcode, refused.value.body) == (answer.status, errcode, body)
    assert world.gate.told == ["succeeded" if told == "ok" else "failed"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({}, ["succeeded"]),
        (Unreachable("no"), ["failed"]),
        (RemoteNonsense("too large"), ["succeeded"]),
        (Answer(200, {}, b"<html>"), ["succeeded"]),
    ],
)
def test_the_gate_is_told_whether_the_server_is_there(world: World, answer: Any, told: list[str]) -> None:
    world.answers(answer)

    try:
        world.wait(world.client.get(OTHER, "/_matrix/x"))
    except RemoteError:
        assert answer != {}

    assert world.gate.told == told


def test_behind_a_shut_gate_nobody_is_asked_but_by_those_who_insist(world: World) -> None:
    world.gate.is_shut = True
    world.answers({"a": 1})

    with pytest.raises(NotAsked):
        world.wait(world.client.server_keys(OTHER))
    insisted = world.wait(world.client.server_keys(OTHER, ignores_backoff=True))

    assert (insisted, len(world.peer.asks), world.gate.told) == ({"a": 1}, 1, ["succeeded"])


def test_this_server_does_not_ask_itself(world: World) -> None:
    with pytest.raises(NotAsked):
        world.wait(world.client.sign_by_policy_server(US, PDU, ignores_backoff=True))

    assert world.peer.asks == []
    assert world.gate.told == []


def test_an_answer_is_awaited_for_so_long_and_no_longer(world: World) -> None:
    world.peer.waits_for = Deferred()
    failures: list[Any] = []
    Deferred.fromCoroutine(world.client.server_keys(OTHER)).addErrback(lambda f: failures.append(f.value))

    world.clock.advance(TIMEOUT_S - 1)
    before = list(failures)
    world.clock.advance(1)

    assert before == []
    assert [type(failure) for failure in failures] == [Unreachable]
    assert world.gate.told == ["failed"]


def test_who_asks_may_say_how_much_is_too_much(world: World) -> None:
    world.answers({}, {"state": [], "auth_chain": []})

    world.wait(world.client.server_keys(OTHER, most_bytes=5))
    world.wait(world.client.send_join(OTHER, ROOM, EVENT, PDU, print, omit_members=False, most_bytes=6))

    assert [ask.most_bytes for ask in world.peer.asks] == [5, 6]
