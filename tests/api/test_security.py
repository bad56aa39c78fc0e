"""What other homeservers were broken by, tried on the whole server: by members, by strangers, by those who have left.

Who gets through which door is in test_doors.py; requests of every wrong shape are in tests/hostile/.
"""

import json
from typing import Any, Final

import pytest

from tests.api.client import Client

SECRET: Final = "what was said behind a closed door"
NOBODYS_EVENT: Final = "$" + "A" * 43


def texts(answer: Any) -> str:
    """All that an answer says. Any: JSON."""
    return json.dumps(answer)


# Power


@pytest.mark.parametrize("version", ["1", "10", "11", "12"])
def test_others_events_are_redacted_by_power_alone_by_whichever_endpoint(
    alice: Client, bob: Client, version: str
) -> None:
    room_id = alice.create_room_with(bob, room_version=version)
    event_id = alice.say(room_id, "hers")
    redaction = json.dumps({"redacts": event_id}).encode()

    bob.send("PUT", "rooms", room_id, "redact", event_id, "a", content=b"{}")
    bob.send("PUT", "rooms", room_id, "send", "m.room.redaction", "b", content=redaction)
    for state_key in ("", bob.user_id):
        bob.send("PUT", "rooms", room_id, "state", "m.room.redaction", state_key, content=redaction)

    assert alice.get("rooms", room_id, "event", event_id)["content"]["body"] == "hers"


def test_power_over_state_is_no_power_to_redact(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, power_level_content_override={"state_default": 0, "events": {}})
    event_id = alice.say(room_id, "hers")

    bob.put("rooms", room_id, "state", "m.room.redaction", "", body={"redacts": event_id}, status=403)

    assert alice.get("rooms", room_id, "event", event_id)["content"]["body"] == "hers"


def test_nobody_vouches_for_their_own_join(alice: Client, bob: Client) -> None:
    allowed = alice.create_room()
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": allowed}]}
    room_id = alice.create_room(initial_state=[{"type": "m.room.join_rules", "state_key": "", "content": rule}])
    join = {"membership": "join", "join_authorised_via_users_server": alice.user_id}

    bob.put("rooms", room_id, "state", "m.room.member", bob.user_id, body=join, status=403)
    bob.post("join", room_id, body=join, status=403)

    assert bob.get("joined_rooms")["joined_rooms"] == []


def test_a_forged_third_party_invite_lets_nobody_in(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    signed = {"mxid": bob.user_id, "sender": alice.user_id, "token": "t", "signatures": {"x": {"ed25519:0": "A" * 86}}}

    bob.post("join", room_id, body={"third_party_signed": signed}, status=403)
    invite = {"membership": "invite", "third_party_invite": {"display_name": "b", "signed": signed}}
    bob.put("rooms", room_id, "state", "m.room.member", bob.user_id, body=invite, status=403)

    assert bob.get("joined_rooms")["joined_rooms"] == []


@pytest.mark.parametrize("membership", ["join", "leave", "ban", "knock"])
def test_nobody_changes_the_membership_of_another_by_state(
    alice: Client, bob: Client, carol: Client, membership: str
) -> None:
    room_id = alice.create_room_with(bob, carol)

    body = {"membership": membership}
    bob.put("rooms", room_id, "state", "m.room.member", carol.user_id, body=body, status=403)

    assert carol.get("joined_rooms")["joined_rooms"] == [room_id]


@pytest.mark.parametrize("nobody_in_particular", ["", "somebody", "@", "@somebody", "#a:example.org"])
def test_what_is_no_user_is_no_member(alice: Client, nobody_in_particular: str) -> None:
    room_id = alice.create_room()

    path = ("rooms", room_id, "state", "m.room.member", nobody_in_particular)
    alice.put(*path, body={"membership": "invite"}, status=400)

    assert len(alice.get("rooms", room_id, "members")["chunk"]) == 1


def test_an_alias_that_is_taken_stays_where_it_is(alice: Client, bob: Client) -> None:
    name = f"place.{alice.user_id[1:].partition(':')[0]}"
    alias = f"#{name}:{alice.server_name}"
    room_id = alice.create_room(room_alias_name=name)
    other = bob.create_room()

    bob.send("PUT", "directory", "room", alias, content=json.dumps({"room_id": other}).encode())
    bob.send("DELETE", "directory", "room", alias)
    bob.send("POST", "createRoom", content=json.dumps({"room_alias_name": name}).encode())
    stolen = {"type": "m.room.canonical_alias", "state_key": "", "content": {"alias": alias}}
    bob.send(
        "PUT", "rooms", other, "state", "m.room.canonical_alias", "", content=json.dumps({"alias": alias}).encode()
    )
    bob.send("POST", "createRoom", content=json.dumps({"initial_state": [stolen]}).encode())

    assert bob.get("directory", "room", alias)["room_id"] == room_id
    for joined in bob.get("joined_rooms")["joined_rooms"]:
        assert alias not in texts(bob.get("rooms", joined, "state"))


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "a\u202eb", "a\u200bb"])
def test_no_alias_can_be_made_that_looks_like_another(alice: Client, name: str) -> None:
    room_id = alice.create_room()

    alice.put("directory", "room", f"#{name}:{alice.server_name}", body={"room_id": room_id}, status=400)
    alice.post("createRoom", body={"room_alias_name": name}, status=400)


