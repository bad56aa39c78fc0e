"""A server that answers whatever it likes when it is asked: templates, rooms, histories, states, devices, profiles.

What it lies about is refused or contained, nothing is signed for it but what this server meant to say, and it is asked
a bounded number of times and read to a bounded length. What it sends by itself is in test_hostile_requests.py.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from homeserver.core.remote_keys import MOST_DEVICES
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.core.signing import SigningKey
from homeserver.services.federation.backfill import MOST_REQUESTS as MOST_OF_ATTEMPT
from homeserver.services.federation.event_fetching import MOST_REQUESTS
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
    check_lists_of_rooms,
    packed,
    without_end,
)
from tests.tls import CertificateAuthority

# Any: JSON, throughout.

OTHER_KEY = SigningKey("other", b"\x13" * 32)
NAMESAKE = SigningKey("evil", b"\x13" * 32)  # of the key that the hostile server publishes
FIELDS = {
    "auth_events",
    "content",
    "depth",
    "hashes",
    "origin_server_ts",
    "prev_events",
    "room_id",
    "sender",
    "signatures",
    "state_key",
    "type",
}


def come(client: Client, operation: str, room: Room) -> Response:
    """Join or knock by way of the hostile server."""
    return client.send("POST", operation, room.room_id, query={"server_name": room.server.name}, content=b"{}")


def is_in(client: Client, room: Room) -> bool:
    """Whether somebody is in a room, as their device sees it."""
    joined: list[str] = client.get("joined_rooms")["joined_rooms"]
    return room.room_id in joined


def state_of(alice: Client, room: Room) -> set[str]:
    """The events of a room's state, as its members see it."""
    return {event["event_id"] for event in alice.get("rooms", room.room_id, "state")}


def with_fields(fields: Mapping[str, Any]) -> Lie:
    """Answer as a good server does, but for these fields."""
    return lambda asked: {**asked.honest, **fields}


def changed(**changes: Any) -> Lie:
    """Answer as a good server does, but for some fields of the event."""
    return lambda asked: {**asked.honest, "event": {**asked.honest["event"], **changes}}


def said(**more: Any) -> Lie:
    """Answer as a good server does, but for some fields of the event's content."""
    return lambda asked: changed(content={**asked.honest["event"]["content"], **more})(asked)


# --- Templates ---

WRONG_TEMPLATES: Mapping[str, Lie] = {
    "of power levels": changed(type="m.room.power_levels", content={"users": {"@mallory:evil": 100}}, state_key=""),
    "of another type": changed(type="m.room.create"),
    "of no type": changed(type=None),
    "about somebody else": changed(state_key="@mallory:evil.example"),
    "about nobody": lambda asked: {**asked.honest, "event": _without(asked.honest["event"], "state_key")},
    "by somebody else": changed(sender="@bob:127.0.0.1"),
    "into another room": changed(room_id="!other:127.0.0.1"),
    "into no room": changed(room_id=None),
    "of a ban": said(membership="ban"),
    "of an invite": said(membership="invite"),
    "of no membership": changed(content={}),
    "without content": changed(content=None),
    "after nothing": changed(prev_events=[]),
    "after too much": changed(prev_events=["$" + f"{number:043d}" for number in range(21)]),
    "after what are no events": changed(prev_events=[1, {}, None]),
    "authorised by too much": changed(auth_events=["$" + f"{number:043d}" for number in range(11)]),
    "authorised by what is no list": changed(auth_events="$x"),
    "of depth 0": changed(depth=0),
    "of no depth": changed(depth=None),
    "of half a depth": changed(depth=1.5),
    "of a depth without end": changed(depth=2**63),
    "of a version that nobody knows": lambda asked: {**asked.honest, "room_version": "hydra"},
    "of a version that is none": lambda asked: {**asked.honest, "room_version": {}},
    "of nothing": lambda _: {},
    "of a list": lambda _: [],
    "of text": lambda _: {"event": "x", "room_version": "11"},
}

EVERYDAY_TEMPLATES = (
    "of power levels",
    "about somebody else",
    "by somebody else",
    "into another room",
    "of a ban",
    "after too much",
    "of a depth without end",
    "of a version that nobody knows",
    "of a list",
)
ODD_TEMPLATES: Mapping[str, Lie] = {
    "with more content": said(displayname="Owned", avatar_url="mxc://evil/x", third_party_invite={"signed": {}}, x=1),
    "with more fields": changed(
        unsigned={"x": 1}, redacts="$x", origin="x", hashes={"sha256": "x"}, signatures={"x": {}}, x=1, event_id="$x"
    ),
    "of another time": changed(origin_server_ts=2**53 - 1),
}


def _without(event: Pdu, field: str) -> Pdu:
    return {name: value for name, value in event.items() if name != field}


def signed_things(evil: HostileServer, victim: Victim) -> list[Pdu]:
    """The events that the server under attack has signed and given to the hostile one as it asked something."""
    bodies = [one.content for one in evil.asked if one.operation != "send" and isinstance(one.content, dict)]
    return [one for one in bodies if victim.server.server_name in one.get("signatures", {})]


def check_only_own_words_are_signed(evil: HostileServer, victim: Victim, user: Client, membership: str) -> None:
    """Fail if anything was signed but a membership event of the user's own about nothing else."""
    for pdu in signed_things(evil, victim):
        assert set(pdu) == FIELDS
        assert (pdu["type"], pdu["sender"], pdu["state_key"]) == ("m.room.member", user.user_id, user.user_id)
        name = {"displayname": pdu["content"]["displayname"]} if "displayname" in pdu["content"] else {}
        assert pdu["content"] == {"membership": membership, **name}
        assert "Owned" not in str(pdu["content"])
        assert pdu["room_id"] in evil.rooms


