"""Everything at once, and one room at once, over HTTP: for members, those who left, and onlookers."""

from typing import Any

from tests.api.client import Client

# Any: JSON, throughout.


def texts(room: Any) -> list[str]:
    return [event["content"]["body"] for event in room["messages"]["chunk"] if event["type"] == "m.room.message"]


def test_everything_has_rooms_joined_invited_to_and_if_wanted_left(alice: Client, bob: Client) -> None:
    joined = alice.create_room_with(bob, visibility="public")
    left = alice.create_room_with(bob)
    invited = alice.create_room(bob)
    for number in range(3):
        alice.say(joined, str(number))
    bob.post("rooms", left, "leave")

    found = bob.get("initialSync", query={"limit": 2})
    archived = bob.get("initialSync", query={"archived": "true"})

    rooms = {room["room_id"]: room for room in found["rooms"]}
    assert {room_id: room["membership"] for room_id, room in rooms.items()} == {joined: "join", invited: "invite"}
    assert texts(rooms[joined]) == ["1", "2"]
    assert rooms[joined]["visibility"] == "public"
    assert rooms[invited]["invite"]["state_key"] == bob.user_id
    assert {room["room_id"]: room["membership"] for room in archived["rooms"]}[left] == "leave"
    earlier = bob.messages(joined, **{"from": rooms[joined]["messages"]["start"], "limit": 1})
    assert texts({"messages": earlier}) == ["0"]


def test_one_room_is_told_to_members_and_to_all_once_all_may_read_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(name="Dovecote")
    alice.say(room_id, "private")
    bob.get("rooms", room_id, "initialSync", status=403, errcode="M_FORBIDDEN")
    alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "world_readable"})
    alice.say(room_id, "public")

    own = alice.get("rooms", room_id, "initialSync")
    looked_at = bob.get("rooms", room_id, "initialSync", query={"limit": 5})

    assert own["membership"] == "join"
    assert texts(own) == ["private", "public"]
    assert texts(looked_at) == ["public"]
    assert "membership" not in looked_at
    assert {"name": "Dovecote"} in [event["content"] for event in looked_at["state"]]


def test_a_limit_that_is_none_is_refused(alice: Client) -> None:
    room_id = alice.create_room()

    for limit in (-1, "all", 1.5):
        alice.get("initialSync", query={"limit": limit}, status=400, errcode="M_INVALID_PARAM")
        alice.get("rooms", room_id, "initialSync", query={"limit": limit}, status=400, errcode="M_INVALID_PARAM")
