"""Sliding sync over HTTP: windows of lists of rooms, subscriptions, what is told of each room, and what never is."""

from typing import Any

import pytest

from tests.api.client import Client, meanwhile, new_user
from tests.api.sliding import PATH, Connection, following, keys, texts
from tests.server import running
from tests.services.e2ee.signed_keys import device_keys

# Any: JSON, throughout.

NAME = ["m.room.name", ""]


def test_clients_find_out_that_it_is_there(alice: Client) -> None:
    features = alice.get("/_matrix/client", "versions")["unstable_features"]

    assert features["org.matrix.simplified_msc3575"] is True


def test_a_window_shows_the_rooms_that_are_most_active_and_counts_all(alice: Client) -> None:
    rooms = [alice.create_room(name=f"Room {number}") for number in range(4)]
    alice.say(rooms[1], "first")

    answer = following(alice, last=1).ask()

    assert answer["lists"] == {"all": {"count": 4}}
    assert set(answer["rooms"]) == {rooms[1], rooms[3]}
    room = answer["rooms"][rooms[1]]
    assert room["initial"] is True
    assert room["name"] == "Room 1"
    assert texts(room) == ["first"]
    assert (room["joined_count"], room["invited_count"], room["num_live"]) == (1, 0, 0)
    assert (room["membership"], room["lists"]) == ("join", ["all"])
    assert room["notification_count"] == room["highlight_count"] == 0
    assert "heroes" not in room


