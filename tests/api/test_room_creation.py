"""Creating rooms."""

from typing import Any

import pytest

from tests.api.client import Client, new_user
from tests.server import running


def test_a_new_room_begins_with_the_events_that_the_specification_lists_in_its_order(alice: Client) -> None:
    room_id = alice.create_room(
        name="Dovecote",
        topic="Pigeons",
        room_alias_name=f"dovecote-{alice.user_id[1:].split(':')[0]}",
        initial_state=[{"type": "org.example.first", "state_key": "key", "content": {"a": 1}}],
    )

    history = alice.messages(room_id, "f", limit=100)["chunk"]

    assert [event["type"] for event in history] == [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.canonical_alias",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "org.example.first",
        "m.room.name",
        "m.room.topic",
    ]
    assert {event["sender"] for event in history} == {alice.user_id}


@pytest.mark.parametrize(
    ("preset", "join_rule", "guest_access"),
    [
        ("private_chat", "invite", "can_join"),
        ("trusted_private_chat", "invite", "can_join"),
        ("public_chat", "public", "forbidden"),
    ],
)
def test_a_preset_sets_who_may_join_and_what_is_seen(
    alice: Client, preset: str, join_rule: str, guest_access: str
) -> None:
    room_id = alice.create_room(preset=preset)

    assert alice.state(room_id, "m.room.join_rules")["join_rule"] == join_rule
    assert alice.state(room_id, "m.room.history_visibility")["history_visibility"] == "shared"
    assert alice.state(room_id, "m.room.guest_access")["guest_access"] == guest_access


def test_initial_state_wins_over_the_preset(alice: Client) -> None:
    wish = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}

    room_id = alice.create_room(preset="public_chat", initial_state=[wish])

    assert alice.state(room_id, "m.room.history_visibility") == {"history_visibility": "joined"}


def test_in_a_trusted_private_chat_who_is_invited_has_the_power_of_the_creator(alice: Client, bob: Client) -> None:
    new = alice.create_room_with(bob, preset="trusted_private_chat", room_version="12")
    old = alice.create_room_with(bob, preset="trusted_private_chat", room_version="11")

    assert alice.state(new, "m.room.create")["additional_creators"] == [bob.user_id]
    assert alice.state(old, "m.room.power_levels")["users"] == {alice.user_id: 100, bob.user_id: 100}
    for room_id in (new, old):
        bob.set_state(room_id, "m.room.power_levels", {**alice.state(room_id, "m.room.power_levels"), "kick": 60})


every_version = pytest.mark.parametrize("version", [str(number) for number in range(1, 13)])


@every_version
def test_a_room_of_each_version_is_made_joined_and_spoken_in(alice: Client, bob: Client, version: str) -> None:
    room_id = alice.create_room(room_version=version, preset="public_chat")

    bob.join(room_id)
    event_id = bob.say(room_id, "hello")

    assert alice.state(room_id, "m.room.create")["room_version"] == version
    assert room_id.endswith(f":{alice.server_name}") == (version != "12")
    assert alice.get("rooms", room_id, "event", event_id)["content"]["body"] == "hello"


@every_version
def test_people_live_in_a_room_of_each_version(alice: Client, bob: Client, carol: Client, version: str) -> None:
    alias = f"#lived-in-{version}-{alice.user_id[1:].partition(':')[0]}:{alice.server_name}"
    room_id = alice.create_room(bob, carol, room_version=version)

    # They come, and somebody gets power.
    for guest in (bob, carol):
        guest.join(room_id)
    levels = alice.state(room_id, "m.room.power_levels")
    assert (alice.user_id in levels["users"]) == (version != "12")
    alice.set_state(room_id, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.user_id: 50}})
    carol.put("rooms", room_id, "state", "m.room.name", "", body={"name": "mine"}, status=403, errcode="M_FORBIDDEN")
    bob.set_state(room_id, "m.room.name", {"name": "Dovecote"})
    alice.put("directory", "room", alias, body={"room_id": room_id})
    alice.set_state(room_id, "m.room.canonical_alias", {"alias": alias})

    # They speak, and take it back.
    own, rude = carol.say(room_id, "own"), carol.say(room_id, "rude")
    mine = bob.say(room_id, "mine")
    carol.put("rooms", room_id, "redact", mine, "not-mine", status=403, errcode="M_FORBIDDEN")
    carol.put("rooms", room_id, "redact", own, "own")
    bob.put("rooms", room_id, "redact", rude, "rude", body={"reason": "rude"})
    seen = {event["event_id"]: event["content"] for event in alice.messages(room_id, limit=20)["chunk"]}
    assert (seen[own], seen[rude], seen[mine]["body"]) == ({}, {}, "mine")

    # They are sent away, come back, and go.
    bob.post("rooms", room_id, "kick", body={"user_id": carol.user_id})
    carol.join(alias, status=403, errcode="M_FORBIDDEN")
    bob.post("rooms", room_id, "invite", body={"user_id": carol.user_id})
    carol.join(alias)
    bob.post("rooms", room_id, "ban", body={"user_id": carol.user_id})
    bob.post("rooms", room_id, "invite", body={"user_id": carol.user_id}, status=403, errcode="M_FORBIDDEN")
    bob.post("rooms", room_id, "unban", body={"user_id": carol.user_id})
    bob.post("rooms", room_id, "ban", body={"user_id": alice.user_id}, status=403, errcode="M_FORBIDDEN")
    bob.post("rooms", room_id, "leave")
    members = alice.get("rooms", room_id, "members")["chunk"]
    memberships = {event["state_key"]: event["content"]["membership"] for event in members}
    assert memberships == {alice.user_id: "join", bob.user_id: "leave", carol.user_id: "leave"}


