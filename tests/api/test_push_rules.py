"""Push rules over HTTP: every path of the specification, with and without its last slash."""

import pytest

from tests.api.client import Client

NOTIFY = {"actions": ["notify"]}


def own_rule_ids(client: Client, kind: str = "override") -> list[str]:
    """The IDs of the rules of a kind that the user made."""
    return [rule["rule_id"] for rule in client.get("pushrules", "global", "")[kind] if not rule["default"]]


def test_all_rules_are_listed_under_each_of_their_paths(alice: Client) -> None:
    everything = alice.get("pushrules", "")
    rules = everything["global"]

    assert alice.get("pushrules") == everything
    assert alice.get("pushrules", "global", "") == alice.get("pushrules", "global") == rules
    assert set(rules) == {"override", "content", "room", "sender", "underride"}
    assert rules["override"][0]["rule_id"] == ".m.rule.master"
    for kind, listed in rules.items():
        assert alice.get("pushrules", "global", kind, "") == alice.get("pushrules", "global", kind) == listed
    alice.get("pushrules", "global", "nonsense", "", status=400, errcode="M_INVALID_PARAM")
    mention = next(rule for rule in rules["override"] if rule["rule_id"] == ".m.rule.is_user_mention")
    assert mention["conditions"][0]["value"] == alice.user_id


@pytest.mark.parametrize(
    ("kind", "rule_id", "extra"),
    [
        ("override", "my rule", {"conditions": [{"kind": "event_match", "key": "type", "pattern": "m.x"}]}),
        ("content", "cake", {"pattern": "cake*lie"}),
        ("room", "!room:example.org", {}),
        ("sender", "@bob:example.org", {}),
        ("underride", "#spam:example.org", {"conditions": []}),
    ],
)
def test_a_rule_of_each_kind_is_made_changed_and_deleted(
    alice: Client, kind: str, rule_id: str, extra: dict[str, object]
) -> None:
    path = ("pushrules", "global", kind, rule_id)

    assert alice.put(*path, body={**NOTIFY, **extra}) == {}
    made = alice.get(*path)
    assert alice.put(*path, "enabled", body={"enabled": False}) == {}
    assert alice.put(*path, "actions", body={"actions": []}) == {}

    assert made == {"rule_id": rule_id, "default": False, "enabled": True, **NOTIFY, **extra}
    assert alice.get(*path, "enabled") == {"enabled": False}
    assert alice.get(*path, "actions") == {"actions": []}
    assert alice.delete(*path) == {}
    for rest in ((), ("enabled",), ("actions",)):
        alice.get(*path, *rest, status=404, errcode="M_NOT_FOUND")
    alice.delete(*path, status=404, errcode="M_NOT_FOUND")
    alice.put(*path, "enabled", body={"enabled": True}, status=404, errcode="M_NOT_FOUND")
    alice.put(*path, "actions", body={"actions": []}, status=404, errcode="M_NOT_FOUND")


def test_rules_stand_where_they_are_put(alice: Client) -> None:
    path = ("pushrules", "global", "override")

    alice.put(*path, "one", body=NOTIFY)
    alice.put(*path, "two", body=NOTIFY)
    alice.put(*path, "three", body=NOTIFY, query={"after": "two"})
    alice.put(*path, "four", body=NOTIFY, query={"before": "one", "after": "two"})

    assert own_rule_ids(alice) == ["two", "three", "four", "one"]
    alice.put(*path, "five", body=NOTIFY, query={"before": "nowhere"}, status=400)
    alice.put(*path, "five", body=NOTIFY, query={"after": ".m.rule.master"}, status=400)


def test_default_rules_are_disabled_and_changed_but_not_replaced_or_deleted(alice: Client) -> None:
    path = ("pushrules", "global", "underride", ".m.rule.message")

    alice.put(*path, "enabled", body={"enabled": False})
    alice.put(*path, "actions", body={"actions": []})

    assert alice.get(*path)["enabled"] is False
    assert alice.get(*path)["actions"] == []
    assert alice.get(*path)["default"] is True
    alice.put(*path, body=NOTIFY, status=400)
    alice.delete(*path, status=404, errcode="M_NOT_FOUND")


def test_wrong_rules_are_refused(alice: Client) -> None:
    for rule_id, body in (("one", {}), ("one", {"actions": ["shout"]}), ("a\\b", NOTIFY), ("a/b", NOTIFY)):
        alice.put("pushrules", "global", "override", rule_id, body=body, status=400)
    alice.put("pushrules", "global", "unknown", "one", body=NOTIFY, status=400)
    alice.put("pushrules", "global", "content", "one", body=NOTIFY, status=400)

    assert own_rule_ids(alice) == own_rule_ids(alice, "content") == []


def test_a_change_comes_with_a_sync_and_decides_what_counts(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    bob.put("pushrules", "global", "room", room_id, body={"actions": []})
    alice.say(room_id, "hello")

    answer = bob.sync(since)
    told = next(event for event in answer["account_data"]["events"] if event["type"] == "m.push_rules")
    assert told["content"]["global"]["room"][0]["rule_id"] == room_id
    counts = answer["rooms"]["join"][room_id]["unread_notifications"]
    assert counts == {"notification_count": 0, "highlight_count": 0}