def test_nothing_is_signed_but_the_join_that_was_wished(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.found(ROOM_VERSIONS["11"])
    for name, lie in breadth.of(WRONG_TEMPLATES, *EVERYDAY_TEMPLATES).items():
        evil.lies["make_join"] = lie
        answer = come(alice, "join", room)
        assert 400 <= answer.status <= 502, name
        assert answer.json["errcode"].startswith("M_"), name
        assert evil.times_asked("send_join") == 0, name

    for name, lie in ODD_TEMPLATES.items():
        evil.lies["make_join"] = lie
        somebody = new_user(victim.server.url, "somebody")
        other = evil.found(ROOM_VERSIONS["11"])
        assert come(somebody, "join", other).status == 200, name
        check_only_own_words_are_signed(evil, victim, somebody, "join")
        evil.asked.clear()

    evil.lies.clear()
    assert not is_in(alice, room)
    assert come(alice, "join", room).status == 200
    check_goes_on(room, victim, alice)


def test_nothing_is_signed_but_the_knock_that_was_wished(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.found(ROOM_VERSIONS["11"])
    room.add(room.build("m.room.join_rules", {"join_rule": "knock"}, ""))
    for name, lie in breadth.of(WRONG_TEMPLATES, *EVERYDAY_TEMPLATES).items():
        evil.lies["make_knock"] = lie
        assert 400 <= come(alice, "knock", room).status <= 502, name
        assert evil.times_asked("send_knock") == 0, name

    for name, lie in ODD_TEMPLATES.items():
        evil.lies["make_knock"] = lie
        somebody = new_user(victim.server.url, "somebody")
        assert come(somebody, "knock", room).status == 200, name
        check_only_own_words_are_signed(evil, victim, somebody, "knock")
        evil.asked.clear()


def invite(evil: HostileServer, room: Room, user: Client) -> None:
    """Invite somebody of the server under attack."""
    event = room.add(room.member(user.user_id, "invite", sender=evil.user))
    stripped = [room.events[one] for key, one in room.state.items() if key[0] in ("m.room.create", "m.room.join_rules")]
    content = {"event": event, "room_version": room.version.name, "invite_room_state": stripped}
    assert evil.ask("PUT", "invite", room.room_id, room.id_of(event), content=content, version="v2")[0] == 200


def test_nothing_is_signed_but_the_leave_that_was_wished(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.found(ROOM_VERSIONS["11"])
    for name, lie in [*breadth.of(WRONG_TEMPLATES, *EVERYDAY_TEMPLATES).items(), *ODD_TEMPLATES.items()]:
        invite(evil, room, alice)
        evil.lies["make_leave"] = lie
        alice.post("rooms", room.room_id, "leave")
        # Whatever the server says, its invite is gone.
        assert alice.sync().get("rooms", {}).get("invite", {}) == {}, name
        assert evil.times_asked("send_leave") == (1 if name in ODD_TEMPLATES else 0), name
        check_only_own_words_are_signed(evil, victim, alice, "leave")
        evil.asked.clear()


def test_an_invite_that_comes_back_as_something_else_is_not_sent(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(alice.create_room(preset="public_chat"))
    power = room.build("m.room.power_levels", {"users": {}}, "")
    before = victim.rows("events")
    lies: list[Lie] = [
        lambda _: {"event": power},
        changed(content={"membership": "join"}),
        changed(signatures={}),
        changed(signatures={evil.name: {"ed25519:evil": "A" * 86}}),
        lambda _: {},
        lambda _: [],
        lambda _: {"event": []},
    ]

    for lie in lies:
        evil.lies["invite"] = lie
        answer = alice.send(
            "POST", "rooms", room.room_id, "invite", content=json.dumps({"user_id": evil.other}).encode()
        )
        assert 400 <= answer.status <= 502, answer.body

    assert victim.rows("events") == before
    evil.lies["invite"] = said(displayname="Owned", reason="Owned")  # which its signature does not cover
    alice.post("rooms", room.room_id, "invite", body={"user_id": evil.other})
    assert alice.state(room.room_id, "m.room.member", evil.other) == {"membership": "invite"}
    check_goes_on(room, victim, alice)


# --- Rooms that are given with a join ---


def _state(change: Callable[[list[Pdu]], list[Any]]) -> Lie:
    return lambda asked: {**asked.honest, "state": change(asked.honest["state"])}


def _without_type(event_type: str) -> Callable[[list[Pdu]], list[Any]]:
    return lambda state: [event for event in state if event["type"] != event_type]


def wrong_rooms(evil: HostileServer, room: Room, alice: Client) -> dict[str, Lie]:
    """What may be given instead of a room's state."""
    other = evil.found(room.version)
    forged = room.build("m.room.power_levels", {"users": {evil.user: 100}}, "", sender=alice.user_id)
    second = room.build("m.room.create", {"room_version": room.version.name, "creator": evil.user}, "", auth=())
    no_auth = room.build("m.room.name", {"name": "x"}, "", auth=["$" + "A" * 43])
    return {
        "nothing": _state(lambda _: []),
        "no create event": _state(_without_type("m.room.create")),
        "the state of another room": _state(lambda _: [other.events[one] for one in other.state.values()]),
        "garbage": _state(lambda _: [None, 1, "x", [], {}, {"type": "m.room.create"}]),
        "two events for one key": _state(lambda state: [*state, room.build("m.room.join_rules", {}, "")]),
        "another create event": _state(lambda state: [*_without_type("m.room.create")(state), second]),
        "a forged create event": _state(
            lambda state: [
                *_without_type("m.room.create")(state),
                {**room.events[room.state["m.room.create", ""]], "signatures": {}},
            ]
        ),
        "a state in which one may not join": _state(
            lambda state: [*_without_type("m.room.join_rules")(state), room.build("m.room.join_rules", {}, "")]
        ),
        "no state at all": lambda asked: _without(asked.honest, "state"),
        "no object": lambda _: [],
        "no JSON": lambda _: HEAD + b"Content-Length: 9\r\n\r\n{nonsense",
        "half an answer": lambda _: Stream([HEAD + b'Content-Length: 99\r\n\r\n{"state":[']),
        "an error": lambda _: Refusal(500, "M_UNKNOWN"),
        "somewhere else": lambda _: b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "a bomb": lambda asked: packed(json.dumps(asked.honest).encode()),
        "what it may not have": _state(lambda state: [*_without_type("m.room.create")(state), forged, no_auth]),
    }


@pytest.mark.parametrize("version", [pytest.param("10", marks=pytest.mark.large), "12"])
def test_a_room_that_is_given_wrongly_is_not_joined_and_can_be_joined_rightly(
    victim: Victim, evil: HostileServer, alice: Client, version: str, breadth: Breadth
) -> None:
    room = evil.found(ROOM_VERSIONS[version])
    honest = dict(room.state)
    everyday = (
        "no create event",
        "two events for one key",
        "another create event",
        "a state in which one may not join",
    )

    for name, lie in breadth.of(wrong_rooms(evil, room, alice), *everyday, "half an answer", "a bomb").items():
        evil.lies["send_join"] = lie
        room.state = dict(honest)
        answer = come(alice, "join", room)
        assert 400 <= answer.status <= 504, name
        assert answer.json["errcode"].startswith("M_"), name
        assert not is_in(alice, room), name

    evil.lies.clear()
    room.state = dict(honest)
    assert come(alice, "join", room).status == 200
    assert {room.state["m.room.create", ""], room.state["m.room.power_levels", ""]} <= state_of(alice, room)
    check_goes_on(room, victim, alice)


@pytest.mark.parametrize("lie", ["another create event", "a state in which one may not join"])
def test_a_join_that_was_refused_by_a_lie_does_not_stand_in_the_way_of_the_next(
    evil: HostileServer, alice: Client, lie: str
) -> None:
    room = evil.found(ROOM_VERSIONS["10"])
    honest = dict(room.state)
    evil.lies["send_join"] = wrong_rooms(evil, room, alice)[lie]
    refused = come(alice, "join", room)
    evil.lies.clear()
    room.state = dict(honest)

    answer = come(alice, "join", room)  # it is built on the one that was refused

    assert (refused.status, answer.status) == (424, 200)
    assert is_in(alice, room)


def test_what_is_given_beside_a_room_is_left_out(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.found(ROOM_VERSIONS["11"])
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    forged = room.build("m.room.name", {"name": "x"}, "", sender=alice.user_id)
    unsigned = room.build("m.room.topic", {"topic": "x"}, "", signs=False)
    stranger = room.build("m.room.avatar", {"url": "x"}, "", sender="@x:elsewhere.example")
    foreign = other.build("m.room.topic", {"topic": "x"}, "")
    unauthorised = room.build("m.room.encryption", {"algorithm": "x"}, "", auth=["$" + "A" * 43])
    namesake = room.build("m.room.guest_access", {"guest_access": "x"}, "", key=NAMESAKE)
    beside = [forged, unsigned, stranger, foreign, unauthorised, namesake]
    evil.lies["send_join"] = lambda asked: {
        **asked.honest,
        "state": [*asked.honest["state"], *beside],
        "auth_chain": [*asked.honest["auth_chain"], *beside, *[None, 7, []] * 100],
    }

    assert come(alice, "join", room).status == 200

    assert not state_of(alice, room) & {room.id_of(pdu) for pdu in beside}
    assert not any(victim.keeps(room.id_of(pdu)) for pdu in beside)
    check_goes_on(room, victim, alice)


def test_auth_events_that_name_each_other_are_left_out_of_a_room(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.found(ROOM_VERSIONS["2"])
    names = [f"$ring{number}:{evil.name}" for number in range(3)]
    ring = [
        room.build("m.x", {}, str(number), event_id=name, auth=[names[number - 1]]) for number, name in enumerate(names)
    ]
    evil.lies["send_join"] = lambda asked: {
        **asked.honest,
        "state": [*asked.honest["state"], *ring],
        "auth_chain": [*asked.honest["auth_chain"], *ring],
    }

    assert come(alice, "join", room).status == 200

    assert not state_of(alice, room) & set(names)
    check_goes_on(room, victim, alice)


# --- What lies between ---


def sent_over_a_gap(room: Room) -> tuple[Pdu, Pdu]:
    """An event that the server under attack is brought, and the one before it, which it is not."""
    missing = room.add(room.say("missing"))
    event = room.add(room.say("after the gap"))
    room.server.send(event)
    return missing, event


def lies_about_ancestors(evil: HostileServer, room: Room, alice: Client) -> dict[str, Lie]:
    """What may be answered instead of missing events."""
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    forged = [
        room.say("as Alice", sender=alice.user_id),
        room.say("unsigned", signs=False),
        room.say("by another key", key=OTHER_KEY),
        room.say("by a namesake", key=NAMESAKE),
        room.say("as Alice, by a namesake", sender=alice.user_id, signed_by=alice.server_name, key=NAMESAKE),
        room.build("m.room.power_levels", {"users": {evil.user: 100}}, "", sender=alice.user_id),
        other.say("of another room"),
        room.say("of a room that is nowhere", room_id="!x:elsewhere.example"),
        room.build("m.x", {"number": 1.5}),
        room.build("m.x", {"number": 2**200}),
    ]
    return {
        "nothing": lambda _: {"events": []},
        "forgeries": lambda _: {"events": forged},
        "garbage": lambda _: {"events": [None, 1, "x", [], {}, {"room_id": room.room_id}] * 100},
        "too many": lambda _: {"events": [room.say(str(number)) for number in range(300)]},
        "no list": lambda _: {"events": {}},
        "no object": lambda _: [],
        "an error": lambda _: Refusal(403, "M_FORBIDDEN"),
        "a bomb": lambda _: packed(b'{"events":[' + b" " * 10_000_000 + b"]}"),
    }


def test_no_lie_about_missing_events_gets_into_a_room(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    before = state_of(alice, room)

    for name, lie in breadth.of(lies_about_ancestors(evil, room, alice), "forgeries", "garbage", "too many").items():
        evil.asked.clear()
        evil.lies["get_missing_events"] = lie
        evil.lies["state_ids"] = evil.lies["state"] = lambda _: Refusal(404, "M_NOT_FOUND")
        sent_over_a_gap(room)
        victim.settle()
        assert state_of(alice, room) == before, name
        shown = [event["content"].get("body") for event in alice.messages(room.room_id, limit=100)["chunk"]]
        assert not {"as Alice", "unsigned", "by another key", "by a namesake", "of another room"} & set(shown), name
        assert "as Alice, by a namesake" not in shown, name
        assert evil.times_asked("get_missing_events") <= 3, name
        # What was told of is told of again, so that the room goes on from there.
        evil.lies.clear()
        evil.send_all([room.events[one] for one in list(room.before)[-60:]])
        victim.settle()

    check_goes_on(room, victim, alice)


def test_a_history_without_end_costs_a_bounded_number_of_requests_and_rows(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))

    def invent(asked: Asked) -> Any:
        """Events after events that were never heard of, all rightly signed."""
        return {
            "events": [room.say("invented", after=["$" + f"{len(evil.asked) * 100 + each:043d}"]) for each in range(20)]
        }

    evil.lies["get_missing_events"] = invent
    evil.lies["state_ids"] = evil.lies["event"] = lambda _: Refusal(404, "M_NOT_FOUND")
    before = victim.rows("events", room_id=room.room_id)

    evil.send(room.say("the end of it", after=["$" + "B" * 43]))
    victim.settle()

    assert 0 < evil.times_asked() <= MOST_REQUESTS
    assert victim.rows("waiting_events", room_id=room.room_id) <= 1 + 3 * 20
    assert victim.rows("events", room_id=room.room_id) == before
    check_goes_on(room, victim, alice)


def lies_about_states(evil: HostileServer, room: Room, other: Room) -> dict[str, Lie]:
    """What may be answered instead of the state before an event."""
    unknown = ["$" + f"{number:043d}" for number in range(2_000)]
    create = room.state["m.room.create", ""]
    return {
        "nothing": lambda _: {"pdu_ids": [], "auth_chain_ids": []},
        "that of another room": lambda _: {"pdu_ids": list(other.state.values()), "auth_chain_ids": []},
        "what nobody has": lambda _: {"pdu_ids": unknown, "auth_chain_ids": unknown},
        "what nobody has, and a little of it": lambda _: {"pdu_ids": [create, *unknown[:90]], "auth_chain_ids": []},
        "the create event alone": lambda _: {"pdu_ids": [create], "auth_chain_ids": []},
        "garbage": lambda _: {"pdu_ids": [1, None, {}, "x"], "auth_chain_ids": "x"},
        "no list": lambda _: {"pdu_ids": {}},
        "an error": lambda _: Refusal(500, "M_UNKNOWN"),
    }


EVERYDAY_STATES = ("that of another room", "what nobody has", "the create event alone")


def test_no_lie_about_a_state_changes_that_of_the_room(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    alice.set_state(room.room_id, "m.room.name", {"name": "ours"})
    alice.post("rooms", room.room_id, "ban", body={"user_id": evil.other})
    evil.wait_for(lambda: ("m.room.member", evil.other) in room.state)
    before = state_of(alice, room)

    for name, lie in breadth.of(lies_about_states(evil, room, other), *EVERYDAY_STATES).items():
        evil.asked.clear()
        evil.lies = {
            "get_missing_events": lambda _: {"events": []},
            "state_ids": lie,
            "event": lambda _: Refusal(404, "M_NOT_FOUND"),
            "state": lambda _: {"pdus": [None, {}] * 10, "auth_chain": []},
        }
        sent_over_a_gap(room)
        victim.settle()
        assert state_of(alice, room) == before, name
        assert evil.times_asked() <= MOST_REQUESTS, name
        evil.lies.clear()
        evil.send_all([room.events[one] for one in list(room.before)[-60:]])
        victim.settle()

    assert alice.state(room.room_id, "m.room.member", evil.other)["membership"] == "ban"
    check_goes_on(room, victim, alice)


def test_an_event_that_was_not_asked_for_is_not_taken_for_the_one_that_was(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    before = state_of(alice, room)
    wanted = "$" + "W" * 43
    takeover = room.build("m.room.power_levels", {"users": {evil.user: 100}}, "")
    forged = room.build("m.room.power_levels", {"users": {evil.user: 100}}, "", sender=alice.user_id)
    answers: dict[str, Any] = {
        "another": {"pdus": [takeover]},
        "a forged one": {"pdus": [forged]},
        "none": {"pdus": []},
        "two": {"pdus": [takeover, forged]},
        "no event": {"pdus": [None]},
        "no list": {"pdus": {}},
        "no object": [],
    }

    for answer in breadth.of(answers, "another", "two").values():
        evil.lies = {
            "get_missing_events": lambda _: {"events": []},
            "state_ids": lambda _: {"pdu_ids": [*room.state.values(), wanted], "auth_chain_ids": [wanted]},
            "event": always(answer),
        }
        sent_over_a_gap(room)
        victim.settle()
        assert state_of(alice, room) == before
        evil.lies.clear()
        evil.send_all([room.events[one] for one in list(room.before)[-60:]])
        victim.settle()

    assert not any(victim.keeps(room.id_of(pdu)) for pdu in (takeover, forged))
    check_goes_on(room, victim, alice)


def test_auth_events_that_are_invented_as_they_are_asked_for_end(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    own = [room.state["m.room.create", ""], room.state["m.room.member", evil.user]]
    chain: list[Pdu] = [room.build("m.x", {}, "0", auth=["$" + "Z" * 43])]
    for number in range(1_000):
        chain.append(room.build("m.x", {}, str(number), auth=[room.id_of(chain[-1])]))
    evil.lies["event_auth"] = lambda _: {"auth_chain": [*chain, None, {}, 7]}
    evil.lies["event"] = lambda _: Refusal(404, "M_NOT_FOUND")
    before, rows = state_of(alice, room), victim.rows("events", room_id=room.room_id)
    event = room.say("authorised by that", auth=[*own, room.id_of(chain[-1])])

    evil.send(event)
    victim.settle()

    assert evil.times_asked("event_auth") >= 1, [one.operation for one in evil.asked]
    assert evil.times_asked() <= MOST_REQUESTS
    assert state_of(alice, room) == before
    assert victim.rows("events", room_id=room.room_id) == rows
    check_goes_on(room, victim, alice)


# --- Answers that are no answers ---


def profile_of(alice: Client, evil: HostileServer) -> Response:
    """Ask for something that the hostile server is asked for."""
    return alice.send("GET", "profile", f"@somebody{evil.times_asked()}:{evil.name}")


def test_an_answer_without_end_is_read_no_further_than_may_be(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    sent = 0

    def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal sent
        for piece in pieces:
            sent += len(piece)
            yield piece

    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    endless = {
        "a body": without_end(HEAD + b'\r\n{"displayname":"', b"a" * 65_536),
        "chunks": without_end(HEAD + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n', chunk),
        "a header": without_end(HEAD + b"X: ", b"a" * 65_536),
        "headers": without_end(HEAD, b"X: " + b"a" * 1_000 + b"\r\n"),
        "a status": without_end(b"HTTP/1.1 200 ", b"a" * 65_536),
    }
    for name, pieces in endless.items():
        sent = 0
        evil.lies["query/profile"] = always(Stream(counted(pieces)))
        assert profile_of(alice, evil).status >= 400, name
        assert sent <= 64 * 1024 * 1024, name  # what is read, and what lies in the buffers in between

    room = evil.join(alice.create_room(preset="public_chat"))
    check_goes_on(room, victim, alice)


def test_an_answer_that_is_packed_or_none_or_too_long_is_refused(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    nested = b"[" * 200_000 + b"]" * 200_000
    for answer in (
        packed(b'{"displayname":"' + b"a" * 30_000_000 + b'"}'),
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n{}",
        HEAD + f"Content-Length: {len(nested)}\r\n\r\n".encode() + nested,
        HEAD + b"Content-Length: 5\r\n\r\n[NaN]",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 99999 \r\n\r\n",
        b"\0" * 1_000 + b"\r\n\r\n",
    ):
        evil.lies["query/profile"] = always(Stream([answer]))
        refused = profile_of(alice, evil)
        assert refused.status >= 400, answer[:60]
        assert refused.json["errcode"].startswith("M_")

    assert victim.rows("profiles", user_id=evil.user) == 0


def test_no_answer_leads_anywhere_else(
    authority: CertificateAuthority, victim: Victim, evil: HostileServer, alice: Client
) -> None:
    decoy = HostileServer(authority, victim.server, "127.0.0.67")
    try:
        for status in (301, 302, 303, 307, 308):
            location = f"https://{decoy.name}/_matrix/federation/v1/query/profile"
            head = f"HTTP/1.1 {status} Away\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            evil.lies["query/profile"] = always(head.encode())
            assert profile_of(alice, evil).status >= 400
        assert evil.times_asked("query/profile") == 5
        assert decoy.times_asked() == 0
    finally:
        decoy.close()


def test_what_a_directory_says_is_looked_at(victim: Victim, evil: HostileServer, alice: Client) -> None:
    many = [f"127.0.0.66:{number}" for number in range(1, 2_000)]
    room = evil.found(ROOM_VERSIONS["11"])
    wrong: list[Any] = [
        {},
        [],
        {"room_id": 1, "servers": []},
        {"room_id": "!x", "servers": "x"},
        {"room_id": "x:y", "servers": []},
        {"room_id": room.room_id, "servers": {}},
    ]
    for number, answer in enumerate(wrong):
        evil.lies["query/directory"] = always(answer)
        assert 400 <= alice.send("POST", "join", f"#x{number}:{evil.name}", content=b"{}").status <= 502, answer

    evil.lies["query/directory"] = lambda _: {"room_id": room.room_id, "servers": [None, 1, "bad name!", *many]}
    evil.lies["make_join"] = lambda _: Refusal(404, "M_NOT_FOUND")
    assert 400 <= alice.send("POST", "join", f"#many:{evil.name}", content=b"{}").status <= 502
    assert victim.rows("failing_destinations") <= 100
    evil.lies.clear()
    evil.lies["query/directory"] = lambda _: {"room_id": room.room_id, "servers": [evil.name]}
    alice.join(f"#good:{evil.name}")
    check_goes_on(room, victim, alice)


def test_what_a_profile_says_is_looked_at(victim: Victim, evil: HostileServer, alice: Client) -> None:
    wrong: list[Any] = [
        [],
        {"displayname": ["x"]},
        {"displayname": {"x": 1}, "avatar_url": 1},
        {"displayname": "x" * 1_000_000},
        {"avatar_url": "mxc://" + "x" * 100_000},
        {f"field{number}": "x" for number in range(10_000)},
        {"displayname": None, "avatar_url": None},
    ]
    for answer in wrong:
        evil.lies["query/profile"] = always(answer)
        told = profile_of(alice, evil)
        assert len(told.body) < 100_000, str(answer)[:60]
        if told.status == 200:
            assert all(isinstance(value, str) for value in told.json.values())


def lies_about_lists_of_rooms(evil: HostileServer) -> dict[str, Any]:
    """What may be answered to whoever asks which rooms there are."""
    good = {
        "room_id": f"!good:{evil.name}",
        "num_joined_members": 1,
        "guest_can_join": False,
        "world_readable": False,
    }
    odd: list[Any] = [None, 1, [], {}, {**good, "room_id": 1}, {**good, "num_joined_members": "x"}]
    odd += [{**good, "num_joined_members": 2**70}, {**good, "name": ["x"]}, {**good, "room_id": "x" * 10_000}]
    return {
        "odd rooms": {"chunk": [*odd, good], "next_batch": ["x"]},
        "very many rooms": {"chunk": [good] * 20_000},
        "large words": {"chunk": [{**good, "name": "x" * 1_000_000, "topic": "x" * 3_000_000}], "next_batch": "x"},
        "a large token": {"chunk": [good], "next_batch": "x" * 1_000_000, "prev_batch": "x" * 1_000_000},
        "a number without end": {"chunk": [good], "total_room_count_estimate": 2**200},
        "no list": {"chunk": {"x": good}},
        "nothing": {},
        "a list": [],
        "an error": Refusal(500, "M_UNKNOWN"),
        "a bomb": packed(b'{"chunk":[' + b" " * 30_000_000 + b"]}"),
    }


def test_what_a_list_of_rooms_says_is_looked_at(evil: HostileServer, alice: Client, breadth: Breadth) -> None:
    everyday = ("odd rooms", "very many rooms", "large words", "a large token")
    for name, answer in breadth.of(lies_about_lists_of_rooms(evil), *everyday).items():
        evil.lies["publicRooms"] = always(answer)
        search = json.dumps({"limit": 10, "filter": {"generic_search_term": "x"}}).encode()
        for told in (
            alice.send("GET", "publicRooms", query={"server": evil.name, "limit": 10}),
            alice.send("POST", "publicRooms", query={"server": evil.name}, content=search),
        ):
            assert told.status in (200, 424, 502, 504), name
            assert len(told.body) < 1_000_000, name
            if told.status == 200:
                assert all(isinstance(one.get("room_id"), str) for one in told.json["chunk"]), name


# --- Devices and keys ---


def device(user_id: str, device_id: str, **changes: Any) -> Any:
    """The keys of a device, as a server tells of them."""
    keys = {f"curve25519:{device_id}": "A" * 43, f"ed25519:{device_id}": "B" * 43}
    return {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1"],
        "keys": keys,
        "signatures": {},
        **changes,
    }


def queried(alice: Client, *user_ids: str) -> Any:
    """The devices of users, as Alice is told."""
    answer = alice.post("keys", "query", body={"device_keys": {user_id: [] for user_id in user_ids}})
    return answer["device_keys"]


def wrong_devices(evil: HostileServer, alice: Client) -> list[Any]:
    """Keys that no device of Mallory's has."""
    return [
        None,
        1,
        [],
        {},
        device(alice.user_id, "WRONG"),
        device(evil.user, "ANOTHER"),
        device(evil.user, "WRONG", keys=[]),
        device(evil.user, "WRONG", keys={"ed25519:WRONG": 1}),
        device(evil.user, "WRONG", algorithms="x"),
        device(evil.user, "WRONG", algorithms=[{}]),
        device(evil.user, "WRONG", signatures=[]),
        device(evil.user, "WRONG", signatures={evil.user: 1}),
        device(evil.user, "WRONG", x=1.5),
        device(evil.user, "WRONG", x=2**70),
        device(evil.user, "WRONG", x="x" * 200_000),
    ]


def test_keys_of_devices_that_are_none_are_shown_to_nobody_and_end_nothing(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.join(alice.create_room(preset="public_chat"))
    good = device(evil.user, "GOOD")
    for number, wrong in enumerate(wrong_devices(evil, alice)):
        shown_by_evil = {
            "device_keys": {
                evil.user: {"WRONG": wrong, "GOOD": good},
                alice.user_id: {"X": device(alice.user_id, "X")},
            },
            "master_keys": {evil.user: wrong, alice.user_id: wrong},
            "self_signing_keys": [wrong],
        }
        listed = [{"device_id": "WRONG", "keys": wrong}, {"device_id": "GOOD", "keys": good}, wrong]
        kept_by_evil = {"user_id": evil.user, "stream_id": number, "devices": listed, "master_key": wrong}
        evil.lies["user/keys/query"] = always(shown_by_evil)
        evil.lies["user/devices"] = always(kept_by_evil)
        told = {"user_id": evil.user, "device_id": "WRONG", "stream_id": number, "prev_id": [], "keys": wrong}
        evil.edu("m.device_list_update", told)
        shown = queried(alice, evil.user)
        assert set(shown.get(evil.user, {})) <= {"GOOD"}, wrong
        assert alice.user_id not in shown

    evil.lies.clear()
    check_goes_on(room, victim, alice)


def test_a_list_of_very_many_devices_is_kept_up_to_a_bound(victim: Victim, evil: HostileServer, alice: Client) -> None:
    room = evil.join(alice.create_room(preset="public_chat"))
    many = [{"device_id": f"D{number}", "keys": device(evil.user, f"D{number}")} for number in range(5_000)]
    evil.lies["user/devices"] = lambda _: {"user_id": evil.user, "stream_id": 1, "devices": many}
    by_id = {one["device_id"]: one["keys"] for one in many}
    evil.lies["user/keys/query"] = lambda _: {"device_keys": {evil.user: by_id}}

    assert len(queried(alice, evil.user)[evil.user]) <= MOST_DEVICES
    evil.wait_for(lambda: evil.times_asked("user/devices") > 0)
    check_goes_on(room, victim, alice)

    assert victim.rows("remote_devices", user_id=evil.user) <= MOST_DEVICES


def test_claimed_keys_of_others_are_given_to_nobody(victim: Victim, evil: HostileServer, alice: Client) -> None:
    good = {"signed_curve25519:A": {"key": "A" * 43, "signatures": {}}}
    wrong: list[Any] = [
        [],
        {evil.user: []},
        {evil.user: {"OTHER": good}},
        {alice.user_id: {"DEVICE": good}},
        {evil.user: {"DEVICE": {"another_algorithm:A": "A" * 43}}},
        {evil.user: {"DEVICE": {"signed_curve25519:A": [1.5]}}},
        {evil.user: {"DEVICE": "x"}},
        {evil.user: {"DEVICE": {f"signed_curve25519:{number}": "x" for number in range(10_000)}}},
    ]
    for keys in wrong:
        evil.lies["user/keys/claim"] = always({"one_time_keys": keys})
        body = {"one_time_keys": {evil.user: {"DEVICE": "signed_curve25519"}}}
        told = alice.post("keys", "claim", body=body)
        assert set(told["one_time_keys"]) <= {evil.user}
        assert len(json.dumps(told)) < 10_000
        for by_device in told["one_time_keys"].values():
            assert set(by_device) <= {"DEVICE"}
            assert all(len(claimed) == 1 for claimed in by_device.values())


# --- Spaces, and what is shown before one comes in ---


def walked(alice: Client, room_id: str) -> Any:
    """A page of a space."""
    return alice.get("/_matrix/client/v1/rooms", room_id, "hierarchy", query={"limit": 50})


def described(room_id: str, *children: str, server: str, **more: Any) -> Any:
    """A room as a server describes it."""
    return {
        "room_id": room_id,
        "num_joined_members": 1,
        "guest_can_join": False,
        "world_readable": True,
        "join_rule": "public",
        "room_type": "m.space",
        "children_state": [
            {
                "type": "m.space.child",
                "state_key": child,
                "sender": f"@x:{server}",
                "origin_server_ts": 1,
                "content": {"via": [server]},
            }
            for child in children
        ],
        **more,
    }


def lies_about_spaces(evil: HostileServer) -> dict[str, Lie]:
    """What may be answered of a space."""

    def endless(asked: Asked) -> Any:
        (room_id,) = asked.segments
        below = [f"!{room_id[1:].partition(':')[0]}{number}:{evil.name}" for number in range(20)]
        return {
            "room": described(room_id, *below, server=evil.name),
            "children": [described(one, one + "x", server=evil.name) for one in below],
        }

    def around(asked: Asked) -> Any:
        """Three spaces, each in the one before."""
        (room_id,) = asked.segments
        ring = [room_id, *(f"!ring{number}:{evil.name}" for number in range(2))]
        rooms = [
            described(one, *ring[number + 1 :], *ring[: number + 1], server=evil.name)
            for number, one in enumerate(ring)
        ]
        return {"room": rooms[0], "children": rooms[1:]}

    garbage = [None, 1, [], {}, {"room_id": 1}, described("x", server=evil.name), described("!x", server=evil.name)]
    return {
        "itself": lambda asked: {
            "room": described(asked.segments[0], asked.segments[0], server=evil.name),
            "children": [described(asked.segments[0], asked.segments[0], server=evil.name)] * 100,
        },
        "no end": endless,
        "too much": lambda asked: {
            "room": described(asked.segments[0], *[f"!c{n}:{evil.name}" for n in range(10_000)], server=evil.name),
            "children": [described(f"!c{n}:{evil.name}", server=evil.name) for n in range(10_000)],
        },
        "each other": around,
        "rooms of others": lambda asked: {
            "room": described(asked.segments[0], "!x:elsewhere.example", "!", "x", server=evil.name),
            "children": [
                described("!x:elsewhere.example", server=evil.name, name="Owned"),
                described("!never_named:x", server="x", name="Owned"),
            ],
            "inaccessible_children": ["!y:elsewhere.example", "x" * 1_000_000],
        },
        "another room": always({"room": described("!other:x", server=evil.name), "children": []}),
        "garbage": lambda asked: {
            "room": described(asked.segments[0], server=evil.name, name=["x"], topic=1, num_joined_members="x"),
            "children": garbage * 100,
            "inaccessible_children": garbage,
        },
        "large words": lambda asked: {
            "room": described(asked.segments[0], "!c:x", server="x" * 1_000_000, name="x" * 1_000_000),
            "children": [described("!c:x", server=evil.name, topic="x" * 1_000_000, avatar_url="x" * 1_000_000)],
        },
        "a large name": lambda asked: {
            "room": described("!" + "x" * 1_000_000, server=evil.name),
            "children": [described("!" + "x" * 1_000_000, server=evil.name)],
        },
        "nothing": always({}),
        "a list": always([]),
        "an error": always(Refusal(500, "M_UNKNOWN")),
        "a bomb": always(packed(b'{"room":{}' + b" " * 30_000_000 + b"}")),
    }


def test_what_is_said_of_spaces_costs_a_bounded_number_of_requests(
    evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    everyday = ("each other", "no end", "garbage", "large words")
    for number, (name, lie) in enumerate(breadth.of(lies_about_spaces(evil), *everyday).items()):
        space = alice.create_room(creation_content={"type": "m.space"})
        inner = f"!inner{number}:{evil.name}"
        alice.set_state(space, "m.space.child", {"via": [evil.name]}, inner)
        evil.asked.clear()
        evil.lies["hierarchy"] = lie

        page = walked(alice, space)

        assert evil.times_asked() <= 30, name
        assert len(json.dumps(page)) < 1_000_000, name
        assert page["rooms"][0]["room_id"] == space, name
        ids = [shown["room_id"] for shown in page["rooms"]]
        assert len(set(ids)) == len(ids) <= 50, name
        assert not any("never_named" in one or len(one) > 255 for one in ids), name
        for shown in page["rooms"]:
            assert isinstance(shown["num_joined_members"], int), name
            assert isinstance(shown.get("name", ""), str), name


def test_what_is_shown_to_somebody_who_knocks_breaks_no_sync(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    room = evil.found(ROOM_VERSIONS["11"])
    room.add(room.build("m.room.join_rules", {"join_rule": "knock"}, ""))
    large = {"type": "m.room.name", "state_key": "", "sender": evil.user, "content": {"name": "x" * 9_000}}
    odd: list[Any] = [None, 1, [], {}, {"type": 1}, {"type": "m.room.name", "state_key": "", "content": 3}]
    nested = [{"type": "m.room.name", "content": {"x": "x" * 100_000}}]
    states: list[Any] = [[large] * 500, odd * 500, {}, None, "x", nested]
    for state in states:
        evil.lies["send_knock"] = always({"knock_room_state": state})
        somebody = new_user(victim.server.url, "somebody")
        come(somebody, "knock", room)
        shown = somebody.sync().get("rooms", {}).get("knock", {})
        assert len(json.dumps(shown)) < 300_000
        for events in shown.values():
            assert all(isinstance(event["content"], dict) for event in events["knock_state"]["events"])
        check_lists_of_rooms(somebody, room.room_id)


def lies_about_servers(evil: HostileServer) -> dict[str, dict[str, Any]]:
    """What may be told instead of the servers of a room whose members are left out."""
    odd: list[Any] = [None, 1, "bad name!", evil.victim.server_name, "x" * 1_000]
    return {
        "odd names": {"servers_in_room": [*odd, *(f"127.0.0.66:{number}" for number in range(1, 50))]},
        "no list": {"servers_in_room": {}},
        "no names": {"servers_in_room": [{}]},
        "nothing": {},
    }


def test_whoever_is_said_to_be_in_a_room_is_not_believed_beyond_measure(
    victim: Victim, evil: HostileServer, alice: Client
) -> None:
    for name, more in lies_about_servers(evil).items():
        room = evil.found(ROOM_VERSIONS["11"])
        evil.lies["send_join"] = with_fields({"members_omitted": True, **more})
        somebody = new_user(victim.server.url, "somebody")
        answer = come(somebody, "join", room)
        evil.lies.clear()
        if answer.status == 200:
            check_goes_on(room, victim, somebody)
        for wrong in ("bad name!", "x" * 1_000):
            assert victim.rows("room_servers", server=wrong) == 0, name


def until_known(victim: Victim, room: Room) -> None:
    """Wait until all members of a room are known."""
    until_s = time.monotonic() + PATIENCE_S
    while victim.rows("partial_rooms", room_id=room.room_id, whole_position=None):
        assert time.monotonic() < until_s, "the members are never known"


def partial_joins(evil: HostileServer, room: Room, alice: Client) -> dict[str, Lie]:
    """Rooms without members whose state lacks what matters, or contradicts itself."""
    creator = room.state["m.room.member", evil.user]
    powers = room.events[room.state["m.room.power_levels", ""]]
    more_power = room.build("m.room.power_levels", {"users": {evil.user: 100, evil.other: 100}}, "")
    banned = room.member(alice.user_id, "ban", sender=evil.user)
    by_nobody = room.build("m.room.name", {"name": "Owned"}, "", sender=evil.other)
    closed = room.build("m.room.join_rules", {"join_rule": "invite"}, "")

    def omitting(*without: str, more: Sequence[Pdu] = (), **fields: Any) -> Lie:
        def lie(asked: Asked) -> Any:
            given = without_members(asked)
            kept = {
                name: [event for event in given[name] if room.id_of(event) not in without]
                for name in ("state", "auth_chain")
            }
            return {**given, **kept, "state": [*kept["state"], *more], **fields}

        return lie

    return {
        "without the one who made all of it": omitting(creator),
        "without the powers": omitting(room.id_of(powers)),
        "without the beginning": omitting(room.state["m.room.create", ""]),
        "with two powers": omitting(more=[more_power]),
        "with a ban of who joins": omitting(more=[banned]),
        "with a name by somebody who is not there": omitting(more=[by_nobody]),
        "with two rules of joining": omitting(more=[closed]),
        "of which it is said in another way": omitting(members_omitted="true", servers_in_room="x"),
        "with nothing that authorises it": omitting(auth_chain=[]),
        "with itself as what authorises it": lambda asked: {
            **without_members(asked),
            "auth_chain": without_members(asked)["state"],
        },
    }


def test_a_room_without_members_that_lacks_what_matters_is_not_joined_or_can_be_left_and_joined_rightly(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    everyday = ("without the one who made all of it", "with two powers")
    for name in breadth.of(partial_joins(evil, evil.found(), alice), *everyday):
        somebody = new_user(victim.server.url, "somebody")
        room = evil.found()
        levels = room.events[room.state["m.room.power_levels", ""]]["content"]
        evil.lies["send_join"] = partial_joins(evil, room, somebody)[name]
        honest = dict(room.state)

        answer = come(somebody, "join", room)
        evil.lies.clear()

        assert answer.status == 200 or answer.json["errcode"].startswith("M_"), name
        assert is_in(somebody, room) == (answer.status == 200), name
        if answer.status == 200:
            somebody.say(room.room_id, "here I am")
            somebody.post("rooms", room.room_id, "leave")
        room.state = honest
        assert come(somebody, "join", room).status == 200, name
        until_known(victim, room)
        check_goes_on(room, victim, somebody)
        assert somebody.state(room.room_id, "m.room.power_levels") == levels, name
        assert "m.room.name" not in {event["type"] for event in somebody.get("rooms", room.room_id, "state")}, name


# --- What was said before one came ---


def room_with_past(evil: HostileServer, alice: Client, length: int = 12) -> Room:
    """A room in which much was said before Alice joined it."""
    room = evil.found(ROOM_VERSIONS["11"])
    room.chain(length)
    assert come(alice, "join", room).status == 200
    return room


def past_of(alice: Client, room: Room) -> list[str]:
    """What Alice reads, backwards, page by page."""
    page, read = alice.messages(room.room_id, limit=50), []
    for _ in range(5):
        read += [event["content"].get("body", "") for event in page["chunk"]]
        if "end" not in page:
            break
        page = alice.messages(room.room_id, limit=50, begin=page["end"])
    return read


def lies_about_the_past(evil: HostileServer, alice: Client, other: Room) -> dict[str, Callable[[Room], Lie]]:
    """What may be answered instead of a room's history."""

    def forged(room: Room) -> Lie:
        return always(
            {
                "pdus": [
                    room.say("forged", sender=alice.user_id),
                    room.say("forged", signs=False),
                    room.say("forged", key=NAMESAKE),
                    room.say("forged", sender=alice.user_id, signed_by=alice.server_name, key=NAMESAKE),
                    room.build("m.room.power_levels", {"users": {evil.user: 100, evil.other: 100}}, ""),
                    other.say("forged"),
                    {**room.say("forged"), "room_id": other.room_id},
                ]
            }
        )

    def invented(room: Room) -> Lie:
        return lambda _: {
            "pdus": [room.say("forged", after=["$" + f"{len(evil.asked) * 100 + each:043d}"]) for each in range(100)]
        }

    return {
        "forgeries": forged,
        "what nothing stands on": invented,
        "nothing": lambda _: always({"pdus": []}),
        "too much": lambda room: always({"pdus": [*room.events.values()] * 200}),
        "garbage": lambda _: always({"pdus": [None, 1, "x", [], {}, {"room_id": other.room_id}] * 100}),
        "no list": lambda _: always({"pdus": {}}),
        "no object": lambda _: always([]),
        "an error": lambda _: always(Refusal(403, "M_FORBIDDEN")),
        "a bomb": lambda _: always(packed(b'{"pdus":[' + b" " * 30_000_000 + b"]}")),
    }


def test_what_was_said_before_is_read_from_another_server(evil: HostileServer, alice: Client) -> None:
    room = room_with_past(evil, alice)

    assert {str(number) for number in range(12)} <= set(past_of(alice, room))


def test_no_lie_about_the_past_is_read_or_changes_the_present(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    everyday = ("forgeries", "what nothing stands on", "too much")
    for name, lie in breadth.of(lies_about_the_past(evil, alice, other), *everyday).items():
        room = room_with_past(evil, alice)
        before, rows = state_of(alice, room), victim.rows("events", room_id=room.room_id)
        evil.asked.clear()
        evil.lies["backfill"] = lie(room)

        read = past_of(alice, room)

        assert "forged" not in read, name
        assert state_of(alice, room) == before, name
        assert evil.times_asked() <= MOST_OF_ATTEMPT, name
        # Whatever came, it is no more than what the true history has, and the states in it.
        assert victim.rows("events", room_id=room.room_id) <= rows + len(room.events), name
        check_goes_on(room, victim, alice)


def lies_about_times(room: Room, other: Room) -> dict[str, Any]:
    """What may be answered to whoever asks which event is closest to a time, or for what there is below a gap."""
    unknown, newest = "$" + "T" * 43, room.heads[0]
    return {
        "an event of another room": {"event_id": other.heads[0], "origin_server_ts": 5},
        "what nobody has": {"event_id": unknown, "origin_server_ts": 5},
        "another time": {"event_id": newest, "origin_server_ts": 5},
        "a time without end": {"event_id": newest, "origin_server_ts": 2**200},
        "half a time": {"event_id": newest, "origin_server_ts": 1.5},
        "no text": {"event_id": [newest], "origin_server_ts": "5"},
        "a long word": {"event_id": "$" + "x" * 1_000_000, "origin_server_ts": 5},
        "nothing": {},
        "a list": [],
        "an error": Refusal(500, "M_UNKNOWN"),
        "a bomb": packed(b"{" + b" " * 30_000_000 + b"}"),
    }


def events_of_wrong_times(room: Room, other: Room) -> list[Pdu]:
    """Events that are said to be of the past, and are of another room, of no server, or of no time."""
    return [
        other.say("forged", origin_server_ts=5),
        room.say("forged", signs=False, origin_server_ts=5),
        room.say("forged", key=NAMESAKE, origin_server_ts=5),
        room.say("forged", origin_server_ts=2**70),
        room.say("forged", origin_server_ts=None),
        room.say("forged", after=["$" + "T" * 43], origin_server_ts=5),
    ]


def test_no_lie_about_times_shows_what_is_not_there(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    example = evil.found()
    for name in breadth.of(lies_about_times(example, other), "an event of another room", "a time without end"):
        room = room_with_past(evil, alice)
        evil.asked.clear()
        evil.lies["timestamp_to_event"] = always(lies_about_times(room, other)[name])
        evil.lies["backfill"] = always({"pdus": events_of_wrong_times(room, other)})
        evil.lies["event"] = always({"pdus": [other.events[other.heads[0]]]})

        for at_ms in (5, room.events[room.heads[0]]["origin_server_ts"] - 1, 2**53 - 1, -(2**53) + 1):
            for direction in ("f", "b"):
                query = {"ts": at_ms, "dir": direction}
                told = alice.send("GET", "/_matrix/client/v1/rooms", room.room_id, "timestamp_to_event", query=query)
                assert told.status in (200, 404), name
                if told.status == 200:
                    event = room.events[told.json["event_id"]]
                    assert told.json["origin_server_ts"] == event["origin_server_ts"], name

        assert evil.times_asked() <= 2 * MOST_OF_ATTEMPT, name
        assert "forged" not in past_of(alice, room), name
        check_goes_on(room, victim, alice)


def test_no_lie_about_a_state_of_the_past_changes_the_present(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    other = evil.join(alice.create_room(preset="public_chat", room_version="11"))
    for name in breadth.of(lies_about_states(evil, other, other), "that of another room", "what nobody has"):
        room = room_with_past(evil, alice)
        lie = lies_about_states(evil, room, other)[name]
        before = state_of(alice, room)
        evil.asked.clear()
        evil.lies = {"state_ids": lie, "state": lie, "event_auth": always({"auth_chain": [None, {}] * 100})}

        past_of(alice, room)

        assert state_of(alice, room) == before, name
        assert evil.times_asked() <= MOST_OF_ATTEMPT, name
        check_goes_on(room, victim, alice)


# --- Members that are told later ---


def without_members(asked: Asked) -> Any:
    """The answer to a join with no members."""
    state = [event for event in asked.honest["state"] if event["type"] != "m.room.member"]
    return {**asked.honest, "state": state, "members_omitted": True, "servers_in_room": [asked.honest["origin"]]}


def lies_about_members(evil: HostileServer, alice: Client, room: Room) -> dict[str, Lie]:
    """What may be answered to whoever asks for the state with all members."""
    honest = [room.events[one] for one in room.state.values()]
    powers = room.build("m.room.power_levels", {"users": {evil.user: 100, evil.other: 100}}, "")
    others = [event for event in honest if event["type"] != "m.room.power_levels"]
    forged = [
        room.member("@x:elsewhere.example", "join"),
        room.member("@y:elsewhere.example", "join", signs=False),
        room.member(evil.other, "join", key=NAMESAKE),
    ]
    other = evil.found(room.version)
    chain = room.auth_chain(room.state.values())
    answers: dict[str, Any] = {
        "nothing": {"pdus": [], "auth_chain": []},
        "another state": {"pdus": [*others, powers], "auth_chain": chain},
        "that of another room": {"pdus": [other.events[one] for one in other.state.values()], "auth_chain": []},
        "garbage": {"pdus": [None, 1, "x", {}] * 100, "auth_chain": [[]] * 100},
        "two of one kind": {"pdus": [*honest, powers], "auth_chain": chain},
        "no lists": {"pdus": 1},
        "no object": [],
        "forged members": {"pdus": [*honest, *forged], "auth_chain": chain},
        "an error": Refusal(500, "M_UNKNOWN"),
        "a refusal": Refusal(403, "M_FORBIDDEN"),
        "a bomb": packed(b'{"pdus":[' + b" " * 30_000_000 + b"]}"),
    }
    return {name: always(answer) for name, answer in answers.items()}


def test_no_lie_about_members_makes_a_room_unusable_or_another_one(
    victim: Victim, evil: HostileServer, alice: Client, breadth: Breadth
) -> None:
    names = lies_about_members(evil, alice, evil.found(ROOM_VERSIONS["11"]))
    for name in breadth.of(names, "another state", "two of one kind", "forged members"):
        room = evil.found(ROOM_VERSIONS["11"])
        lie = lies_about_members(evil, alice, room)[name]
        levels = room.events[room.state["m.room.power_levels", ""]]["content"]
        evil.asked.clear()
        evil.lies = {"send_join": without_members, "state": lie}

        assert come(alice, "join", room).status == 200, name
        evil.wait_for(lambda: evil.times_asked("state") > 0)
        said_there = alice.say(room.room_id, "here I am")
        evil.hears(said_there)

        assert is_in(alice, room), name
        assert alice.state(room.room_id, "m.room.power_levels") == levels, name
        assert evil.times_asked("state") <= 2, name
        members = victim.rows("memberships", room_id=room.room_id, membership="join")
        assert members <= 2, name  # Mallory, if she was believed to be there, and Alice