def test_a_room_is_of_version_12_unless_somebody_asks_for_another(alice: Client) -> None:
    assert alice.state(alice.create_room(), "m.room.create")["room_version"] == "12"


def test_the_default_version_is_what_the_settings_say() -> None:
    with running(settings={"default_room_version": "9"}) as server:
        alice = new_user(server.url, "alice")

        assert alice.get("capabilities")["capabilities"]["m.room_versions"]["default"] == "9"
        assert alice.state(alice.create_room(), "m.room.create")["room_version"] == "9"
        assert alice.state(alice.create_room(room_version="12"), "m.room.create")["room_version"] == "12"


def test_a_room_of_an_unknown_version_is_refused(alice: Client) -> None:
    alice.post("createRoom", body={"room_version": "999"}, status=400, errcode="M_UNSUPPORTED_ROOM_VERSION")


def test_an_alias_that_is_taken_is_refused_and_no_room_is_made(alice: Client) -> None:
    name = f"taken-{alice.user_id[1:].split(':')[0]}"
    room_id = alice.create_room(room_alias_name=name)

    alice.post("createRoom", body={"room_alias_name": name}, status=400, errcode="M_ROOM_IN_USE")

    assert alice.get("joined_rooms")["joined_rooms"] == [room_id]


def test_is_direct_is_told_to_those_who_are_invited(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(bob, is_direct=True)

    stripped = bob.sync()["rooms"]["invite"][room_id]["invite_state"]["events"]
    (membership,) = [event for event in stripped if event.get("state_key") == bob.user_id]
    assert membership["content"]["is_direct"] is True


@pytest.mark.parametrize(
    "wish",
    [
        {"preset": "no such preset"},
        {"visibility": "somewhat"},
        {"invite": "@bob:example.org"},
        {"invite": ["bob"]},
        {"name": 17},
        {"initial_state": [{"type": "m.room.name"}]},
        {"initial_state": {}},
        {"creation_content": []},
        {"power_level_content_override": []},
        {"room_alias_name": "with space and : colon"},
    ],
)
def test_a_wish_of_the_wrong_shape_is_refused(alice: Client, wish: dict[str, Any]) -> None:
    answer = alice.post("createRoom", body=wish, status=400)

    assert answer["errcode"] in ("M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM")
    assert alice.get("joined_rooms")["joined_rooms"] == []


def test_power_levels_that_shut_the_creator_out_are_refused(alice: Client) -> None:
    override = {"users": {alice.user_id: 0}, "state_default": 100}

    alice.post(
        "createRoom",
        body={"room_version": "11", "power_level_content_override": override, "name": "x"},
        status=400,
        errcode="M_INVALID_ROOM_STATE",
    )


def test_power_levels_given_at_creation_are_laid_over_the_usual_ones(alice: Client) -> None:
    room_id = alice.create_room(
        room_version="11", power_level_content_override={"events": {"m.room.topic": 0}, "invite": 75}
    )

    levels = alice.state(room_id, "m.room.power_levels")

    assert (levels["events"], levels["invite"], levels["ban"]) == ({"m.room.topic": 0}, 75, 50)


def test_a_room_that_is_to_be_public_is_in_the_directory(alice: Client, bob: Client, nobody: Client) -> None:
    room_id = alice.create_room(visibility="public", name="In the directory")

    shown = bob.post("publicRooms", body={"filter": {"generic_search_term": "in the directory"}})["chunk"]

    assert room_id in [room["room_id"] for room in shown]
    assert nobody.get("directory", "list", "room", room_id) == {"visibility": "public"}
