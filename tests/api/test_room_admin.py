"""Rooms as administrators and their tools see them, over HTTP."""

import json
import uuid
from typing import Any

from tests.api.client import Client
from tests.server import Server

ROOMS = "/_synapse/admin/v1/rooms"
OWN = "/_columba/admin/v1/rooms"


def test_rooms_are_listed_page_by_page_and_found_by_their_names(admin: Client, alice: Client, bob: Client) -> None:
    word = f"orchard{uuid.uuid4().hex[:8]}"
    names = [f"{word} {letter}" for letter in "cab"]
    room_ids = {name: alice.create_room(name=name, preset="public_chat") for name in names}
    bob.join(room_ids[names[0]])

    def page(**query: Any) -> Any:  # Any: JSON
        return admin.get(ROOMS, query={"search_term": word.upper(), **query})

    first = page(limit=2)
    second = page(limit=2, **{"from": first["next_batch"]})
    by_members = page(order_by="joined_members")

    assert [room["name"] for room in first["rooms"]] == sorted(names)[:2]
    assert [room["name"] for room in second["rooms"]] == sorted(names)[2:]
    assert (first["total_rooms"], second["offset"], second["prev_batch"]) == (3, 2, 0)
    assert "next_batch" not in second
    assert by_members["rooms"][0]["room_id"] == room_ids[names[0]]
    assert by_members["rooms"][0]["joined_local_members"] == 2
    assert page(order_by="joined_members", dir="b")["rooms"][-1]["room_id"] == room_ids[names[0]]
    assert admin.get(OWN, query={"search_term": word, "order_by": "size_bytes"})["total_rooms"] == 3
    admin.get(ROOMS, query={"order_by": "beauty"}, status=400, errcode="M_INVALID_PARAM")
    alice.get(ROOMS, status=403, errcode="M_FORBIDDEN")