# History


def test_between_a_kick_and_a_ban_a_room_is_closed(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    before = bob.token()
    alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id})
    event_id = alice.say(room_id, SECRET)
    alice.set_state(room_id, "m.room.topic", {"topic": SECRET})
    alice.post("rooms", room_id, "ban", body={"user_id": bob.user_id})

    answers = [
        bob.messages(room_id, limit=50),
        bob.messages(room_id, "f", limit=50),
        bob.get("rooms", room_id, "state"),
        bob.sync(before),
        bob.sync(before, full_state=True),
        bob.sync(filter={"room": {"include_leave": True}}),
    ]

    assert SECRET not in texts(answers)
    for what in ("event", "context"):
        bob.get("rooms", room_id, what, event_id, status=404)


def test_between_a_departure_and_a_declined_invite_a_room_is_closed(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    before = bob.token()
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, SECRET)
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    alice.say(room_id, SECRET)
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, SECRET)

    answers = [bob.sync(before), bob.sync(filter={"room": {"include_leave": True}})]
    history = bob.send("GET", "rooms", room_id, "messages", query={"dir": "b", "limit": 50})

    assert SECRET not in texts(answers)
    assert SECRET.encode() not in history.body


def test_members_of_a_time_before_ones_own_are_not_shown(alice: Client, bob: Client) -> None:
    joined = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room(initial_state=[joined])
    alice.put("rooms", room_id, "state", "m.room.member", alice.user_id, body=shown_as(SECRET))
    page, sync = alice.messages(room_id, limit=1)["start"], alice.token()
    alice.put("rooms", room_id, "state", "m.room.member", alice.user_id, body=shown_as("Alice"))
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    bob.join(room_id)

    for token in (page, sync, "p1", "p0", "p-9", "s1.0.x.0"):
        answer = bob.send("GET", "rooms", room_id, "members", query={"at": token})
        assert SECRET.encode() not in answer.body, token


@pytest.mark.parametrize("visibility", ["invited", "joined"])
def test_what_state_was_before_is_shown_to_those_who_could_see_it(alice: Client, bob: Client, visibility: str) -> None:
    content = {"history_visibility": visibility}
    hidden = {"type": "m.room.history_visibility", "state_key": "", "content": content}
    room_id = alice.create_room(initial_state=[hidden])
    alice.set_state(room_id, "m.room.topic", {"topic": SECRET})
    alice.set_state(room_id, "m.room.topic", {"topic": "harmless"})
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    bob.join(room_id)
    said = alice.say(room_id, "welcome")

    answers = [
        bob.sync(),
        bob.sync(full_state=True),
        bob.get("rooms", room_id, "state"),
        bob.get("rooms", room_id, "state", "m.room.topic", "", query={"format": "event"}),
        bob.get("rooms", room_id, "context", said),
        bob.messages(room_id, limit=50),
    ]

    assert SECRET not in texts(answers)
    assert SECRET in texts(alice.messages(room_id, limit=50))


def test_a_page_of_what_one_may_not_see_does_not_end_the_history(alice: Client, bob: Client) -> None:
    joined = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room_with(bob, initial_state=[joined])
    first = alice.say(room_id, "while bob was there")
    bob.post("rooms", room_id, "leave")
    for _ in range(30):
        alice.say(room_id, SECRET)
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    bob.join(room_id)

    seen, place = [], bob.messages(room_id, limit=1)
    while "end" in place:
        seen += place["chunk"]
        place = bob.messages(room_id, limit=3, begin=place["end"])

    assert first in [event["event_id"] for event in [*seen, *place["chunk"]]]
    assert SECRET not in texts(seen)


