"""What belongs to a user: account data, tags, typing, push rules, profile."""

from typing import Any

import pytest

from tests.api.client import Client, meanwhile

# Any: JSON, throughout.


def account_data(client: Client, since: str | None = None, room_id: str | None = None) -> dict[str, Any]:
    news = client.sync(since)
    where = news if room_id is None else news.get("rooms", {}).get("join", {}).get(room_id, {})
    return {event["type"]: event["content"] for event in where.get("account_data", {}).get("events", [])}


def typing(client: Client, room_id: str, since: str | None = None, **query: Any) -> list[str] | None:
    room = client.sync(since, **query).get("rooms", {}).get("join", {}).get(room_id, {})
    for event in room.get("ephemeral", {}).get("events", []):
        if event["type"] == "m.typing":
            users: list[str] = event["content"]["user_ids"]
            return users
    return None


def test_account_data_reaches_the_users_other_devices(alice: Client) -> None:
    other = alice.login_again()
    since = other.token()

    alice.put("user", alice.user_id, "account_data", "org.example.x", body={"a": [1, "ü"]})

    assert account_data(other, since) == {"org.example.x": {"a": [1, "ü"]}}
    assert other.get("user", alice.user_id, "account_data", "org.example.x") == {"a": [1, "ü"]}
    assert account_data(alice)["org.example.x"] == {"a": [1, "ü"]}


def test_account_data_of_a_room_comes_with_the_room(alice: Client) -> None:
    room_id = alice.create_room()
    since = alice.token()

    alice.put("user", alice.user_id, "rooms", room_id, "account_data", "org.example.x", body={"b": 1})

    assert account_data(alice, since, room_id) == {"org.example.x": {"b": 1}}
    assert account_data(alice, since) == {}
    assert alice.get("user", alice.user_id, "rooms", room_id, "account_data", "org.example.x") == {"b": 1}


def test_account_data_is_its_owners(alice: Client, bob: Client) -> None:
    alice.put("user", alice.user_id, "account_data", "org.example.x", body={})

    bob.get("user", alice.user_id, "account_data", "org.example.x", status=403, errcode="M_FORBIDDEN")
    bob.put("user", alice.user_id, "account_data", "org.example.x", status=403, errcode="M_FORBIDDEN")
    alice.get("user", alice.user_id, "account_data", "org.example.y", status=404, errcode="M_NOT_FOUND")


@pytest.mark.parametrize("kept", ["m.push_rules", "m.fully_read"])
def test_what_the_server_keeps_itself_cannot_be_written_as_account_data(alice: Client, kept: str) -> None:
    room_id = alice.create_room()
    path = ["user", alice.user_id] + (["rooms", room_id] if kept == "m.fully_read" else [])

    answer = alice.put(*path, "account_data", kept, body={}, status=405)

    assert answer["errcode"] in ("M_BAD_JSON", "M_UNRECOGNIZED")


def test_tags_are_set_and_taken_away(alice: Client) -> None:
    room_id = alice.create_room()
    since = alice.token()

    alice.put("user", alice.user_id, "rooms", room_id, "tags", "m.favourite", body={"order": 0.25})
    alice.put("user", alice.user_id, "rooms", room_id, "tags", "u.work / home", body={})

    tags = {"m.favourite": {"order": 0.25}, "u.work / home": {}}
    assert alice.get("user", alice.user_id, "rooms", room_id, "tags") == {"tags": tags}
    assert account_data(alice, since, room_id) == {"m.tag": {"tags": tags}}
    alice.delete("user", alice.user_id, "rooms", room_id, "tags", "m.favourite")
    assert alice.get("user", alice.user_id, "rooms", room_id, "tags") == {"tags": {"u.work / home": {}}}


