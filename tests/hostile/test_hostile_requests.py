"""A server that sends whatever it likes: requests, transactions, events and EDUs. Each is refused or contained, and the
room goes on. How it answers when it is asked is in test_hostile_answers.py.
"""

import gzip
import json
from typing import Any

import pytest

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.errors import ProtocolError
from homeserver.core.event_format import PDU_LIMIT_BYTES
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey
from homeserver.services.events.judging import HEADS_LIMIT
from homeserver.services.federation.event_fetching import MOST_REQUESTS
from homeserver.storage.schema import TABLES
from tests.api.client import PASSWORD, Client, new_user
from tests.api.sliding import following
from tests.hostile.hostile_server import (
    HostileServer,
    Pdu,
    Refusal,
    Room,
    Victim,
    check_goes_on,
    check_lists_of_rooms,
    now_ms,
)
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

OTHER_KEY = SigningKey("other", b"\x13" * 32)


def rarely(version: str) -> Any:
    """A room version whose rules differ little from another's: tried in large runs alone."""
    return pytest.param(version, marks=pytest.mark.large)


def public_room(alice: Client, **wishes: Any) -> str:
    """A room that anybody may join."""
    return alice.create_room(**{"preset": "public_chat", **wishes})


def shared_power(alice: Client, evil: HostileServer) -> str:
    """A room in which Mallory may do what Alice may."""
    users = {alice.user_id: 100, evil.user: 100}
    return public_room(alice, room_version="11", power_level_content_override={"users": users})


def state_of(alice: Client, room: Room) -> set[str]:
    """The events of a room's state, as its members see it."""
    return {event["event_id"] for event in alice.get("rooms", room.room_id, "state")}


def check_none_is_kept(room: Room, victim: Victim, pdus: list[Pdu], allowed: int = 0) -> None:
    """Send events beside a good one, and fail unless that one alone is kept."""
    good = room.say("in good company")
    before = victim.rows("events", room_id=room.room_id)
    room.server.send_all([*pdus, good])
    victim.settle()
    room.add(good)
    assert victim.keeps(room.id_of(good))
    kept = [json.dumps(pdu)[:500] for pdu in pdus if _has_id(room, pdu) and victim.keeps(room.id_of(pdu))]
    assert kept == []
    assert victim.rows("events", room_id=room.room_id) == before + 1 + allowed


def _has_id(room: Room, pdu: Pdu) -> bool:
    try:
        return bool(room.id_of(pdu))
    except ProtocolError:
        return False


# --- Requests ---


def test_a_request_that_is_not_rightly_signed_is_refused_and_changes_nothing(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice))
    message = room.say("forged")
    wrong: list[dict[str, Any]] = [
        {"key": OTHER_KEY},
        {"key": SigningKey("evil", b"\x13" * 32)},
        {"destination": "elsewhere.example"},
        {"destination": evil.name},
        {"origin": victim.server.server_name},
        {"signed_body": b"{}"},
        {"signed_body": b""},
    ]
    before = victim.rows("events")

    for how in wrong:
        status, answer = evil.transaction(message, **how)
        assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED"), how

    assert victim.rows("events") == before
    assert not victim.keeps(room.id_of(message))
    check_goes_on(room, victim, alice)