def shown_as(name: str) -> dict[str, str]:
    """The content of a member event."""
    return {"membership": "join", "displayname": name}


def test_what_was_redacted_reaches_nobody_who_had_not_seen_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    devices = [bob, *(bob.login_again() for _ in range(3))]
    seen = [device.sync(device.token())["next_batch"] for device in devices]

    event_id = alice.say(room_id, SECRET)
    alice.put("rooms", room_id, "redact", event_id, "a")

    answers = [device.sync(token) for device, token in zip(devices, seen, strict=True)]
    assert all(event_id in texts(answer) for answer in answers)
    assert SECRET not in texts(answers)
    assert SECRET not in texts([bob.messages(room_id), bob.sync(), bob.get("rooms", room_id, "context", event_id)])


def test_redacted_state_is_not_shown_as_what_was_before(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    topic = alice.set_state(room_id, "m.room.topic", {"topic": SECRET})
    alice.set_state(room_id, "m.room.topic", {"topic": "harmless"})
    alice.put("rooms", room_id, "redact", topic, "a")

    answers = [bob.messages(room_id, limit=50), bob.sync(), bob.get("rooms", room_id, "state")]

    assert "harmless" in texts(answers)
    assert SECRET not in texts(answers)


@pytest.mark.parametrize("what", ["event", "context"])
def test_whether_an_event_exists_elsewhere_is_not_told(alice: Client, bob: Client, what: str) -> None:
    mine, hers = bob.create_room(), alice.create_room()
    event_id = alice.say(hers, SECRET)

    for room_id in (mine, hers):
        one = bob.send("GET", "rooms", room_id, what, event_id)
        other = bob.send("GET", "rooms", room_id, what, NOBODYS_EVENT)
        assert one.status >= 400
        assert (one.status, one.body) == (other.status, other.body)


def test_a_receipt_for_an_event_elsewhere_is_refused_like_one_for_none(alice: Client, bob: Client) -> None:
    mine, hers = bob.create_room(), alice.create_room()
    event_id = alice.say(hers, SECRET)

    one = bob.send("POST", "rooms", mine, "receipt", "m.read", event_id, content=b"{}")
    other = bob.send("POST", "rooms", mine, "receipt", "m.read", NOBODYS_EVENT, content=b"{}")

    assert one.status == 404
    assert (one.status, one.body) == (other.status, other.body)


# Accounts


def test_a_device_called_like_anothers_is_another_device(alice: Client, bob: Client) -> None:
    namesake = bob.login_again(device_id=alice.device_id)

    message = {"messages": {alice.user_id: {alice.device_id: {"text": SECRET}}}}
    bob.put("sendToDevice", "org.example.secret", "a", body=message)

    assert namesake.device_id == alice.device_id
    assert SECRET not in texts(namesake.sync())
    assert SECRET in texts(alice.sync())
    namesake.post("logout")
    assert alice.get("account", "whoami")["device_id"] == alice.device_id


def test_a_long_name_of_a_device_or_of_a_client_is_bounded(alice: Client) -> None:
    alice.login_again(initial_device_display_name="n" * 10_000)
    body = {"type": "m.login.password", "user": alice.user_id, "password": "x", "device_id": "d" * 600}
    Client(alice.url).post("login", body=body, status=400)
    alice.send("GET", "account", "whoami", headers={"User-Agent": "a" * 10_000})

    assert max(len(device.get("display_name", "")) for device in alice.get("devices")["devices"]) <= 256


@pytest.mark.parametrize(
    "who", ["alice", "ALICE", "@alice", "alice:example.org", "alice\n", "alice\x00", "аlice", "ａlice"]
)
def test_no_name_is_mistaken_for_another(alice: Client, nobody: Client, who: str) -> None:
    name = alice.user_id[1:].partition(":")[0]
    body = {"username": who.replace("alice", name).replace("ALICE", name.upper()), "password": "x" * 12}

    answer = nobody.send("POST", "register", content=json.dumps(body).encode())

    assert answer.json["errcode"] in ("M_USER_IN_USE", "M_INVALID_USERNAME", "M_BAD_JSON")


def test_what_is_a_users_own_is_never_stored_by_others(alice: Client, nobody: Client) -> None:
    for client, path in (
        (alice, ("account", "whoami")),
        (alice, ("sync",)),
        (alice, ("devices",)),
        (alice, ("profile", alice.user_id)),
        (nobody, ("account", "whoami")),
        (nobody, ("login",)),
    ):
        assert client.send("GET", *path).headers["cache-control"] == "no-store", path
