"""Rooms in the hands of administrators who are not in them: power, names, servers, successors, many users at once."""

import uuid

import pytest

from tests.api.client import PASSWORD, Client
from tests.server import Server

ROOMS = "/_columba/admin/v1/rooms"
MEMBERS = "/_columba/admin/v1/members"


@pytest.fixture
def admin(server: Server) -> Client:
    """An administrator of the server."""
    name = f"root.{uuid.uuid4().hex[:8]}"
    made = server.command("admin", "user", "register", name, "--admin", "--password-stdin", text=PASSWORD)
    assert made.returncode == 0, made.stderr
    identifier = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    nobody = Client(server.url)
    return nobody.known_as(nobody.post("login", body=body))


def test_power_is_given_and_users_are_muted(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    power = (ROOMS, room_id, "members", bob.user_id)

    assert admin.put(*power, "power", body={"level": 50}) == {"level": 50}
    bob.set_state(room_id, "m.room.topic", {"topic": "mine"})
    assert admin.post(*power, "mute") == {"level": -1}
    content = {"msgtype": "m.text", "body": "x"}
    bob.put("rooms", room_id, "send", "m.room.message", "1", body=content, status=403, errcode="M_FORBIDDEN")
    assert admin.put(*power, "power", body={}) == {"level": 0}
    bob.say(room_id, "here again")

    admin.put(*power, "power", body={"level": 2**60}, status=400, errcode="M_BAD_JSON")
    alice.put(*power, "power", body={"level": 50}, status=403, errcode="M_FORBIDDEN")


def test_a_room_is_named_published_and_both_is_taken_back(admin: Client, alice: Client) -> None:
    room_id = alice.create_room(preset="public_chat")
    alias = f"#orchard.{uuid.uuid4().hex[:8]}:{alice.user_id.partition(':')[2]}"

    admin.put(ROOMS, room_id, "aliases", alias, body={"main": True})
    admin.put(ROOMS, room_id, "directory", body={"published": True})
    shown = admin.get(ROOMS, room_id, "aliases"), admin.get(ROOMS, room_id, "directory")
    admin.delete(ROOMS, room_id, "aliases", alias)
    admin.put(ROOMS, room_id, "directory", body={"published": False})

    assert shown == ({"aliases": [alias], "canonical_alias": alias}, {"published": True})
    assert admin.get(ROOMS, room_id, "aliases") == {"aliases": [], "canonical_alias": None}
    assert admin.get(ROOMS, room_id, "directory") == {"published": False}
    alice.get("directory", "room", alias, status=404, errcode="M_NOT_FOUND")
    admin.delete(ROOMS, room_id, "aliases", alias, status=404, errcode="M_NOT_FOUND")


def test_servers_are_shut_out_of_a_room(admin: Client, alice: Client) -> None:
    room_id = alice.create_room()
    assert admin.get(ROOMS, room_id, "acl") == {"acl": None}

    changed = admin.post(ROOMS, room_id, "acl", body={"deny": ["evil.example"]})

    assert changed == {"acl": {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": True}}
    assert admin.get(ROOMS, room_id, "acl") == changed
    assert alice.get("rooms", room_id, "state", "m.room.server_acl")["deny"] == ["evil.example"]
    admin.post(ROOMS, room_id, "acl", body={"allow_no_more": ["*"]}, status=400, errcode="M_INVALID_PARAM")


def test_a_room_is_replaced(admin: Client, alice: Client) -> None:
    room_id, other = alice.create_room(room_version="10"), alice.create_room()

    new_room = admin.post(ROOMS, room_id, "upgrade", body={"new_version": "12"})["replacement_room"]
    admin.post(ROOMS, other, "tombstone", body={"replacement_room": new_room, "reason": "Over there"})

    assert alice.get("rooms", room_id, "state", "m.room.tombstone")["replacement_room"] == new_room
    closed = {"body": "Over there", "replacement_room": new_room}
    assert alice.get("rooms", other, "state", "m.room.tombstone") == closed
    admin.post(ROOMS, other, "upgrade", body={"new_version": "0"}, status=400, errcode="M_UNSUPPORTED_ROOM_VERSION")
    admin.post(ROOMS, other, "tombstone", body={"replacement_room": "x"}, status=400, errcode="M_INVALID_PARAM")


def test_those_whom_a_pattern_names_are_banned_and_what_they_said_is_redacted(
    admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    event_id = bob.say(room_id, "spam")
    kept = alice.say(room_id, "ham")
    pattern = bob.user_id.replace(":", "*:")
    looked_at = {"pattern": pattern, "removal": "ban"}

    found = admin.get(MEMBERS, query=looked_at)
    sent = admin.get(ROOMS, room_id, "sent", query={"pattern": pattern, "since_ms": 0})
    redacted = admin.post(ROOMS, room_id, "redact", body={"pattern": pattern, "since_ms": 0, "reason": "spam"})
    banned = admin.post(MEMBERS, "ban", body={"pattern": pattern, "reason": "spam"})

    hit = {"room_id": room_id, "user_id": bob.user_id, "membership": "join", "spared": False}
    assert found == {"members": [hit], "next": None}
    assert [one["event_id"] for one in sent["found"]] == [event_id]
    assert (redacted["done"], redacted["failed"], redacted["next"]) == (sent["found"], [], None)
    assert banned == {"done": [hit], "failed": [], "next": None}
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    assert alice.get("rooms", room_id, "event", event_id)["content"] == {}
    assert alice.get("rooms", room_id, "event", kept)["content"] != {}
    admin.post(MEMBERS, "unban", body={"pattern": pattern, "rooms": [room_id]})
    bob.join(room_id)
    admin.post(MEMBERS, "kick", body={"pattern": "*"}, status=400, errcode="M_INVALID_PARAM")
    admin.post(MEMBERS, "kick", body={"pattern": pattern, "rooms": ["x"]}, status=400, errcode="M_INVALID_PARAM")
    alice.post(MEMBERS, "kick", body={"pattern": pattern}, status=403, errcode="M_FORBIDDEN")
