"""Replacing rooms."""

import pytest

from tests.api.client import Client


@pytest.mark.parametrize(("old", "new"), [("1", "12"), ("10", "11"), ("11", "12"), ("12", "12"), ("12", "10")])
def test_a_room_is_replaced_and_its_members_find_the_way(alice: Client, bob: Client, old: str, new: str) -> None:
    name = f"upgraded-{old}-{new}-{alice.user_id[1:].partition(':')[0]}"
    wishes = {
        "room_version": old,
        "preset": "public_chat",
        "name": "Dovecote",
        "room_alias_name": name,
    }
    room_id = alice.create_room_with(bob, **wishes)
    bob.put("user", bob.user_id, "rooms", room_id, "tags", "m.favourite", body={"order": 0.25})
    since = bob.token()

    replacement = alice.post("rooms", room_id, "upgrade", body={"new_version": new})["replacement_room"]

    told = bob.sync(since)["rooms"]["join"]
    assert told[room_id]["timeline"]["events"][0]["type"] == "m.room.tombstone"
    assert bob.state(room_id, "m.room.tombstone")["replacement_room"] == replacement
    assert replacement not in told
    bob.put(
        "rooms",
        room_id,
        "send",
        "m.room.message",
        "late",
        body={"msgtype": "m.text", "body": "?"},
        status=403,
        errcode="M_FORBIDDEN",
    )
    since = bob.token()
    assert bob.join(f"#{name}:{alice.server_name}")["room_id"] == replacement
    joined = bob.sync(since)["rooms"]["join"][replacement]
    tags = [event["content"] for event in joined["account_data"]["events"] if event["type"] == "m.tag"]
    assert tags == [{"tags": {"m.favourite": {"order": 0.25}}}]
    bob.say(replacement, "hello again")
    create = alice.state(replacement, "m.room.create")
    assert (create["room_version"], create["predecessor"]["room_id"]) == (new, room_id)
    assert alice.state(replacement, "m.room.name") == {"name": "Dovecote"}
    again = alice.post("rooms", room_id, "upgrade", body={"new_version": new})
    assert again == {"replacement_room": replacement}


def test_a_version_that_is_not_known_is_refused(alice: Client) -> None:
    room_id = alice.create_room()

    alice.post(
        "rooms", room_id, "upgrade", body={"new_version": "13"}, status=400, errcode="M_UNSUPPORTED_ROOM_VERSION"
    )
    alice.post("rooms", room_id, "upgrade", body={}, status=400, errcode="M_BAD_JSON")
    alice.state(room_id, "m.room.tombstone", status=404, errcode="M_NOT_FOUND")


def test_who_may_not_send_a_tombstone_may_not_replace_the_room(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    bob.post("rooms", room_id, "upgrade", body={"new_version": "12"}, status=403, errcode="M_FORBIDDEN")


def test_a_room_of_others_is_not_found_like_one_that_does_not_exist(alice: Client, bob: Client) -> None:
    of_others = alice.create_room()
    nowhere = f"!none:{alice.server_name}"

    refused = [
        bob.post("rooms", room_id, "upgrade", body={"new_version": "12"}, status=404, errcode="M_NOT_FOUND")
        for room_id in (of_others, nowhere)
    ]

    assert refused[0] == refused[1]


def test_additional_creators_are_creators_of_the_new_room(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, room_version="11")

    body = {"new_version": "12", "additional_creators": [bob.user_id]}
    replacement = alice.post("rooms", room_id, "upgrade", body=body)["replacement_room"]

    assert alice.state(replacement, "m.room.create")["additional_creators"] == [bob.user_id]
    body = {"new_version": "12", "additional_creators": ["bob"]}
    alice.post("rooms", room_id, "upgrade", body=body, status=400, errcode="M_INVALID_PARAM")


@pytest.mark.parametrize("old", [str(number) for number in range(1, 13)])
def test_a_room_of_each_version_is_replaced_by_one_with_more_creators(
    alice: Client, bob: Client, carol: Client, old: str
) -> None:
    room_id = alice.create_room_with(
        bob, carol, room_version=old, name="Dovecote", topic="Pigeons", power_level_content_override={"kick": 60}
    )
    levels = alice.state(room_id, "m.room.power_levels")
    users = {**levels["users"], bob.user_id: 50, carol.user_id: 50}
    alice.set_state(room_id, "m.room.power_levels", {**levels, "users": users})
    shared = ("m.room.name", "m.room.topic", "m.room.join_rules", "m.room.history_visibility", "m.room.guest_access")
    before = {event_type: alice.state(room_id, event_type) for event_type in shared}

    body = {"new_version": "12", "additional_creators": [bob.user_id]}
    replacement = alice.post("rooms", room_id, "upgrade", body=body)["replacement_room"]

    assert alice.state(room_id, "m.room.tombstone")["replacement_room"] == replacement
    create = alice.state(replacement, "m.room.create")
    assert (create["room_version"], create["predecessor"]["room_id"]) == ("12", room_id)
    assert create["additional_creators"] == [bob.user_id]
    assert {event_type: alice.state(replacement, event_type) for event_type in shared} == before
    moved = alice.state(replacement, "m.room.power_levels")
    assert moved["kick"] == 60
    assert moved["users"] == {carol.user_id: 50}
    for guest in (bob, carol):
        alice.post("rooms", replacement, "invite", body={"user_id": guest.user_id})
        guest.join(replacement)
    carol.post("rooms", replacement, "kick", body={"user_id": bob.user_id}, status=403, errcode="M_FORBIDDEN")
    bob.post("rooms", replacement, "kick", body={"user_id": carol.user_id})
    bob.set_state(replacement, "m.room.power_levels", {**moved, "users": {}})
