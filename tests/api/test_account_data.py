"""Account data and tags over HTTP."""

from tests.api.client import Client


def test_account_data_is_read_back_and_comes_with_a_sync(alice: Client) -> None:
    room_id = alice.create_room()
    since = alice.token()

    assert alice.put("user", alice.user_id, "account_data", "org.example", body={"a": 1}) == {}
    assert alice.put("user", alice.user_id, "rooms", room_id, "account_data", "org.example", body={"b": 2}) == {}

    assert alice.get("user", alice.user_id, "account_data", "org.example") == {"a": 1}
    assert alice.get("user", alice.user_id, "rooms", room_id, "account_data", "org.example") == {"b": 2}
    answer = alice.sync(since)
    assert answer["account_data"]["events"] == [{"type": "org.example", "content": {"a": 1}}]
    room = answer["rooms"]["join"][room_id]
    assert room["account_data"]["events"] == [{"type": "org.example", "content": {"b": 2}}]


def test_account_data_of_others_is_forbidden(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    alice.put("user", alice.user_id, "account_data", "org.example", body={"a": 1})

    for path in (("account_data", "org.example"), ("rooms", room_id, "account_data", "org.example")):
        bob.get("user", alice.user_id, *path, status=403, errcode="M_FORBIDDEN")
        bob.put("user", alice.user_id, *path, status=403, errcode="M_FORBIDDEN")
    bob.get("user", alice.user_id, "rooms", room_id, "tags", status=403, errcode="M_FORBIDDEN")
    bob.put("user", alice.user_id, "rooms", room_id, "tags", "u.x", status=403, errcode="M_FORBIDDEN")
    bob.delete("user", alice.user_id, "rooms", room_id, "tags", "u.x", status=403, errcode="M_FORBIDDEN")


def test_what_is_not_there_is_not_found(alice: Client) -> None:
    room_id = alice.create_room()

    alice.get("user", alice.user_id, "account_data", "org.example", status=404, errcode="M_NOT_FOUND")
    alice.get("user", alice.user_id, "rooms", room_id, "account_data", "x", status=404, errcode="M_NOT_FOUND")


def test_what_the_server_keeps_cannot_be_set_but_read(alice: Client) -> None:
    room_id = alice.create_room()

    for data_type in ("m.fully_read", "m.push_rules"):
        for path in (("account_data", data_type), ("rooms", room_id, "account_data", data_type)):
            alice.put("user", alice.user_id, *path, status=405, errcode="M_BAD_JSON")

    assert alice.get("user", alice.user_id, "account_data", "m.push_rules")["global"]["override"]


def test_what_is_no_object_or_no_room_is_refused(alice: Client) -> None:
    path = ("user", alice.user_id, "account_data", "org.example")

    alice.put(*path, body=[1], status=400, errcode="M_BAD_JSON")
    assert alice.send("PUT", *path, content=b"{").json["errcode"] == "M_NOT_JSON"
    wrong_room = ("user", alice.user_id, "rooms", "@no:room", "account_data", "x")
    alice.put(*wrong_room, status=400, errcode="M_INVALID_PARAM")
    alice.put(*path, body={"x": "x" * 300_000}, status=413, errcode="M_TOO_LARGE")


def test_tags_are_put_listed_and_taken_away(alice: Client) -> None:
    room_id = alice.create_room()
    tags = ("user", alice.user_id, "rooms", room_id, "tags")
    since = alice.token()

    assert alice.get(*tags) == {"tags": {}}
    assert alice.put(*tags, "m.favourite", body={"order": 0.1}) == {}
    alice.put(*tags, "u.work")
    assert alice.get(*tags) == {"tags": {"m.favourite": {"order": 0.1}, "u.work": {}}}
    assert alice.delete(*tags, "u.work") == {}

    tag_event = {"type": "m.tag", "content": {"tags": {"m.favourite": {"order": 0.1}}}}
    assert alice.sync(since)["rooms"]["join"][room_id]["account_data"]["events"] == [tag_event]
    alice.put(*tags, "u.work", body={"order": "first"}, status=400, errcode="M_INVALID_PARAM")
