"""A policy server that lies, about events that are sent here and about those that come from elsewhere without its word.

What it has not rightly signed is sent by nobody and shown to nobody; it is asked a bounded number of times, holds up
nobody but those who speak in its room, and signs nothing besides. What an honest one is asked is tested in
tests/services/events/test_policy_approval.py and tests/services/federation/test_policy_servers.py.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Final

import pytest

from homeserver.core.policy_servers import POLICY, POLICY_KEY_ID
from homeserver.core.signing import SigningKey, verify_event_signature
from homeserver.services.events.policy_approval import MOST_ASKED
from homeserver.services.federation.policy_servers import AT_ONCE
from tests.api.client import Client, Response, new_user
from tests.hostile.conftest import Breadth
from tests.hostile.hostile_server import (
    HEAD,
    PATIENCE_S,
    Asked,
    HostileServer,
    Lie,
    Pdu,
    Refusal,
    Room,
    Stream,
    Victim,
    always,
    check_goes_on,
    packed,
    without_end,
)
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

OTHER_KEY: Final = SigningKey("policy_server", b"\x13" * 32)
# Of answers that are refused in one way, one.
EVERYDAY: Final = (
    "nothing",
    "a list",
    "no text",
    "a long one",
    "too much",
    "403",
    "429",
    "a long reason",
    "an odd reason",
    "that of another event",
    "one by another key",
    "one under this server's name",
    "the event itself",
)
AWAY: Final = ("half an answer", "500", "503")  # after which it is not asked for a while


@pytest.fixture
def third(authority: CertificateAuthority, victim: Victim) -> Iterator[HostileServer]:
    """Another server, which is in no room unless a test has it join."""
    made = HostileServer(authority, victim.server, "127.0.0.67")
    yield made
    made.close()


def guarded(evil: HostileServer, alice: Client, policy: Mapping[str, Any] | None = None, version: str = "11") -> Room:
    """A room of Alice's and Mallory's whose policy server is the hostile one, unless another is given."""
    room = evil.join(open_room(alice, evil, version))
    name_policy(alice, room, evil.policy() if policy is None else policy)
    return room


def open_room(alice: Client, evil: HostileServer, version: str = "11") -> str:
    """A room in which Mallory may do what Alice may."""
    users = {evil.user: 100} if version == "12" else {alice.user_id: 100, evil.user: 100}
    override = {"users": users}
    return alice.create_room(preset="public_chat", room_version=version, power_level_content_override=override)


def name_policy(alice: Client, room: Room, policy: Mapping[str, Any]) -> None:
    """Make somebody the policy server of a room, and wait until the hostile one knows."""
    alice.set_state(room.room_id, "m.room.policy", policy)
    room.server.wait_for(lambda: POLICY in room.state and room.events[room.state[POLICY]]["content"] == policy)
    room.server.asked.clear()


def speak(client: Client, room: Room, body: str) -> Response:
    """Say something, and see what is answered."""
    content = json.dumps({"msgtype": "m.text", "body": body}).encode()
    txn_id = f"p{next(client.transactions)}"
    return client.send("PUT", "rooms", room.room_id, "send", "m.room.message", txn_id, content=content)


def shown(client: Client, room: Room) -> set[str]:
    """What somebody reads in a room."""
    return {event["content"].get("body", "") for event in client.messages(room.room_id, limit=100)["chunk"]}


def lies_of_policy_servers(evil: HostileServer, room: Room) -> dict[str, Lie]:
    """What may be answered instead of a signature of the event."""

    def of_another_event(_: Asked) -> Any:
        return evil.policy_signature(room.say("another"))

    def of_another_time(asked: Asked) -> Any:
        return evil.policy_signature(asked.content | {"origin_server_ts": 1})

    def under(server: str, key_id: str = POLICY_KEY_ID) -> Lie:
        return lambda asked: {server: {key_id: evil.policy_signature(asked.content)[evil.name][POLICY_KEY_ID]}}

    answers: dict[str, Any] = {
        "nothing": {},
        "a list": [],
        "no signatures": {evil.name: []},
        "no text": {evil.name: {POLICY_KEY_ID: 1}},
        "no base64": {evil.name: {POLICY_KEY_ID: "!"}},
        "a wrong one": {evil.name: {POLICY_KEY_ID: "A" * 86}},
        "a long one": {evil.name: {POLICY_KEY_ID: "A" * 60_000}},
        "very many": {evil.name: {f"ed25519:{number}": "A" * 86 for number in range(300)}},
        "too much": {evil.name: {POLICY_KEY_ID: "A" * 1_000_000}},
        "half an answer": Stream([HEAD + b'Content-Length: 2\r\n\r\n{"']),
        "no JSON": HEAD + b"Content-Length: 9\r\n\r\n{nonsense",
        "nested": HEAD + b"Content-Length: 60000\r\n\r\n" + b"[" * 30_000 + b"]" * 30_000,
        "a bomb": packed(b"{" + b" " * 30_000_000 + b"}"),
        "somewhere else": b"HTTP/1.1 307 Away\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "400": Refusal(400, "M_FORBIDDEN"),
        "401": Refusal(401, "M_UNKNOWN_TOKEN"),
        "403": Refusal(403, "M_FORBIDDEN"),
        "404": Refusal(404, "M_UNRECOGNIZED"),
        "429": _refusal(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "no", "retry_after_ms": 2**70}),
        "a long reason": _refusal(403, {"errcode": "M_FORBIDDEN", "error": "x" * 50_000}),
        "an odd reason": _refusal(403, {"errcode": ["M_FORBIDDEN"], "error": {"x": 1}}),
        "500": Refusal(500, "M_UNKNOWN"),
        "503": Refusal(503, "M_UNKNOWN"),
    }
    return {
        **{name: always(answer) for name, answer in answers.items()},
        "that of another event": of_another_event,
        "that of another time": of_another_time,
        "one by another key": lambda asked: evil.policy_signature(asked.content, OTHER_KEY),
        "one under another server's name": under("elsewhere.example"),
        "one under this server's name": under(evil.victim.server_name),
        "one under another key's name": under(evil.name, "ed25519:evil"),
        "the event itself": lambda asked: asked.content,
        "a message": lambda _: room.say("another"),
    }


def _refusal(status: int, content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def check_refused(answer: Response, name: str) -> None:
    """Fail unless somebody was told, in bounded words and with no word of their own account, that it was not sent."""
    assert 400 <= answer.status <= 504, name
    assert answer.status != 401, name
    assert answer.json["errcode"].startswith("M_"), name
    assert answer.json["errcode"] not in ("M_UNKNOWN_TOKEN", "M_UNRECOGNIZED"), name
    assert len(answer.body) < 3_000, name
    assert answer.json.get("retry_after_ms", 0) <= 3_600_000, name


# --- What is sent here ---


def test_what_it_does_not_rightly_sign_is_not_sent(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = guarded(evil, alice)
    before = victim.rows("events", room_id=room.room_id)

    for name, lie in breadth.of(lies_of_policy_servers(evil, room), *EVERYDAY, "500").items():
        evil.asked.clear()
        evil.lies["sign"] = lie
        check_refused(speak(alice, room, name), name)
        assert victim.rows("events", room_id=room.room_id) == before, name
        assert evil.times_asked("sign") == 1, name
        assert evil.times_asked() == 1, name

    # Whoever refused signs after all.
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", ["1", "12"])
def test_nothing_of_its_answer_is_in_the_event_but_its_signature(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = guarded(evil, alice, version=version)
    evil.lies["sign"] = lambda asked: {
        **{name: {"ed25519:x": "A" * 86} for name in ("elsewhere.example", victim.server.server_name)},
        evil.name: {**evil.policy_signature(asked.content)[evil.name], "ed25519:evil": "A" * 86},
        "content": {"body": "another"},
        "unsigned": {"x": 1},
    }

    event_id = alice.say(room.room_id, "signed")
    evil.hears(event_id)

    event = room.events[event_id]
    own = victim.server.server_name
    assert event["content"] == {"msgtype": "m.text", "body": "signed"}
    assert set(event["signatures"]) == {own, evil.name}
    assert set(event["signatures"][evil.name]) == {POLICY_KEY_ID}
    assert len(event["signatures"][own]) == 1
    assert "ed25519:x" not in event["signatures"][own]
    verify_event_signature(event, room.version, evil.name, evil.policy_key.verify_key)
    check_goes_on(room, victim, alice)


def test_one_that_hangs_up_is_left_alone_for_a_while_and_other_rooms_do_not_notice(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)
    other = evil.join(alice.create_room(preset="public_chat"))
    evil.lies["sign"] = always(Stream([]))

    for number in range(10):
        check_refused(speak(alice, room, str(number)), "a server that hangs up")

    assert 0 < evil.times_asked("sign") <= 2  # of which one is over a connection that may have been an old one
    check_goes_on(other, victim, alice)
    # Whoever may do so takes the policy back, without asking it.
    alice.set_state(room.room_id, "m.room.policy", {})
    check_goes_on(room, victim, alice)


def test_while_it_keeps_somebody_waiting_everybody_else_goes_on(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)
    bob = new_user(victim.server.url, "bob")
    other = evil.join(bob.create_room(preset="public_chat"))
    asked, goes_on = Event(), Event()

    def late(_: Asked) -> Any:
        asked.set()
        goes_on.wait(PATIENCE_S)
        return Refusal(403, "M_FORBIDDEN")

    evil.lies["sign"] = late
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(speak, alice, room, "kept waiting")
        try:
            assert asked.wait(PATIENCE_S)
            said = bob.say(other.room_id, "beside it")
            evil.hears(said)
            alice.sync()
            alice.say(alice.create_room(), "in another room")
        finally:
            goes_on.set()
        check_refused(answer.result(PATIENCE_S), "refused late")

    check_goes_on(room, victim, alice)


@pytest.mark.large
def test_one_that_answers_slowly_or_without_end_is_waited_for_a_bounded_time(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)
    endless = without_end(HEAD + b'\r\n{"x":"', b"a" * 1_000)
    evil.lies["sign"] = always(Stream(endless))
    check_refused(speak(alice, room, "without end"), "without end")
    gone = Event()

    def silent(_: Asked) -> Any:
        gone.wait(PATIENCE_S)
        return {}

    evil.lies["sign"] = silent
    check_refused(speak(alice, room, "silence"), "silence")
    gone.set()

    alice.set_state(room.room_id, "m.room.policy", {})
    check_goes_on(room, victim, alice)


def test_a_room_that_changes_as_often_as_it_is_asked_is_given_up(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)

    def moves_on(asked: Asked) -> Any:
        said = room.say("meanwhile")
        signatures = {evil.name: said["signatures"][evil.name] | evil.policy_signature(said)[evil.name]}
        room.add({**said, "signatures": signatures})
        evil.send(room.events[room.id_of(said)])
        victim.settle()
        return evil.policy_signature(asked.content)

    evil.lies["sign"] = moves_on
    check_refused(speak(alice, room, "overtaken"), "overtaken")

    assert evil.times_asked("sign") == MOST_ASKED
    assert "overtaken" not in shown(alice, room)
    check_goes_on(room, victim, alice)


def test_a_policy_that_is_changed_while_it_is_asked_is_the_one_that_counts(
    victim: Victim, evil: HostileServer, third: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)
    third.join(room.room_id)
    evil.asked.clear()

    def names_another(asked: Asked) -> Any:
        alice.set_state(room.room_id, "m.room.policy", third.policy())
        return evil.policy_signature(asked.content)

    evil.lies["sign"] = names_another
    event_id = alice.say(room.room_id, "signed by the other one")
    evil.hears(event_id)

    assert evil.times_asked("sign") == 1
    assert third.times_asked("sign") >= 1
    signatures = room.events[event_id]["signatures"]
    assert set(signatures) == {victim.server.server_name, third.name}

    def takes_it_back(_: Asked) -> Any:
        alice.set_state(room.room_id, "m.room.policy", {})
        return Refusal(403, "M_FORBIDDEN")

    third.lies["sign"] = takes_it_back
    event_id = alice.say(room.room_id, "signed by nobody else")
    evil.hears(event_id)
    assert set(room.events[event_id]["signatures"]) == {victim.server.server_name}
    check_goes_on(room, victim, alice)


def test_a_room_that_names_a_server_which_is_not_in_it_asks_nobody(
    victim: Victim, evil: HostileServer, third: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice, third.policy())

    check_goes_on(room, victim, alice)

    assert third.times_asked("sign") == 0


def test_a_room_that_names_this_server_has_no_events_until_it_names_none(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice, evil.policy(victim.server.server_name))

    check_refused(speak(alice, room, "by this server"), "by this server")
    evil.send(room.say("from elsewhere"))
    victim.settle()

    assert not {"by this server", "from elsewhere"} & shown(alice, room)
    name_policy(alice, room, {})
    check_goes_on(room, victim, alice)


# --- What comes from elsewhere ---


def test_what_comes_without_its_right_signature_is_shown_to_nobody(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = guarded(evil, alice)
    lies = breadth.of(lies_of_policy_servers(evil, room), *EVERYDAY)
    answers = {name: lie for name, lie in lies.items() if name not in AWAY}

    evil.lies["sign"] = lambda asked: answers[asked.content["content"]["body"]](asked)
    evil.send(*[room.say(name) for name in answers])
    victim.settle()
    assert evil.times_asked("sign") == len(answers)
    assert not answers.keys() & shown(alice, room)
    check_goes_on(room, victim, alice)

    evil.asked.clear()
    for name in AWAY:
        evil.lies["sign"] = lies_of_policy_servers(evil, room)[name]
        evil.send(room.say(name))
        victim.settle()

    assert evil.times_asked("sign") <= 2 * len(AWAY)
    assert not set(AWAY) & shown(alice, room)


def test_nobody_signs_in_the_place_of_a_policy_server(
    victim: Victim, evil: HostileServer, third: HostileServer, alice: Client
) -> None:
    room = evil.join(open_room(alice, evil))
    third.join(room.room_id)
    name_policy(alice, room, third.policy())
    third.lies["sign"] = always(Refusal(403, "M_FORBIDDEN"))
    said = room.say("forged")
    by_evil = evil.policy_signature(said)[evil.name][POLICY_KEY_ID]
    forged = [
        _signed_besides(said, third.name, {POLICY_KEY_ID: by_evil}),
        _signed_besides(room.say("forged"), third.name, {POLICY_KEY_ID: "A" * 86, "ed25519:x": "A" * 86}),
        _signed_besides(room.say("forged"), evil.name, {POLICY_KEY_ID: by_evil}),
        _signed_besides(room.say("forged"), third.name, []),
    ]

    evil.send(*forged)
    victim.settle()

    assert "forged" not in shown(alice, room)
    third.lies.clear()
    check_goes_on(room, victim, alice)


def _signed_besides(pdu: Pdu, server: str, signatures: Any) -> Pdu:
    if isinstance(signatures, dict):
        signatures = {**pdu["signatures"].get(server, {}), **signatures}
    return {**pdu, "signatures": {**pdu["signatures"], server: signatures}}


def test_one_that_hangs_up_is_asked_a_few_times_for_very_many_events(
    victim: Victim, evil: HostileServer, third: HostileServer, alice: Client
) -> None:
    room = evil.join(open_room(alice, evil))
    third.join(room.room_id)
    name_policy(alice, room, third.policy())
    third.lies["sign"] = always(Stream([]))

    evil.send_all([room.say(f"number {number}") for number in range(150)])
    victim.settle()

    assert third.times_asked("sign") <= 2 * AT_ONCE * 3  # of each lot those that were under way, and once again
    assert not any(body.startswith("number") for body in shown(alice, room))


def test_who_joins_by_way_of_this_server_needs_its_signature(
    victim: Victim, evil: HostileServer, third: HostileServer, alice: Client
) -> None:
    room = guarded(evil, alice)
    lies = lies_of_policy_servers(evil, room)

    for name in ("that of another event", "one by another key", "a long one", "429", "403", "nothing"):
        evil.lies["sign"] = lies[name]
        status, made = third.ask("GET", "make_join", room.room_id, third.user, query={"ver": ["11"]})
        assert status == 200, name
        join = third.forge(room.version, {**made["event"], "content": {"membership": "join"}})
        path = ("send_join", room.room_id, room.id_of(join))
        status, told = third.ask("PUT", *path, content=join, version="v2")
        assert 400 <= status <= 504, name
        assert "state" not in told, name
        assert not victim.keeps(room.id_of(join)), name

    evil.lies.clear()
    assert third.join(room.room_id).state


def test_no_wrong_signature_comes_with_a_room_that_is_joined(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    def returned(signatures: Any) -> Lie:
        return lambda asked: {
            **asked.honest,
            "event": {**asked.content, "signatures": {**asked.content["signatures"], **signatures(asked)}},
        }

    own = victim.server.server_name
    told: tuple[Callable[[Asked], Any], ...] = (
        lambda _: {evil.name: {POLICY_KEY_ID: "A" * 86}},
        lambda _: {evil.name: []},
        lambda asked: {own: {}, **evil.policy_signature(asked.content, OTHER_KEY)},
        lambda asked: evil.policy_signature({**asked.content, "depth": 1}),
        lambda asked: evil.policy_signature(asked.content),
    )
    for signatures in told:
        room = evil.found()
        room.add(room.build("m.room.policy", evil.policy(), ""))
        evil.lies["send_join"] = returned(signatures)
        assert alice.send("POST", "join", room.room_id, query={"server_name": evil.name}, content=b"{}").status == 200
        join_id = room.state["m.room.member", alice.user_id]
        [join] = evil.ask("GET", "event", join_id)[1]["pdus"]
        assert set(join["signatures"]) <= {own, evil.name}
        assert len(join["signatures"][own]) == 1
        if evil.name in join["signatures"]:
            verify_event_signature(join, room.version, evil.name, evil.policy_key.verify_key)
        check_goes_on(room, victim, alice)

    assert evil.name in join["signatures"]  # the last of them, which is right