def test_a_server_without_keys_is_asked_for_them_a_few_times_and_no_more(victim: Victim, evil: HostileServer) -> None:
    evil.lies["key/server"] = lambda _: Refusal(500, "M_UNKNOWN")

    for number in range(40):
        assert evil.ask("GET", "publicRooms", key=SigningKey(f"k{number}", b"\x13" * 32))[0] == 401

    assert 0 < evil.times_asked("key/server") <= 12


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_until_ts": 1},
        {"valid_until_ts": -(2**70)},
        {"valid_until_ts": 1.5e300},
        {"server_name": "elsewhere.example"},
        {"verify_keys": {"ed25519:evil": {"key": "AAAA"}}},
        {"verify_keys": {f"ed25519:{number}": {"key": "A" * 43} for number in range(5_000)}},
        {"verify_keys": []},
        {"old_verify_keys": {"ed25519:evil": {"key": "A" * 43, "expired_ts": 1}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_document_of_keys_that_is_wrong_lets_nobody_in(
    victim: Victim, evil: HostileServer, changes: dict[str, Any]
) -> None:
    evil.lies["key/server"] = lambda _: evil.key_document(**changes)

    assert evil.ask("GET", "publicRooms")[0] == 401

    assert victim.rows("server_keys", server_name=evil.name) <= 1


def test_a_key_that_was_given_up_signs_nothing_any_more(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    old, evil.key = evil.key, SigningKey("new", b"\x31" * 32)
    given_up = {old.key_id: {"key": old.verify_key.to_base64(), "expired_ts": now_ms() - 60_000}}
    evil.lies["key/server"] = lambda _: evil.key_document(old_verify_keys=given_up)
    assert evil.ask("GET", "publicRooms")[0] == 200

    assert evil.ask("GET", "publicRooms", key=old)[0] == 401
    check_none_is_kept(room, victim, [room.say("late", key=old)])

    evil.lies.clear()
    check_goes_on(room, victim, alice)


def test_bodies_that_are_bombs_are_refused(victim: Victim, evil: HostileServer) -> None:
    evil.send()
    nested = b'{"pdus":' + b"[" * 100_000 + b"]" * 100_000 + b',"edus":[]}'
    packed = gzip.compress(b'{"pdus":[],"edus":[],"x":"' + b"a" * 50_000_000 + b'"}')
    many = json.dumps({"pdus": [{}] * 300_000, "edus": []}).encode()

    for raw, headers in ((nested, {}), (packed, {"Content-Encoding": "gzip"}), (many, {}), (b"{", {}), (b"[NaN]", {})):
        status, answer = evil.ask("PUT", "send", "bomb", raw=raw, signed_body=b"{}", headers=headers)
        assert 400 <= status < 500, (raw[:20], answer)
        assert answer["errcode"].startswith("M_")

    assert evil.send() == {}


# --- Events ---


@pytest.mark.parametrize("version", ["1", rarely("5"), rarely("10"), "12"])
def test_events_that_their_server_has_not_signed_are_not_kept(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    message = room.say()
    tampered = {**message, "depth": message["depth"] + 1}

    check_none_is_kept(
        room,
        victim,
        [
            room.say("unsigned", signs=False),
            room.say("another key", key=OTHER_KEY),
            room.say("the same name", key=SigningKey("evil", b"\x13" * 32)),
            room.say("another server", signed_by="elsewhere.example"),
            room.say("as Alice", sender=alice.user_id),
            room.say("as Alice", sender=alice.user_id, signed_by=victim.server.server_name),
            room.say("as nobody", sender="@x:elsewhere.example"),
            {**tampered, "signatures": message["signatures"]},
            {**message, "signatures": {evil.name: {"ed25519:evil": "AAAA"}}},
            {**message, "signatures": {evil.name: {}}},
            {**message, "signatures": []},
            {**message, "signatures": {evil.name: {"rsa:evil": "A" * 86}}},
        ],
    )
    check_goes_on(room, victim, alice)


def test_an_event_with_other_content_than_was_hashed_is_kept_without_it(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice))
    message = room.say("signed")
    room.add(message)

    evil.send({**message, "content": {"msgtype": "m.text", "body": "put in its place"}})
    victim.settle()

    shown = alice.get("rooms", room.room_id, "event", room.id_of(message))
    assert shown["content"] == {}
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", ["2", rarely("6"), "12"])
def test_events_that_no_room_can_have_are_not_kept(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    rules = ROOM_VERSIONS[version]
    whole = len(encode_lenient(room.say("")))
    unknown = room.references(["$" + "A" * 43] if rules.event_ids_are_hashes else ["$x:elsewhere.example"])
    bad: list[Pdu] = [
        room.say("x" * (PDU_LIMIT_BYTES + 1 - whole)),  # one byte too many
        room.say("x" * 300_000),
        room.build("m.x" * 100, {}),
        room.build("m.x", {}, "k" * 256),
        room.say(prev_events=unknown * 21),
        room.say(auth_events=unknown * 11),
        room.say(prev_events={}),
        room.say(prev_events=[1, None, {}]),
        room.say(prev_events=[["$a", {}, {}]]),
        room.say(auth_events="$a"),
        room.say(depth=-1),
        room.say(depth=2**63),
        room.say(depth=1.5),
        room.say(depth="1"),
        room.say(origin_server_ts=2**70),
        room.say(origin_server_ts=None),
        room.build("m.x", [1]),
        room.build("m.x", None),
        room.say(type=7),
        room.say(sender="mallory"),
        room.say(state_key=1),
        {**room.say(), "hashes": {}},
        {**room.say(), "hashes": {"sha256": 1}},
    ]
    if rules.strict_canonical_json:
        bad += [room.build("m.x", {"number": number}) for number in (1.5, 2**53, -(2**53), 1e300, 2**200)]
    else:
        ids = (f"$x:{victim.server.server_name}", "$" + "x" * 300 + f":{evil.name}", 7, None)
        bad += [room.say(event_id=event_id) for event_id in ids]
    assert len(encode_lenient(bad[0])) == PDU_LIMIT_BYTES + 1

    check_none_is_kept(room, victim, bad)

    assert evil.send(room.say("x" * 100_000)) != {}
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", [rarely("3"), rarely("11"), "12"])
def test_events_of_other_rooms_and_for_other_rooms_are_not_kept(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    own = evil.found(ROOM_VERSIONS[version])
    other = evil.join(public_room(alice, room_version=version))
    closed = alice.create_room(room_version=version)

    check_none_is_kept(
        room,
        victim,
        [
            room.say("for a room that is not here", room_id=own.room_id),
            room.say("for a room that she is not in", room_id=closed),
            room.say("after events of another room", after=other.heads),
            room.say("after events of another room too", after=[*room.heads, *other.heads]),
            own.say("by the rules of her own room", room_id=room.room_id),
            room.say("of no room", room_id="!"),
            room.say("of no room", room_id=["!x"]),
        ],
    )
    assert victim.rows("rooms", room_id=own.room_id) == 0
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", ["1", rarely("10"), "12"])
def test_what_the_rules_refuse_is_shown_to_nobody_and_given_to_nobody(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    before = state_of(alice, room)
    takeover = room.build("m.room.power_levels", {"users": {evil.user: 100}}, "")
    banned = room.member(alice.user_id, "ban", sender=evil.user)
    let_in = room.member(evil.other, "join", sender=evil.user)
    made = room.build("m.room.create", {"room_version": version, "creator": evil.user}, "", auth=(), after=())
    forged = [takeover, banned, let_in, room.say("by the new power", after=[room.id_of(takeover)])]

    evil.send(*forged, *([] if "room_id" not in made else [made]))
    victim.settle()

    assert state_of(alice, room) == before
    shown = {event["event_id"] for event in alice.messages(room.room_id, limit=50)["chunk"]}
    for pdu in (takeover, banned, let_in):
        event_id = room.id_of(pdu)
        assert event_id not in shown
        alice.get("rooms", room.room_id, "event", event_id, status=404)
        assert evil.ask("GET", "event", event_id)[0] == 404
    check_goes_on(room, victim, alice)


def test_a_transaction_counts_once_however_often_it_is_sent(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    first, second = room.add(room.say("first")), room.say("second")

    answers = [evil.send(first, txn_id="again") for _ in range(20)]
    other = evil.send(second, txn_id="again")
    victim.settle()

    assert answers == [{room.id_of(first): {}}] * 20
    assert other == answers[0]
    assert victim.keeps(room.id_of(first))
    assert not victim.keeps(room.id_of(second))
    assert victim.rows("inbound_transactions", origin=evil.name) == 1
    assert victim.rows("events", event_id=room.id_of(first)) == 1
    check_goes_on(room, victim, alice)


def test_a_transaction_has_no_more_than_it_may(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    messages = [room.say(str(number)) for number in range(51)]

    assert evil.transaction(*messages)[0] == 400
    assert evil.transaction(edus=[{"edu_type": "m.x", "content": {}}] * 101)[0] == 400

    assert not any(victim.keeps(room.id_of(message)) for message in messages)
    check_goes_on(room, victim, alice)


def test_a_request_is_not_good_for_another_room_or_another_event(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice))
    other = public_room(alice)
    before = victim.rows("events")
    join = room.member(evil.other, "join")
    leave = room.member(evil.user, "leave")
    knock = room.member(evil.other, "knock")
    invite = room.member(alice.user_id, "invite", sender=evil.user)
    content = {"event": invite, "room_version": "11", "invite_room_state": []}

    for operation, pdu, body in (
        ("send_join", join, join),
        ("send_leave", leave, leave),
        ("invite", invite, content),
    ):
        event_id = room.id_of(pdu)
        for path in ((other, event_id), (room.room_id, "$" + "A" * 43)):
            status, answer = evil.ask("PUT", operation, *path, content=body, version="v2")
            assert status in (400, 403), (operation, answer)
            assert "signatures" not in json.dumps(answer)
    assert evil.ask("PUT", "send_knock", other, room.id_of(knock), content=knock)[0] in (400, 403)
    # One operation is not good for what another one is for.
    assert evil.ask("PUT", "send_leave", room.room_id, room.id_of(join), content=join, version="v2")[0] == 400
    assert evil.ask("PUT", "send_join", room.room_id, room.id_of(leave), content=leave, version="v2")[0] == 400

    assert victim.rows("events") == before
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", ["1", rarely("10"), "12"])
def test_the_invite_endpoint_signs_invites_of_its_users_and_nothing_else(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    mine = evil.join(public_room(alice, room_version=version))
    own = evil.found(ROOM_VERSIONS[version])
    everything: list[Pdu] = []
    for room in (mine, own):
        everything += [
            room.build("m.room.power_levels", {"users": {evil.user: 100}}, "", sender=alice.user_id),
            room.say("in the name of Alice", sender=alice.user_id),
            room.member(alice.user_id, "join"),
            room.member(alice.user_id, "invite"),
            room.member(evil.user, "invite", sender=alice.user_id),
            room.member(alice.user_id, "ban", sender=evil.user),
            room.build("m.room.member", {"membership": "invite"}, alice.user_id, type="m.room.create"),
            room.build("m.room.member", {"membership": "invite"}, alice.user_id, signs=False),
            room.build("m.room.member", {"membership": "invite"}, alice.user_id, key=OTHER_KEY),
            room.build("m.room.member", {"membership": ["invite"]}, alice.user_id),
        ]
    stripped = [own.events[one] for one in own.state.values()]
    before = victim.rows("remote_memberships")

    for pdu in everything:
        content = {"event": pdu, "room_version": version, "invite_room_state": stripped}
        path = (pdu.get("room_id", own.room_id), own.id_of(pdu))
        status, answer = evil.ask("PUT", "invite", *path, content=content, version="v2")
        assert 400 <= status < 500, pdu
        assert "signatures" not in json.dumps(answer)

    assert victim.rows("remote_memberships") == before
    assert alice.sync().get("rooms", {}).get("invite", {}) == {}
    good = own.member(alice.user_id, "invite", sender=evil.user)
    content = {"event": good, "room_version": version, "invite_room_state": stripped}
    status, answer = evil.ask("PUT", "invite", own.room_id, own.id_of(good), content=content, version="v2")
    assert status == 200
    assert set(answer["event"]["signatures"]) == {evil.name, victim.server.server_name}
    signed = {name: value for name, value in answer["event"].items() if name not in ("signatures", "unsigned")}
    assert signed == {name: value for name, value in good.items() if name != "signatures"}


@pytest.mark.parametrize("version", [rarely("6"), "11"])
def test_an_invite_that_shows_too_much_breaks_no_sync(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    own = evil.found(ROOM_VERSIONS[version])
    invite = own.member(alice.user_id, "invite", sender=evil.user)
    odd: list[Any] = [
        None,
        1,
        [],
        {},
        {"type": 1},
        {"type": "m.room.name", "state_key": None, "sender": 1, "content": 3},
    ]
    large = [
        {"type": "m.room.name", "state_key": str(number), "sender": evil.user, "content": {"name": "x" * 9_000}}
        for number in range(100)
    ]
    deep: Any = {}
    for _ in range(150):
        deep = {"x": deep}
    nested = [{"type": "m.room.name", "state_key": "", "sender": evil.user, "content": deep}]

    for state in (odd, large, nested, odd * 500, {"a": 1}, "x"):
        content = {"event": invite, "room_version": version, "invite_room_state": state}
        evil.ask("PUT", "invite", own.room_id, own.id_of(invite), content=content, version="v2")
        shown = alice.sync().get("rooms", {}).get("invite", {})
        assert len(json.dumps(shown)) < 300_000
        for events in shown.values():
            assert all(isinstance(event["content"], dict) for event in events["invite_state"]["events"])
        check_lists_of_rooms(alice, own.room_id)

    assert victim.rows("remote_memberships", user_id=alice.user_id) <= 1
    other = evil.join(public_room(alice))
    check_goes_on(other, victim, alice)


# --- The graph ---


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.large)])
def test_thousands_of_branches_leave_a_room_that_can_be_spoken_in(
    victim: Victim, evil: HostileServer, alice: Client, count: int
) -> None:
    room = evil.join(public_room(alice))
    root = list(room.heads)
    branches = [room.say(f"branch {number}", after=root) for number in range(count)]

    evil.send_all(branches)
    victim.settle()

    said = alice.say(room.room_id, "on top of all that")
    evil.hears(said)
    assert len(room.events[said]["prev_events"]) <= HEADS_LIMIT
    # The branches, the joins of heads by this server, and what is above.
    kept = victim.rows("events", room_id=room.room_id)
    assert kept <= len(branches) + len(branches) // 5 + 50
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.large)])
def test_events_that_name_what_nobody_has_cost_a_bounded_number_of_requests(
    victim: Victim, evil: HostileServer, alice: Client, count: int
) -> None:
    room = evil.join(public_room(alice))
    bombs = []
    for number in range(count):
        unknown = ["$" + f"{number * 20 + each:043d}" for each in range(20)]
        bombs.append(room.say(f"bomb {number}", after=unknown))
    before = victim.counts()["columba_federation_missing", 'kind="attempts"']

    evil.send_all(bombs)
    victim.settle()

    attempts = victim.counts()["columba_federation_missing", 'kind="attempts"'] - before
    asked = evil.times_asked("get_missing_events", "state_ids", "state", "event", "event_auth")
    assert 0 < asked <= attempts * MOST_REQUESTS
    assert asked <= 2 * MOST_REQUESTS
    assert not any(victim.keeps(room.id_of(bomb)) for bomb in bombs)
    check_goes_on(room, victim, alice)


def test_events_that_name_each_other_are_never_judged_and_the_room_goes_on(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice, room_version="2"))
    ring = [f"$ring{number}:{evil.name}" for number in range(5)]
    circle = [room.say(name, event_id=name, after=[ring[number - 1], *room.heads]) for number, name in enumerate(ring)]
    itself = room.say("itself", event_id=f"$itself:{evil.name}", after=[f"$itself:{evil.name}"])
    by_itself = room.say("by itself", event_id=f"$own:{evil.name}", auth=[f"$own:{evil.name}"])

    evil.send(*circle, itself, by_itself)
    victim.settle()

    for pdu in (*circle, itself, by_itself):
        alice.get("rooms", room.room_id, "event", pdu["event_id"], status=404)
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("version", ["2", rarely("11")])
def test_an_event_of_the_greatest_depth_ends_no_room(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    deepest = 2**53 - 1 if ROOM_VERSIONS[version].strict_canonical_json else 2**63 - 1

    evil.send(room.add(room.say("deep", depth=deepest)))
    victim.settle()

    said = alice.say(room.room_id, "below is nothing")
    evil.hears(said)
    assert room.events[said]["depth"] == deepest
    assert alice.messages(room.room_id, limit=2)["chunk"][1]["content"]["body"] == "deep"


def test_redactions_that_name_each_other_end(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice, room_version="2"))
    names = [f"$redaction{number}:{evil.name}" for number in range(3)]
    circle = [
        room.build("m.room.redaction", {}, event_id=name, redacts=names[number - 1])
        for number, name in enumerate(names)
    ]

    evil.send(*circle)
    victim.settle()

    assert {name for name in names if victim.keeps(name)} == set(names)
    alice.messages(room.room_id, limit=10)
    for pdu in circle:
        room.learn(pdu)
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("kind", ["m.thread", "m.replace", rarely("m.annotation"), rarely("m.reference")])
def test_events_that_relate_to_each_other_end(victim: Victim, evil: HostileServer, alice: Client, kind: str) -> None:
    room = evil.join(public_room(alice, room_version="2"))
    names = [f"$related{number}.{kind}:{evil.name}" for number in range(5)]
    circle = [
        room.build("m.room.message", related(kind, names[number - 1]), event_id=name)
        for number, name in enumerate(names)
    ]
    itself = f"$itself.{kind}:{evil.name}"
    alone = room.build("m.room.message", related(kind, itself), event_id=itself)

    evil.send(*circle, alone)
    victim.settle()

    for name in (*names, itself):
        assert victim.keeps(name)
        for path in (("relations", name), ("relations", name, kind), ("threads",)):
            query = {"recurse": True, "limit": 50} if path[0] == "relations" else {}
            told = alice.get("/_matrix/client/v1", "rooms", room.room_id, *path, query=query)
            assert len(told["chunk"]) <= len(names) + 1
        assert alice.get("rooms", room.room_id, "event", name)["event_id"] == name
        alice.get("rooms", room.room_id, "context", name)
    alice.messages(room.room_id, limit=20)
    alice.sync(filter={"room": {"timeline": {"limit": 5}}})
    following(alice, kind).ask()
    for pdu in (*circle, alone):
        room.learn(pdu)
    check_goes_on(room, victim, alice)


def related(kind: str, event_id: str) -> dict[str, Any]:
    """The content of a message that relates to an event in every way that a kind of relation knows."""
    relation = {"rel_type": kind, "event_id": event_id, "key": "k", "m.in_reply_to": {"event_id": event_id}}
    said = {"msgtype": "m.text", "body": "b"}
    return {**said, "m.relates_to": relation, "m.new_content": {**said, "m.relates_to": relation}}


def test_a_list_of_servers_full_of_wildcards_is_asked_without_end_to_the_room(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(shared_power(alice, evil))
    patterns = ["*" + "?*" * 100 + f"{number}.x" for number in range(250)]
    content = {"allow": ["*"], "deny": [*patterns, 1, None, {}, "[", "(((((" * 50]}

    evil.send(room.add(room.build("m.room.server_acl", content, "")))
    victim.settle()

    check_goes_on(room, victim, alice)


# --- EDUs ---


def test_nobody_speaks_in_the_name_of_users_of_others(victim: Victim, evil: HostileServer, alice: Client) -> None:
    bob = new_user(victim.server.url, "bob")
    room_id = alice.create_room_with(bob, preset="public_chat")
    room = evil.join(room_id)
    said = alice.say(room_id, "to be read")
    since = alice.token()
    before = {table: victim.rows(table) for table in ("receipts", "to_device_messages", "remote_device_lists")}
    receipt = {"data": {"ts": 1}, "event_ids": [said]}

    for user in (bob.user_id, alice.user_id, "@x:elsewhere.example", "bob", "", None, 7):
        evil.send(
            edus=[
                {"edu_type": "m.typing", "content": {"room_id": room_id, "user_id": user, "typing": True}},
                {"edu_type": "m.receipt", "content": {room_id: {"m.read": {str(user): receipt}}}},
                {"edu_type": "m.presence", "content": {"push": [{"user_id": user, "presence": "online"}]}},
                {"edu_type": "m.device_list_update", "content": {"user_id": user, "device_id": "X", "stream_id": 1}},
                {"edu_type": "m.signing_key_update", "content": {"user_id": user}},
                {
                    "edu_type": "m.direct_to_device",
                    "content": {
                        "sender": user,
                        "type": "m.room_key",
                        "message_id": f"m{user}",
                        "messages": {alice.user_id: {"*": {"a": 1}}},
                    },
                },
            ]
        )

    news = alice.sync(since)
    assert news.get("rooms", {}) == {}
    assert news.get("to_device", {}).get("events", []) == []
    assert news.get("presence", {}).get("events", []) == []
    assert news.get("device_lists", {}).get("changed", []) == []
    assert {table: victim.rows(table) for table in before} == before
    evil.edu("m.typing", {"room_id": room_id, "user_id": evil.user, "typing": True})
    [typing] = alice.sync(since)["rooms"]["join"][room_id]["ephemeral"]["events"]
    assert typing["content"] == {"user_ids": [evil.user]}
    check_goes_on(room, victim, alice)


def test_a_server_says_nothing_about_rooms_that_it_is_not_in(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room_id = public_room(alice)
    said = alice.say(room_id, "among ourselves")
    since = alice.token()
    for room in (room_id, "!nowhere:elsewhere.example"):
        receipt = {"data": {"ts": 1}, "event_ids": [said]}
        evil.edu("m.typing", {"room_id": room, "user_id": evil.user, "typing": True})
        evil.edu("m.receipt", {room: {"m.read": {evil.user: receipt}}})
    evil.edu("m.device_list_update", {"user_id": evil.user, "device_id": "X", "stream_id": 1, "prev_id": []})

    assert alice.sync(since).get("rooms", {}) == {}
    assert victim.rows("receipts", user_id=evil.user) == 0
    assert victim.rows("remote_device_lists", user_id=evil.user) == 0
    assert evil.times_asked("user/devices") == 0


def test_messages_for_devices_reach_those_of_users_here_and_nobody_else(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    gone = new_user(victim.server.url, "gone")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": gone.user_id}}
    gone.post("account", "deactivate", body={"auth": {**auth, "password": PASSWORD}})
    before = victim.rows("to_device_messages"), victim.rows("to_device_outbox")
    nobodies = {
        gone.user_id: {"*": {"a": 1}},
        f"@nobody:{victim.server.server_name}": {"*": {"a": 1}},
        "@x:elsewhere.example": {"*": {"a": 1}},
        evil.user: {"*": {"a": 1}},
        alice.user_id: {"NO_DEVICE": {"a": 1}},
    }
    wrong: list[Any] = [nobodies, {}, [], None, {alice.user_id: []}, {alice.user_id: {"*": 1}}]
    for number, messages in enumerate(wrong):
        said = {"sender": evil.user, "type": "m.x", "message_id": str(number), "messages": messages}
        evil.edu("m.direct_to_device", said)
    for odd in ({"message_id": "x" * 1_000}, {"type": "x" * 1_000}, {"type": None}, {"message_id": None}):
        evil.edu("m.direct_to_device", {"sender": evil.user, "type": "m.x", "message_id": "m", "messages": {}} | odd)

    assert (victim.rows("to_device_messages"), victim.rows("to_device_outbox")) == before
    evil.edu(
        "m.direct_to_device",
        {"sender": evil.user, "type": "m.x", "message_id": "good", "messages": {alice.user_id: {"*": {"a": 1}}}},
    )
    assert [event["content"] for event in alice.sync()["to_device"]["events"]] == [{"a": 1}]


def test_a_message_to_a_device_that_no_strict_server_can_read_keeps_no_other_from_going_out(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice))
    odd = b'{"messages": {"%s": {"*": {"n": %s}}}}'
    path = ("sendToDevice", "org.example.odd")

    statuses = set()
    for number in (b"1.5", b"-0.0", b"1e300", b"9007199254740993", b"1" + b"0" * 400, b'"\\ud800"', b'"\\u0000"'):
        content = odd % (evil.user.encode(), number)
        statuses.add(alice.send("PUT", *path, alice.new_transaction(), content=content).status)
    alice.put(*path, alice.new_transaction(), body={"messages": {evil.user: {"*": {"n": "plain"}}}})

    assert statuses <= {200, 400}
    evil.wait_for(lambda: '"plain"' in json.dumps(evil.edus))
    check_goes_on(room, victim, alice)


def test_a_user_has_no_more_receipts_and_threads_than_may_be(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(public_room(alice))
    before = victim.rows("receipts")

    for start in range(20):
        for number in range(100):
            thread = "$" + f"{start * 100 + number:043d}"
            receipt = {"data": {"ts": number, "thread_id": thread}, "event_ids": [thread]}
            evil.edu("m.receipt", {room.room_id: {"m.read": {evil.user: receipt}}})
            if start:
                break
    strangers = {f"@x{number}:{evil.name}": {"data": {"ts": 1}, "event_ids": ["$x"]} for number in range(3_000)}
    evil.edu("m.receipt", {room.room_id: {"m.read": strangers}})

    assert victim.rows("receipts") - before <= 50
    check_goes_on(room, victim, alice)


# --- Servers that a room shuts out ---


def test_a_server_that_a_room_shuts_out_takes_no_part_in_it(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    said = alice.say(room.room_id, "to be read")
    alice.set_state(room.room_id, "m.room.server_acl", {"allow": ["*"], "deny": ["127.0.0.66"]})
    before, since = victim.rows("events"), alice.token()
    message, join = room.say("let me in"), room.member(evil.other, "join")
    leave, invite = room.member(evil.user, "leave"), room.member(alice.user_id, "invite", sender=evil.user)
    between = {"earliest_events": [], "latest_events": [said], "limit": 10}
    signed = {"mxid": evil.other, "token": "t", "signatures": {}}
    third = {"membership": "invite", "third_party_invite": {"display_name": "x", "signed": signed}}
    exchanged = {"type": "m.room.member", "room_id": room.room_id, "sender": alice.user_id, "state_key": evil.other}
    room_id = room.room_id
    requests: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("GET", ("make_join", room_id, evil.other), {"query": {"ver": ["11", "12"]}}),
        ("GET", ("make_knock", room_id, evil.other), {"query": {"ver": ["11", "12"]}}),
        ("GET", ("make_leave", room_id, evil.user), {}),
        ("PUT", ("send_join", room_id, room.id_of(join)), {"content": join, "version": "v2"}),
        ("PUT", ("send_knock", room_id, room.id_of(join)), {"content": join}),
        ("PUT", ("send_leave", room_id, room.id_of(leave)), {"content": leave, "version": "v2"}),
        (
            "PUT",
            ("invite", room_id, room.id_of(invite)),
            {"content": {"event": invite, "room_version": "12", "invite_room_state": []}, "version": "v2"},
        ),
        ("PUT", ("exchange_third_party_invite", room_id), {"content": {**exchanged, "content": third}}),
        ("GET", ("backfill", room_id), {"query": {"v": said, "limit": 10}}),
        ("POST", ("get_missing_events", room_id), {"content": between}),
        ("GET", ("event", said), {}),
        ("GET", ("event_auth", room_id, said), {}),
        ("GET", ("state", room_id), {"query": {"event_id": said}}),
        ("GET", ("state_ids", room_id), {"query": {"event_id": said}}),
        ("GET", ("timestamp_to_event", room_id), {"query": {"ts": 0, "dir": "f"}}),
    ]

    for method, path, options in requests:
        status, answer = evil.ask(method, *path, **options)
        assert (status, answer["errcode"]) == (403, "M_FORBIDDEN"), path
    [result] = evil.send(message).values()
    assert "error" in result
    receipt = {"data": {"ts": 1}, "event_ids": [said]}
    evil.edu("m.typing", {"room_id": room_id, "user_id": evil.user, "typing": True})
    evil.edu("m.receipt", {room_id: {"m.read": {evil.user: receipt}}})
    victim.settle()

    assert victim.rows("events") == before
    assert alice.sync(since).get("rooms", {}) == {}
    alice.set_state(room_id, "m.room.server_acl", {"allow": ["*"]})
    check_goes_on(room, victim, alice)


# --- Questions ---


def test_questions_without_bounds_get_bounded_answers(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    evil.send_all(room.chain(150))
    victim.settle()
    head, many = room.heads[-1], ["$" + f"{number:043d}" for number in range(3_000)]
    room_id = room.room_id

    status, told = evil.ask("GET", "backfill", room_id, query={"v": head, "limit": 10**15})
    assert status == 200
    assert len(told["pdus"]) <= 100
    for limit in (10**15, -1):
        between = {"earliest_events": [], "latest_events": [head], "limit": limit, "min_depth": -(10**15)}
        status, told = evil.ask("POST", "get_missing_events", room_id, content=between)
        assert status in (200, 400)
        assert len(told.get("events", [])) <= 50
    for method, path, options in (
        ("GET", ("backfill", room_id), {"query": {"v": many[:700], "limit": 10}}),
        ("GET", ("backfill", room_id), {"query": {"v": head, "limit": "x"}}),
        ("POST", ("get_missing_events", room_id), {"content": {"earliest_events": many, "latest_events": many}}),
        ("POST", ("get_missing_events", room_id), {"content": {"earliest_events": {}, "latest_events": 1}}),
        ("GET", ("timestamp_to_event", room_id), {"query": {"ts": 10**30, "dir": "f"}}),
        ("GET", ("state", room_id), {"query": {"event_id": "x" * 5_000}}),
        ("POST", ("user", "keys", "query"), {"content": {"device_keys": {f"@x{n}:y": [] for n in range(20_000)}}}),
        ("POST", ("user", "keys", "claim"), {"content": {"one_time_keys": {f"@x{n}:y": {} for n in range(20_000)}}}),
        ("GET", ("publicRooms",), {"query": {"limit": 10**15}}),
    ):
        status, told = evil.ask(method, *path, **options)
        assert status < 500, path
        assert len(json.dumps(told)) < 1_000_000, path

    check_goes_on(room, victim, alice)


def test_devices_and_keys_of_users_of_others_are_told_to_nobody(
    victim: Victim, evil: HostileServer, authority: CertificateAuthority, alice: Client
) -> None:
    third = HostileServer(authority, victim.server, "127.0.0.67")
    try:
        room_id = public_room(alice)
        third.join(room_id)
        keys = {"curve25519:D": "A" * 43, "ed25519:D": "B" * 43}
        device = {"user_id": third.user, "device_id": "D", "algorithms": ["m.olm.v1"], "keys": keys, "signatures": {}}
        third.lies["user/keys/query"] = lambda _: {"device_keys": {third.user: {"D": device}}}
        known = alice.post("keys", "query", body={"device_keys": {third.user: []}})
        assert known["device_keys"][third.user]

        status, told = evil.ask("GET", "user", "devices", third.user)
        unknown = evil.ask("GET", "user", "devices", f"@nobody:{third.name}")
        _, queried = evil.ask("POST", "user", "keys", "query", content={"device_keys": {third.user: []}})

        assert (status, told["errcode"]) == (404, "M_NOT_FOUND")
        assert unknown == (status, told)
        assert queried["device_keys"] == {}
    finally:
        third.close()


@pytest.mark.parametrize("version", [rarely("6"), rarely("11"), "12"])
def test_auth_events_that_are_no_state_or_not_the_right_ones_authorise_nothing(
    victim: Victim, evil: HostileServer, alice: Client, version: str
) -> None:
    room = evil.join(public_room(alice, room_version=version))
    message = room.add(room.say("no state"))
    evil.send(message)
    own = room.named(room.say(), "auth_events")
    wrong = [
        room.say("by a message", auth=[*own, room.id_of(message)]),
        room.say("by the name", auth=[*own, room.state["m.room.history_visibility", ""]]),
        room.say("by nothing", auth=[]),
        room.say("by one twice", auth=[*own, own[0]]),
        room.say("by the power levels alone", auth=[room.state["m.room.power_levels", ""]]),
    ]

    evil.send(*wrong)
    victim.settle()

    shown = {event["event_id"] for event in alice.messages(room.room_id, limit=50)["chunk"]}
    assert not shown & {room.id_of(pdu) for pdu in wrong}
    check_goes_on(room, victim, alice)


def test_a_long_auth_chain_costs_rows_by_its_length(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(shared_power(alice, evil))
    tables = [table.name for table in TABLES if table.name not in ("presence", "log")]
    before = {table: victim.rows(table) for table in tables}
    length = 60
    users = alice.state(room.room_id, "m.room.power_levels")["users"]
    chain = [
        room.add(room.build("m.room.power_levels", {"users": users, "kick": number % 50}, ""))
        for number in range(length)
    ]

    evil.send_all(chain)
    victim.settle()

    grown = {table: victim.rows(table) - before[table] for table in tables}
    assert grown["events"] == length
    assert {table: rows for table, rows in grown.items() if rows > 12 * length} == {}
    check_goes_on(room, victim, alice)


# --- What goes out because of it ---


def test_a_room_that_says_very_much_of_itself_keeps_no_server_from_being_invited(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room_id = public_room(alice)
    for event_type, content in (
        ("m.room.name", {"name": "x" * 60_000}),
        ("m.room.topic", {"topic": "x" * 60_000}),
        ("m.room.avatar", {"url": "mxc://x/" + "x" * 60_000}),
        ("m.room.encryption", {"algorithm": "x" * 60_000}),
    ):
        alice.set_state(room_id, event_type, content)

    alice.post("rooms", room_id, "invite", body={"user_id": evil.user})

    [invited] = [one for one in evil.asked if one.operation == "invite"]
    assert len(json.dumps(invited.content)) < 1_000_000
    other = evil.join(public_room(alice))
    check_goes_on(other, victim, alice)


def test_events_that_one_server_cannot_bear_go_on_to_it(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(public_room(alice))
    evil.lies["send"] = lambda _: Refusal(500, "M_UNKNOWN")
    first = alice.say(room.room_id, "which it will not have")
    evil.wait_for(lambda: evil.times_asked("send") >= 2)

    evil.lies["send"] = lambda asked: {"pdus": [asked.content["pdus"]]}
    second = alice.say(room.room_id, "after it")
    evil.lies.clear()

    evil.wait_for(lambda: second in room.events or "after it" in str(evil.asked[-1].content))
    assert first != second
    check_goes_on(room, victim, alice)