def test_what_follows_tells_only_what_is_new(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Room", preset="public_chat")
    connection = following(alice, required_state=[NAME])
    first = connection.ask()["rooms"][room_id]
    bob.say(room_id, "hello")

    second = connection.ask()["rooms"][room_id]

    assert keys(first) == {("m.room.name", "")}
    assert texts(second) == ["hello"]
    assert second["num_live"] == 1
    assert second["notification_count"] == 1
    assert second["bump_stamp"] > first["bump_stamp"]
    assert second["required_state"] == []
    assert not {"initial", "name", "joined_count", "heroes"} & set(second)
    assert connection.ask()["rooms"] == {}


def test_a_window_that_grows_tells_of_the_rooms_that_come_into_sight(alice: Client) -> None:
    rooms = [alice.create_room() for _ in range(3)]
    connection = following(alice, last=0)
    assert list(connection.ask()["rooms"]) == [rooms[2]]
    connection.want_list(last=9)

    assert set(connection.ask()["rooms"]) == set(rooms[:2])


def test_a_room_that_was_out_of_sight_is_told_of_from_where_it_was(alice: Client) -> None:
    first, second = alice.create_room(), alice.create_room()
    connection = following(alice, last=0, required_state=[NAME])
    connection.want_list(last=1)
    connection.ask()
    connection.want_list(last=0)
    connection.ask()
    alice.say(first, "one")
    alice.say(second, "two")
    assert list(connection.ask()["rooms"]) == [second]
    connection.want_list(last=1)

    room = connection.ask()["rooms"][first]

    assert texts(room) == ["one"]
    assert "initial" not in room


def test_a_room_is_subscribed_to_with_more_of_its_timeline_and_state(alice: Client) -> None:
    room_id = alice.create_room(name="Room", topic="All")
    for number in range(5):
        alice.say(room_id, str(number))
    connection = following(alice, timeline_limit=1, required_state=[NAME])
    assert texts(connection.ask()["rooms"][room_id]) == ["4"]
    topic = ["m.room.topic", ""]
    connection.want(room_subscriptions={room_id: {"timeline_limit": 3, "required_state": [topic]}})

    room = connection.ask()["rooms"][room_id]

    assert texts(room) == ["2", "3", "4"]
    assert room["unstable_expanded_timeline"] is True
    assert room["num_live"] == 0
    assert "initial" not in room
    assert keys(room) == {("m.room.topic", "")}
    connection.want(room_subscriptions={})
    assert connection.ask()["rooms"] == {}
    connection.want(room_subscriptions={room_id: {"timeline_limit": 3, "required_state": [topic]}})
    assert connection.ask()["rooms"] == {}  # all of it was told


def test_state_is_told_by_wild_pairs_and_members_as_they_are_needed(alice: Client, bob: Client) -> None:
    carol = new_user(alice.url, "carol")
    room_id = alice.create_room_with(bob, carol, preset="public_chat", name="Room")
    bob.say(room_id, "hello")
    lazy = [["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]]

    room = following(alice, timeline_limit=1, required_state=lazy).ask()["rooms"][room_id]
    all_members = following(alice, "other", required_state=[["m.room.member", "*"]]).ask()["rooms"][room_id]
    mine = following(alice, "third", required_state=[["*", alice.user_id]]).ask()["rooms"][room_id]

    members = {key for event_type, key in keys(room) if event_type == "m.room.member"}
    assert members == {alice.user_id, bob.user_id}
    assert {("m.room.name", ""), ("m.room.create", ""), ("m.room.power_levels", "")} < keys(room)
    assert keys(all_members) == {("m.room.member", user.user_id) for user in (alice, bob, carol)}
    assert keys(mine) == {("m.room.member", alice.user_id)}


def test_members_that_were_told_are_not_told_again_unless_an_answer_is_lost(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    connection = following(alice, timeline_limit=1, required_state=[["m.room.member", "$LAZY"]])
    connection.ask()
    alice.say(room_id, "one")
    told = connection.try_to_ask()["rooms"][room_id]
    again = connection.ask()["rooms"][room_id]
    alice.say(room_id, "two")
    later = connection.ask()["rooms"][room_id]

    assert keys(told) == keys(again) == {("m.room.member", alice.user_id)}
    assert later["required_state"] == []


def test_an_answer_that_was_lost_is_given_again(alice: Client) -> None:
    room_id = alice.create_room(name="Room")
    other = alice.create_room(name="Other")
    connection = following(alice, last=0)
    connection.ask()
    alice.say(room_id, "hello")
    lost = connection.try_to_ask()
    alice.say(room_id, "still there")

    again = connection.ask()

    assert texts(lost["rooms"][room_id]) == ["hello"]
    assert texts(again["rooms"][room_id]) == ["hello", "still there"]
    assert again["rooms"][room_id]["initial"] is True
    assert connection.ask()["rooms"] == {}
    alice.say(other, "and here")
    assert texts(connection.ask()["rooms"][other]) == ["and here"]


def test_a_connection_goes_on_after_the_server_was_started_again() -> None:
    with running() as server:
        alice = new_user(server.url, "alice")
        rooms = [alice.create_room(name=f"Room {number}") for number in range(3)]
        connection = following(alice, last=1, required_state=[NAME])
        connection.ask()

        server.restart()
        alice.say(rooms[2], "hello")
        alice.say(rooms[0], "hello")
        answer = connection.ask()

    assert set(answer["rooms"]) == {rooms[0], rooms[2]}
    assert "initial" not in answer["rooms"][rooms[2]]
    assert answer["rooms"][rooms[2]]["required_state"] == []
    assert answer["rooms"][rooms[0]]["initial"] is True


@pytest.mark.parametrize("pos", ["w1.99.1.boot.0.0", "what", "s1.1.x.1", "w9223372036854775.0.0.boot.0.0"])
def test_a_position_that_is_not_known_is_refused(alice: Client, pos: str) -> None:
    alice.create_room()
    following(alice).ask()

    following(alice).try_to_ask(pos=pos, status=400, errcode="M_UNKNOWN_POS")


def test_positions_are_of_one_connection_of_one_device(alice: Client, bob: Client) -> None:
    alice.create_room()
    connection, other = following(alice), following(alice, "other")
    connection.ask()
    other.ask()

    other.try_to_ask(pos=connection.pos, status=400, errcode="M_UNKNOWN_POS")
    following(alice.login_again()).try_to_ask(pos=connection.pos, status=400, errcode="M_UNKNOWN_POS")
    following(bob).try_to_ask(pos=connection.pos, status=400, errcode="M_UNKNOWN_POS")
    assert connection.ask()["rooms"] == other.ask()["rooms"] == {}


def test_a_new_connection_takes_the_place_of_one_of_its_name(alice: Client) -> None:
    alice.create_room()
    old = following(alice)
    old.ask()

    assert len(following(alice).ask()["rooms"]) == 1

    old.try_to_ask(status=400, errcode="M_UNKNOWN_POS")


def test_rooms_without_a_name_are_known_by_others_in_them(alice: Client, bob: Client) -> None:
    bob.put("profile", bob.user_id, "displayname", body={"displayname": "Bob"})
    room_id = alice.create_room(bob, is_direct=True)
    content = {bob.user_id: [room_id]}
    alice.put("user", alice.user_id, "account_data", "m.direct", body=content)
    connection = following(alice)

    room = connection.ask()["rooms"][room_id]

    assert room["heroes"] == [{"user_id": bob.user_id, "displayname": "Bob"}]
    assert (room["joined_count"], room["invited_count"], room["is_dm"]) == (1, 1, True)
    bob.join(room_id)
    joined = connection.ask()["rooms"][room_id]
    assert (joined["joined_count"], joined["invited_count"]) == (2, 0)
    alice.set_state(room_id, "m.room.name", {"name": "Room"})
    assert connection.ask()["rooms"][room_id]["name"] == "Room"
    alice.set_state(room_id, "m.room.name", {})
    nameless = connection.ask()["rooms"][room_id]
    assert nameless["name"] is None
    assert nameless["heroes"][0]["user_id"] == bob.user_id


def test_an_invite_shows_what_is_shown_to_the_invited_and_nothing_else(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(bob, name="Secret")
    alice.say(room_id, "not for bob")
    connection = following(bob, required_state=[["*", "*"]])

    room = connection.ask()["rooms"][room_id]

    assert room["membership"] == "invite"
    assert {"m.room.name", "m.room.member"} <= {event["type"] for event in room["invite_state"]}
    assert not {"timeline", "required_state", "joined_count", "heroes", "name"} & set(room)
    alice.say(room_id, "nor this")
    assert connection.ask()["rooms"] == {}
    bob.join(room_id)
    joined = connection.ask()["rooms"][room_id]
    assert joined["initial"] is True
    assert joined["name"] == "Secret"


def test_who_was_removed_is_told_how_and_nothing_that_came_later(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Room")
    connection = following(bob, required_state=[["*", "*"]])
    connection.ask()
    alice.say(room_id, "before")
    alice.post("rooms", room_id, "ban", body={"user_id": bob.user_id})
    alice.say(room_id, "after")
    alice.set_state(room_id, "m.room.name", {"name": "Later"})

    room = connection.ask()["rooms"][room_id]
    fresh = following(bob, "fresh", required_state=[["*", "*"]]).ask()["rooms"][room_id]

    for told in (room, fresh):
        assert told["membership"] == "ban"
        assert texts(told) == ["before"]
        assert told["timeline"][-1]["content"]["membership"] == "ban"
        assert "Later" not in str(told)
        assert "joined_count" not in told
        assert "heroes" not in told
    assert ("m.room.member", bob.user_id) in keys(room)
    assert fresh["name"] == "Room"
    alice.say(room_id, "much later")
    assert connection.ask()["rooms"] == {}


def test_a_room_that_its_user_left_is_told_of_once_where_it_was_known(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    connection = following(bob)
    connection.ask()
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, "after")

    left = connection.ask()

    assert left["rooms"][room_id]["membership"] == "leave"
    assert texts(left["rooms"][room_id]) == []
    gone = connection.ask()
    assert (gone["rooms"], gone["lists"]["all"]["count"]) == ({}, 0)
    assert following(bob, "fresh").ask()["rooms"] == {}
    subscribed = Connection(bob, "subscribed")
    subscribed.want(room_subscriptions={room_id: {"timeline_limit": 10, "required_state": [["*", "*"]]}})
    assert subscribed.ask()["rooms"] == {}
    bob.join(room_id)
    assert connection.ask()["rooms"][room_id]["initial"] is True


def test_whoever_comes_back_sees_of_the_time_between_what_the_room_lets_them(alice: Client, bob: Client) -> None:
    hidden = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room_id = alice.create_room_with(bob, preset="public_chat", initial_state=[hidden])
    connection = following(bob)
    connection.ask()
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, "between")
    bob.join(room_id)
    alice.say(room_id, "again")

    room = connection.ask()["rooms"][room_id]

    assert texts(room) == ["again"]


@pytest.mark.parametrize("room_id", ["!nowhere:example.org", "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"])
def test_a_room_of_others_is_subscribed_to_in_vain(alice: Client, bob: Client, room_id: str) -> None:
    private = alice.create_room(name="Private")
    connection = Connection(bob)
    wish = {"timeline_limit": 10, "required_state": [["*", "*"]]}
    connection.want(room_subscriptions={private: wish, room_id: wish})

    assert connection.ask()["rooms"] == {}


def test_lists_are_filtered(alice: Client, bob: Client) -> None:
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    rooms = {
        "plain": alice.create_room(name="Garden"),
        "encrypted": alice.create_room(name="Secret garden", initial_state=[encryption]),
        "space": alice.create_room(creation_content={"type": "m.space"}),
        "direct": alice.create_room(bob, is_direct=True),
        "invite": bob.create_room(alice, name="Bob's garden"),
    }
    alice.put("user", alice.user_id, "account_data", "m.direct", body={bob.user_id: [rooms["direct"]]})
    alice.put("user", alice.user_id, "rooms", rooms["plain"], "tags", "m.favourite", body={})
    alice.set_state(rooms["space"], "m.space.child", {"via": ["example.org"]}, rooms["plain"])

    def listed(**filters: Any) -> set[str]:
        connection = following(alice, "filtered", filters=filters)
        answer = connection.ask()
        assert answer["lists"]["all"]["count"] == len(answer["rooms"])
        return {name for name, room_id in rooms.items() if room_id in answer["rooms"]}

    assert listed() == set(rooms)
    assert listed(is_dm=True) == {"direct"}
    assert listed(is_dm=False) == set(rooms) - {"direct"}
    assert listed(is_encrypted=True) == {"encrypted"}
    assert listed(is_encrypted=False) == set(rooms) - {"encrypted"}
    assert listed(is_invite=True) == listed(is_invited=True) == {"invite"}
    assert listed(is_invite=False) == set(rooms) - {"invite"}
    assert listed(room_types=["m.space"]) == {"space"}
    assert listed(room_types=[None]) == set(rooms) - {"space"}
    assert listed(not_room_types=["m.space"]) == set(rooms) - {"space"}
    assert listed(room_types=["m.space", None], not_room_types=[None]) == {"space"}
    assert listed(spaces=[rooms["space"]]) == {"plain"}
    assert listed(tags=["m.favourite"]) == {"plain"}
    assert listed(not_tags=["m.favourite"]) == set(rooms) - {"plain"}
    assert listed(room_name_like="GARDEN") == {"plain", "encrypted", "invite"}


def test_what_ignored_users_say_and_where_they_invite_to_is_not_told(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    invite = bob.create_room(alice)
    alice.put("user", alice.user_id, "account_data", "m.ignored_user_list", body={"ignored_users": {bob.user_id: {}}})
    bob.say(room_id, "ignored")
    alice.say(room_id, "heard")

    answer = following(alice).ask()

    assert texts(answer["rooms"][room_id]) == ["heard"]
    assert invite not in answer["rooms"]


def test_a_request_that_waits_is_answered_when_something_happens(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    connection = following(bob)
    connection.ask()
    connection.ask()

    with meanwhile(lambda: connection.ask(timeout_ms=60_000)) as asked:
        alice.say(room_id, "at last")
        answer = asked.result()

    assert texts(answer["rooms"][room_id]) == ["at last"]


BAD_BODIES = [
    {"lists": {"all": {"ranges": [[0, 1]], "required_state": []}}},
    {"lists": {"all": {"ranges": [[0, "x"]], "timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"ranges": [[0]], "timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"timeline_limit": 1, "required_state": [["m.room.name"]]}}},
    {"lists": [], "room_subscriptions": {}},
    {"conn_id": 1},
    {"extensions": {"typing": {"enabled": "yes"}}},
]
OUT_OF_BOUNDS = [
    {
        "lists": {
            str(n): {"timeline_limit": 1, "required_state": [[f"{n}", str(k)] for k in range(100)]} for n in range(21)
        }
    },
    {"lists": {"all": {"ranges": [[1, 0]], "timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"ranges": [[-1, 0]], "timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"ranges": [[0, 0]] * 21, "timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"timeline_limit": -1, "required_state": []}}},
    {"lists": {"all": {"timeline_limit": 1, "required_state": [["a", "b"]] * 201}}},
    {"lists": {"all": {"timeline_limit": 1, "required_state": [["a" * 256, "b"]]}}},
    {"lists": {str(number): {"timeline_limit": 1, "required_state": []} for number in range(101)}},
    {"lists": {"a" * 256: {"timeline_limit": 1, "required_state": []}}},
    {"lists": {"all": {"timeline_limit": 1, "required_state": [], "filters": {"tags": ["a"] * 101}}}},
    {"room_subscriptions": {"no room": {"timeline_limit": 1, "required_state": []}}},
    {"room_subscriptions": {f"!{n}:example.org": {"timeline_limit": 1, "required_state": []} for n in range(501)}},
    {"conn_id": "a" * 256},
    {"extensions": {"to_device": {"enabled": True, "limit": 0}}},
    {"extensions": {"to_device": {"enabled": True, "since": "x"}}},
    {"extensions": {"typing": {"enabled": True, "lists": ["a"] * 101}}},
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_request_of_a_wrong_shape_is_refused(alice: Client, body: Any) -> None:
    alice.post(*PATH, body=body, status=400, errcode="M_BAD_JSON")


@pytest.mark.parametrize("body", OUT_OF_BOUNDS)
def test_a_request_out_of_bounds_is_refused(alice: Client, body: Any) -> None:
    alice.post(*PATH, body=body, status=400, errcode="M_INVALID_PARAM")


def test_a_negative_timeout_is_refused(alice: Client) -> None:
    alice.post(*PATH, query={"timeout": -1}, status=400, errcode="M_INVALID_PARAM")


def test_messages_for_a_device_are_told_until_it_shows_to_have_them(alice: Client, bob: Client) -> None:
    def wanting(since: str | None) -> Connection:
        wish = {"enabled": True, "limit": 2, **({} if since is None else {"since": since})}
        connection.want(extensions={"to_device": wish})
        return connection

    connection = Connection(bob, "encryption")
    for number in range(3):
        messages = {bob.user_id: {bob.device_id: {"number": number}}}
        alice.put("sendToDevice", "m.test", alice.new_transaction(), body={"messages": messages})

    first = wanting(None).ask()["extensions"]["to_device"]
    again = wanting(None).ask()["extensions"]["to_device"]
    second = wanting(first["next_batch"]).ask()["extensions"]["to_device"]
    third = wanting(second["next_batch"]).ask()["extensions"]["to_device"]

    assert [message["content"]["number"] for message in first["events"]] == [0, 1]
    assert again == first
    assert [message["content"]["number"] for message in second["events"]] == [2]
    assert third["events"] == []


def test_a_device_is_told_of_its_keys_and_of_whose_devices_changed(alice: Client, bob: Client) -> None:
    connection = Connection(bob, "encryption")
    connection.want(extensions={"e2ee": {"enabled": True}})
    first = connection.ask()["extensions"]["e2ee"]

    alice.create_room_with(bob)
    alice.post("keys", "upload", body={"device_keys": device_keys(alice.user_id, alice.device_id)})
    second = connection.ask()["extensions"]["e2ee"]

    assert first == {"device_one_time_keys_count": {"signed_curve25519": 0}, "device_unused_fallback_key_types": []}
    assert alice.user_id in second["device_lists"]["changed"]
    other = alice.login_again()
    other.post("keys", "upload", body={"device_keys": device_keys(alice.user_id, other.device_id)})
    assert connection.ask()["extensions"]["e2ee"]["device_lists"] == {"changed": [alice.user_id]}
    assert "device_lists" not in connection.ask()["extensions"]["e2ee"]


def test_account_data_is_told_of_the_rooms_in_sight(alice: Client) -> None:
    rooms = [alice.create_room() for _ in range(2)]
    for room_id in rooms:
        alice.put("user", alice.user_id, "rooms", room_id, "account_data", "org.example.a", body={"in": room_id})
    alice.put("user", alice.user_id, "account_data", "org.example.b", body={"x": 1})
    connection = following(alice, last=0)
    connection.want(extensions={"account_data": {"enabled": True}})

    first = connection.ask()["extensions"]["account_data"]
    alice.put("user", alice.user_id, "rooms", rooms[0], "account_data", "org.example.a", body={"new": True})
    alice.put("user", alice.user_id, "account_data", "org.example.b", body={"x": 2})
    second = connection.ask()["extensions"]["account_data"]
    connection.want_list(last=1)
    third = connection.ask()["extensions"]["account_data"]

    assert {event["type"] for event in first["global"]} == {"m.push_rules", "org.example.b"}
    assert first["rooms"] == {rooms[1]: [{"type": "org.example.a", "content": {"in": rooms[1]}}]}
    assert second == {"global": [{"type": "org.example.b", "content": {"x": 2}}], "rooms": {}}
    assert third == {"global": [], "rooms": {rooms[0]: [{"type": "org.example.a", "content": {"new": True}}]}}


def test_receipts_are_told_of_what_is_shown_and_then_as_they_move(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    old, new = alice.say(room_id, "old"), alice.say(room_id, "new")
    bob.post("rooms", room_id, "receipt", "m.read", old)
    connection = following(alice, timeline_limit=1)
    connection.want(extensions={"receipts": {"enabled": True}})

    first = connection.ask()["extensions"]["receipts"]
    bob.post("rooms", room_id, "receipt", "m.read", new)
    second = connection.ask()
    bob.post("rooms", room_id, "receipt", "m.read.private", alice.say(room_id, "newest"))
    third = connection.ask()["extensions"]["receipts"]

    assert first == {"rooms": {}}
    assert second["rooms"] == {}
    told = second["extensions"]["receipts"]["rooms"][room_id]
    assert set(told["content"][new]["m.read"]) == {bob.user_id}
    assert third == {"rooms": {}}


def test_what_was_read_on_another_device_is_counted_no_more(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    connection = following(bob)
    connection.ask()
    event_id = alice.say(room_id, "read this")
    assert connection.ask()["rooms"][room_id]["notification_count"] == 1

    bob.login_again().post("rooms", room_id, "receipt", "m.read", event_id)

    assert connection.ask()["rooms"][room_id]["notification_count"] == 0


def test_typing_is_told_of_the_rooms_and_lists_that_are_asked_for(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)

    def told(**scope: Any) -> Any:
        connection = following(bob, "typing")
        connection.want(
            extensions={"typing": {"enabled": True, **scope}},
            room_subscriptions={room_id: {"timeline_limit": 1, "required_state": []}},
        )
        return connection.ask()["extensions"]["typing"]["rooms"]

    alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": True})

    assert told()[room_id] == {"type": "m.typing", "content": {"user_ids": [alice.user_id]}}
    assert set(told(lists=["all"], rooms=[])) == {room_id}
    assert set(told(lists=[], rooms=[room_id])) == {room_id}
    assert set(told(lists=["other"], rooms=["*"])) == {room_id}
    assert told(lists=[], rooms=[]) == {}
    assert told(lists=["other"], rooms=["!other:example.org"]) == {}


def test_extensions_that_are_not_wanted_or_not_known_are_not_answered(alice: Client) -> None:
    connection = Connection(alice)
    connection.want(extensions={"typing": {"enabled": False}, "e2ee": {}, "org.example.other": {"enabled": True}})

    assert connection.ask()["extensions"] == {}


def test_a_knock_and_its_end_are_told(alice: Client, bob: Client) -> None:
    rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    room_id = alice.create_room(name="Room", initial_state=[rules])
    connection = following(bob)
    connection.ask()
    bob.post("knock", room_id)

    knocked = connection.ask()["rooms"][room_id]
    alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id})
    refused = connection.ask()["rooms"][room_id]

    assert knocked["membership"] == "knock"
    assert "m.room.name" in {event["type"] for event in knocked["invite_state"]}
    assert refused["membership"] == "leave"
    assert [event["type"] for event in refused["timeline"]] == ["m.room.member"]
    assert connection.ask()["rooms"] == {}
    assert following(bob, "fresh").ask()["lists"]["all"]["count"] == 0


def test_an_invite_that_was_declined_or_taken_back_goes(alice: Client, bob: Client) -> None:
    declined, taken_back = alice.create_room(bob), alice.create_room(bob)
    connection = following(bob)
    connection.ask()
    bob.post("rooms", declined, "leave")
    alice.post("rooms", taken_back, "kick", body={"user_id": bob.user_id})

    rooms = connection.ask()["rooms"]

    assert {room_id: room["membership"] for room_id, room in rooms.items()} == {declined: "leave", taken_back: "leave"}
    assert connection.ask()["lists"]["all"]["count"] == 0


def test_a_name_that_was_redacted_is_gone_from_lists(alice: Client) -> None:
    room_id = alice.create_room()
    event_id = alice.set_state(room_id, "m.room.name", {"name": "Secret"})
    alice.put("rooms", room_id, "redact", event_id, "1")

    connection = following(alice, filters={"room_name_like": "secret"})

    assert connection.ask()["lists"]["all"]["count"] == 0


def test_who_asks_with_the_same_words_as_somebody_else_gets_their_own_member_event(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    wanted: dict[str, Any] = {"required_state": [["m.room.member", "$ME"]]}

    for client in (alice, bob, alice):
        answer = following(client, "new", **wanted).ask()
        assert keys(answer["rooms"][room_id]) == {("m.room.member", client.user_id)}
