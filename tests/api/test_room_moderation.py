"""Rooms in the hands of administrators who are not in them: power, names, servers, successors, many users at once."""

import uuid

from tests.api.client import Client, new_user
from tests.server import Server

ROOMS = "/_columba/admin/v1/rooms"
MEMBERS = "/_columba/admin/v1/members"


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
    for whom in ({"pattern": "*"}, {"user_id": "bob"}, {"pattern": pattern, "user_id": bob.user_id}):
        admin.post(MEMBERS, "kick", body=whom, status=400, errcode="M_INVALID_PARAM")
    admin.post(MEMBERS, "kick", body={}, status=400, errcode="M_MISSING_PARAM")
    admin.post(MEMBERS, "kick", body={"pattern": pattern, "rooms": ["x"]}, status=400, errcode="M_INVALID_PARAM")
    alice.post(MEMBERS, "kick", body={"pattern": pattern}, status=403, errcode="M_FORBIDDEN")


def test_a_raid_is_stopped_from_the_shell_and_the_book_tells_who_did_what(
    server: Server, admin: Client, alice: Client
) -> None:
    room_id = alice.create_room(preset="public_chat", name="Salon")
    name = f"raid.{uuid.uuid4().hex[:8]}"
    raiders = [new_user(server.url, f"{name}.{number}") for number in range(3)]
    pattern = f"@{name}.*:*"
    for raider in raiders:
        raider.join(room_id)
        raider.say(room_id, "hats")

    def typed(*words: str) -> list[str]:
        done = server.command("admin", "room", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    listed = typed("list", "--search", room_id)
    looked_at = typed("ban", pattern, "--all", "--dry-run")
    banned = typed("ban", pattern, "--all", "--reason", "raid", "--yes")
    redacted = typed("redact", room_id, "--by", pattern, "--since", "1h", "--yes")
    level = typed("set-power", room_id, admin.user_id, "-2")
    shown = typed("show", room_id)

    assert len(listed) == 1
    assert listed[0].startswith(f'{room_id} "Salon": 4 members (4 here)')
    assert looked_at[-1] == "Would ban 3 users in 1 room. Nothing was changed."
    assert sorted(banned) == sorted(f"{room_id}: {raider.user_id} banned" for raider in raiders)
    assert len(redacted) == 3
    assert level == [f"{admin.user_id} has power level -2 in {room_id}."]
    assert "Members: 1, of which 1 are of this server" in shown
    said = [event for event in alice.messages(room_id, limit=50)["chunk"] if event["type"] == "m.room.message"]
    assert [event["content"] for event in said] == [{}] * 3
    acts = admin.get("/_columba/admin/v1/audit", query={"by": "owner", "target": pattern})["acts"]
    (act,) = acts
    assert (act["act"], act["outcome"]["status"]) == ("POST /_columba/admin/v1/members/ban", 200)