def test_who_types_is_shown_to_the_others_until_they_stop(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": True, "timeout": 30_000})
    typed = bob.sync(since)
    alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": False})

    assert typed["rooms"]["join"][room_id]["ephemeral"]["events"][0]["content"]["user_ids"] == [alice.user_id]
    assert typing(bob, room_id, typed["next_batch"]) == []


def test_typing_wakes_who_waits_and_a_message_ends_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    with meanwhile(lambda: bob.sync(since, timeout_ms=60_000)) as waiting:
        alice.put("rooms", room_id, "typing", alice.user_id, body={"typing": True, "timeout": 30_000})

    woken = waiting.result()
    assert woken["rooms"]["join"][room_id]["ephemeral"]["events"][0]["content"]["user_ids"] == [alice.user_id]


def test_nobody_types_for_another_or_where_they_are_not(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()

    alice.put("rooms", room_id, "typing", bob.user_id, body={"typing": True}, status=403, errcode="M_FORBIDDEN")
    bob.put("rooms", room_id, "typing", bob.user_id, body={"typing": True}, status=403, errcode="M_FORBIDDEN")


def test_push_rules_reach_the_users_other_devices(alice: Client) -> None:
    other = alice.login_again()
    since = other.token()

    alice.put("pushrules", "global", "content", "pigeon", body={"pattern": "pigeon", "actions": ["notify"]})

    rules = account_data(other, since)["m.push_rules"]["global"]
    (mine,) = [rule for rule in rules["content"] if rule["rule_id"] == "pigeon"]
    assert (mine["pattern"], mine["actions"], mine["enabled"], mine["default"]) == ("pigeon", ["notify"], True, False)
    assert other.get("pushrules", "global", "content", "pigeon")["pattern"] == "pigeon"


def test_push_rules_are_ordered_switched_changed_and_deleted(alice: Client) -> None:
    for name in ("one", "two"):
        alice.put("pushrules", "global", "override", name, body={"conditions": [], "actions": []})
    alice.put("pushrules", "global", "override", "last", query={"after": "one"}, body={"conditions": [], "actions": []})
    alice.put("pushrules", "global", "override", "one", "enabled", body={"enabled": False})
    alice.put("pushrules", "global", "override", "two", "actions", body={"actions": ["notify"]})

    rules = [rule for rule in alice.get("pushrules", "")["global"]["override"] if not rule["default"]]

    assert [rule["rule_id"] for rule in rules] == ["two", "one", "last"]
    assert [rule["enabled"] for rule in rules] == [True, False, True]
    assert rules[0]["actions"] == ["notify"]
    alice.delete("pushrules", "global", "override", "two")
    alice.get("pushrules", "global", "override", "two", status=404, errcode="M_NOT_FOUND")


@pytest.mark.parametrize(
    ("kind", "rule_id", "body"),
    [
        ("override", ".m.mine", {"conditions": [], "actions": []}),
        ("content", "x", {"actions": []}),
        ("content", "x", {"pattern": "x", "actions": ["nonsense"]}),
        ("odd", "x", {"actions": []}),
        ("override", "a/b", {"conditions": [], "actions": []}),
        ("override", "x", {"conditions": {}, "actions": []}),
    ],
)
def test_a_push_rule_of_the_wrong_shape_is_refused(
    alice: Client, kind: str, rule_id: str, body: dict[str, Any]
) -> None:
    response = alice.put("pushrules", "global", kind, rule_id, body=body, status=400)

    assert response["errcode"] in ("M_INVALID_PARAM", "M_BAD_JSON", "M_MISSING_PARAM", "M_UNKNOWN")


def test_a_profile_is_seen_by_others_and_in_the_rooms_that_one_is_in(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    alice.put("profile", alice.user_id, "displayname", body={"displayname": "Alice the Pigeon"})
    alice.put("profile", alice.user_id, "avatar_url", body={"avatar_url": "mxc://example.org/dove"})

    shown = {"displayname": "Alice the Pigeon", "avatar_url": "mxc://example.org/dove"}
    assert bob.get("profile", alice.user_id) == shown
    assert bob.get("profile", alice.user_id, "displayname") == {"displayname": "Alice the Pigeon"}
    news = bob.sync(since)["rooms"]["join"][room_id]["timeline"]["events"]
    assert news[-1]["content"] == {"membership": "join", **shown}
    bob.put("profile", alice.user_id, "displayname", body={"displayname": "x"}, status=403, errcode="M_FORBIDDEN")


def test_a_profile_may_hold_other_fields(alice: Client, bob: Client) -> None:
    alice.put("profile", alice.user_id, "m.tz", body={"m.tz": "Europe/Berlin"})

    assert bob.get("profile", alice.user_id)["m.tz"] == "Europe/Berlin"
    alice.delete("profile", alice.user_id, "m.tz")
    bob.get("profile", alice.user_id, "m.tz", status=404, errcode="M_NOT_FOUND")


def test_who_does_not_exist_has_no_profile(alice: Client) -> None:
    alice.get("profile", f"@nobody-at-all:{alice.server_name}", status=404, errcode="M_NOT_FOUND")