def test_a_room_is_read_by_an_administrator_who_is_not_in_it(admin: Client, alice: Client) -> None:
    secret = {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room(name="Salon", topic="Talk", initial_state=[secret])
    said = [alice.say(room_id, str(number)) for number in range(3)]

    details = admin.get(ROOMS, room_id)
    newest = admin.get(ROOMS, room_id, "messages", query={"dir": "b", "limit": 1})
    older = admin.get(ROOMS, room_id, "messages", query={"dir": "b", "limit": 1, "from": newest["end"]})
    around = admin.get(ROOMS, room_id, "context", said[1], query={"limit": 2})
    found = admin.get(ROOMS, room_id, "timestamp_to_event", query={"ts": 0})
    heads = admin.get(ROOMS, room_id, "forward_extremities")
    only_names = json.dumps({"types": ["m.room.name"]})

    assert (details["name"], details["topic"], details["creator"]) == ("Salon", "Talk", alice.user_id)
    assert (details["joined_local_devices"], details["forgotten"], details["tombstoned"]) == (1, False, False)
    assert details["state_events"] == len(admin.get(ROOMS, room_id, "state")["state"])
    assert admin.get(ROOMS, room_id, "members") == {"members": [alice.user_id], "total": 1}
    assert [newest["chunk"][0]["event_id"], older["chunk"][0]["event_id"]] == [said[2], said[1]]
    (named,) = admin.get(ROOMS, room_id, "messages", query={"filter": only_names})["chunk"]
    assert named["content"] == {"name": "Salon"}
    assert [around["events_before"][0]["event_id"], around["events_after"][0]["event_id"]] == [said[0], said[2]]
    assert found["event_id"] == admin.get(ROOMS, room_id, "messages", query={"limit": 1})["chunk"][0]["event_id"]
    assert (heads["count"], heads["results"][0]["event_id"]) == (1, said[2])
    alice.get(ROOMS, room_id, "messages", status=403, errcode="M_FORBIDDEN")


def test_what_is_not_here_is_not_found_and_what_makes_no_sense_is_refused(admin: Client, alice: Client) -> None:
    room_id = alice.create_room()
    event_id = "$" + "n" * 43

    for path in ((), ("members",), ("state",), ("messages",), ("context", event_id), ("forward_extremities",)):
        admin.get(ROOMS, "!none:example.org", *path, status=404, errcode="M_NOT_FOUND")
    admin.get(ROOMS, room_id, "context", event_id, status=404, errcode="M_NOT_FOUND")
    admin.get(ROOMS, room_id, "messages", query={"limit": -1}, status=400, errcode="M_INVALID_PARAM")
    admin.get(ROOMS, room_id, "messages", query={"from": alice.token()}, status=400, errcode="M_INVALID_PARAM")


def test_a_blocked_room_is_left_and_nothing_else_until_it_is_opened(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room(bob, preset="public_chat")
    assert admin.get(ROOMS, room_id, "block") == {"block": False}

    assert admin.put(ROOMS, room_id, "block", body={"block": True}) == {"block": True}
    found = admin.get(OWN, room_id, "block")
    assert (found["block"], found["user_id"]) == (True, admin.user_id)
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    content = {"msgtype": "m.text", "body": "x"}
    alice.put("rooms", room_id, "send", "m.room.message", "1", body=content, status=403, errcode="M_FORBIDDEN")
    invite = {"user_id": admin.user_id}
    alice.post("rooms", room_id, "invite", body=invite, status=403, errcode="M_FORBIDDEN")
    admin.get(ROOMS, room_id, "messages")

    assert admin.put(ROOMS, room_id, "block", body={"block": False}) == {"block": False}
    bob.join(room_id)
    alice.say(room_id, "here again")
    admin.put(ROOMS, room_id, "block", body={"block": True})
    bob.post("rooms", room_id, "leave")
    alice.put(ROOMS, room_id, "block", body={"block": False}, status=403, errcode="M_FORBIDDEN")


def test_a_room_that_is_not_known_here_is_blocked_too(admin: Client, alice: Client) -> None:
    room_id = f"!{uuid.uuid4().hex}:elsewhere.example"

    admin.put(ROOMS, room_id, "block", body={"block": True})

    alice.join(room_id, status=403, errcode="M_FORBIDDEN")
    assert admin.get(ROOMS, room_id, "block")["block"] is True


def test_an_administrator_takes_power_in_a_room_and_brings_others_in(
    server: Server, admin: Client, alice: Client, bob: Client
) -> None:
    room_id = alice.create_room()

    assert admin.post(ROOMS, room_id, "make_room_admin") == {}
    admin.join(room_id)
    assert admin.post("/_synapse/admin/v1/join", room_id, body={"user_id": bob.user_id}) == {"room_id": room_id}

    admin.set_state(room_id, "m.room.name", {"name": "ours"})
    assert room_id in bob.get("joined_rooms")["joined_rooms"]
    stranger = {"user_id": "@eve:elsewhere.example"}
    admin.post(OWN, room_id, "make_room_admin", body=stranger, status=400, errcode="M_INVALID_PARAM")
    by_socket = server.command("admin", "call", "POST", f"{OWN}/{room_id}/make_room_admin", "{}")
    assert "M_MISSING_PARAM" in by_socket.stderr


def test_administrators_moderate_rooms_that_they_are_not_in(admin: Client, alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    event_id = bob.say(room_id, "spam")

    redaction = admin.post(OWN, room_id, "redact", event_id, body={"reason": "spam"})
    admin.post(OWN, room_id, "kick", body={"user_id": bob.user_id})
    bob.join(room_id)
    everywhere = admin.post("/_columba/admin/v1/members", "ban", body={"user_id": bob.user_id, "reason": "spam"})

    banned = {"room_id": room_id, "user_id": bob.user_id, "membership": "join", "spared": False}
    assert everywhere == {"done": [banned], "failed": [], "next": None}
    bob.join(room_id, status=403, errcode="M_FORBIDDEN")
    admin.post(OWN, room_id, "unban", body={"user_id": bob.user_id})
    bob.join(room_id)
    redacted = bob.get("rooms", room_id, "event", event_id)
    assert (redacted["content"], redacted["unsigned"]["redacted_by"]) == ({}, redaction["event_id"])
    alice.post(OWN, room_id, "kick", body={"user_id": bob.user_id}, status=403, errcode="M_FORBIDDEN")
    admin.post(OWN, room_id, "unban", body={"user_id": bob.user_id}, status=403, errcode="M_BAD_STATE")


def test_the_rooms_of_a_space_are_seen_by_an_administrator_who_is_in_none_of_them(admin: Client, alice: Client) -> None:
    garden = alice.create_room(name="Garden", preset="private_chat")
    orchard = alice.create_room(name="Orchard", preset="private_chat", creation_content={"type": "m.space"})
    child = {"via": [alice.server_name]}
    alice.put("rooms", orchard, "state", "m.space.child", garden, body=child)

    first = admin.get(ROOMS, orchard, "hierarchy", query={"limit": 1})
    second = admin.get(OWN, orchard, "hierarchy", query={"from": first["next_batch"]})
    shallow = admin.get(ROOMS, orchard, "hierarchy", query={"max_depth": 0})

    assert [(room["room_id"], room["name"]) for room in first["rooms"] + second["rooms"]] == [
        (orchard, "Orchard"),
        (garden, "Garden"),
    ]
    assert first["rooms"][0]["children_state"][0]["content"] == child
    assert "next_batch" not in second
    assert shallow == {"rooms": first["rooms"]}
    admin.get(ROOMS, orchard, "hierarchy", query={"limit": 0}, status=400, errcode="M_INVALID_PARAM")
    admin.get(ROOMS, orchard, "hierarchy", query={"max_depth": -1}, status=400, errcode="M_INVALID_PARAM")
    admin.get(ROOMS, "!nowhere:example.org", "hierarchy", status=404, errcode="M_NOT_FOUND")
    alice.get(ROOMS, orchard, "hierarchy", status=403, errcode="M_FORBIDDEN")


def test_a_room_with_one_head_keeps_it_and_may_be_named_by_its_alias(admin: Client, alice: Client, bob: Client) -> None:
    name = f"orchard{uuid.uuid4().hex[:8]}"
    room_id = alice.create_room(room_alias_name=name)
    alias = f"#{name}:{alice.server_name}"
    said = alice.say(room_id, "one")

    deleted = admin.delete(ROOMS, alias, "forward_extremities")
    (head,) = admin.get(ROOMS, alias, "forward_extremities")["results"]
    admin.post(ROOMS, alias, "make_room_admin", body={"user_id": bob.user_id})

    assert deleted == {"deleted": 0}
    assert head["event_id"] == said
    bob.join(room_id)
    admin.delete(ROOMS, "!nowhere:example.org", "forward_extremities", status=404, errcode="M_NOT_FOUND")
    admin.get(ROOMS, "#nowhere:example.org", "forward_extremities", status=404, errcode="M_NOT_FOUND")
    alice.delete(ROOMS, room_id, "forward_extremities", status=403, errcode="M_FORBIDDEN")
