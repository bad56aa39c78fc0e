"""Push rules: the default ones, and how users change them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadPushRule, ProtocolError, UnknownPushRule
from homeserver.core.push_rules import (
    DEFAULT_RULES,
    MAX_OWN_RULES,
    NO_CHANGES,
    Rule,
    RuleChanges,
    RuleKind,
    copied_to_room,
    delete_rule,
    dump_changes,
    load_changes,
    put_rule,
    rule_kind,
    rule_set,
    rule_set_to_json,
    rule_to_json,
    set_actions,
    set_enabled,
)
from tests.strategies import json_values, lenient_json_values

ALICE = "@alice:one.example"
NOTIFY: dict[str, Any] = {"actions": ["notify"]}


def own_ids(changes: RuleChanges, kind: RuleKind = RuleKind.ROOM) -> list[str]:
    return [rule.rule_id for rule in rule_set(changes).of_kind(kind) if not rule.default]


def found(changes: RuleChanges, kind: RuleKind, rule_id: str) -> Rule:
    rule = rule_set(changes).find(kind, rule_id)
    assert rule is not None
    return rule


def with_rooms(*rule_ids: str) -> RuleChanges:
    """Room rules in this order, the first the most important."""
    changes = NO_CHANGES
    for rule_id in reversed(rule_ids):
        changes = put_rule(changes, RuleKind.ROOM, rule_id, NOTIFY)
    return changes


def test_the_default_rules_are_those_of_the_specification_in_its_order() -> None:
    shown = rule_set_to_json(rule_set(), ALICE)

    assert [rule["rule_id"] for rule in shown["override"]] == [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".m.rule.suppress_edits",
    ]
    assert [rule["rule_id"] for rule in shown["underride"]] == [
        ".m.rule.call",
        ".m.rule.encrypted_room_one_to_one",
        ".m.rule.room_one_to_one",
        ".m.rule.message",
        ".m.rule.encrypted",
    ]
    assert shown["content"] == shown["room"] == shown["sender"] == []
    assert [rule.rule_id for rule in DEFAULT_RULES if not rule.enabled] == [".m.rule.master"]


def test_default_rules_about_the_user_show_the_users_own_id() -> None:
    invite = found(NO_CHANGES, RuleKind.OVERRIDE, ".m.rule.invite_for_me")
    mention = found(NO_CHANGES, RuleKind.OVERRIDE, ".m.rule.is_user_mention")

    assert rule_to_json(invite, ALICE)["conditions"][2] == {
        "kind": "event_match",
        "key": "state_key",
        "pattern": ALICE,
    }
    assert rule_to_json(mention, ALICE) == {
        "rule_id": ".m.rule.is_user_mention",
        "default": True,
        "enabled": True,
        "conditions": [
            {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": ALICE},
        ],
        "actions": ["notify", {"set_tweak": "sound", "value": "default"}, {"set_tweak": "highlight"}],
    }


def test_a_users_own_rules_come_before_the_default_ones_but_after_the_master_rule() -> None:
    changes = put_rule(NO_CHANGES, RuleKind.OVERRIDE, "mine", {"actions": [], "conditions": []})
    changes = put_rule(changes, RuleKind.UNDERRIDE, "weak", {"actions": []})

    assert [rule.rule_id for rule in rule_set(changes).rules][:3] == [
        ".m.rule.master",
        "mine",
        ".m.rule.suppress_notices",
    ]
    assert next(rule_set(changes).of_kind(RuleKind.UNDERRIDE)).rule_id == "weak"


def test_a_rule_is_shown_with_what_its_kind_has() -> None:
    body = {"pattern": "cake*lie", "conditions": [{"kind": "contains_display_name"}], **NOTIFY}

    content = found(put_rule(NO_CHANGES, RuleKind.CONTENT, "nocake", body), RuleKind.CONTENT, "nocake")
    room = found(put_rule(NO_CHANGES, RuleKind.ROOM, "!r:x", body), RuleKind.ROOM, "!r:x")

    shown = {"rule_id": "nocake", "default": False, "enabled": True, "actions": ["notify"]}
    assert rule_to_json(content, ALICE) == {**shown, "pattern": "cake*lie"}
    assert rule_to_json(room, ALICE) == {**shown, "rule_id": "!r:x"}


def test_a_new_rule_becomes_the_most_important_of_its_kind() -> None:
    assert own_ids(with_rooms("!b", "!a")) == ["!b", "!a"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("!a", None, ["!new", "!a", "!b", "!c"]),
        ("!c", None, ["!a", "!b", "!new", "!c"]),
        (None, "!a", ["!a", "!new", "!b", "!c"]),
        (None, "!c", ["!a", "!b", "!c", "!new"]),
        ("!b", "!c", ["!a", "!new", "!b", "!c"]),
    ],
)
def test_a_rule_takes_its_place_beside_another(before: str | None, after: str | None, expected: list[str]) -> None:
    changes = with_rooms("!a", "!b", "!c")
    changes = put_rule(changes, RuleKind.CONTENT, "!a", {"pattern": "x", **NOTIFY})

    changes = put_rule(changes, RuleKind.ROOM, "!new", NOTIFY, before=before, after=after)

    assert own_ids(changes) == expected


def test_an_existing_rule_keeps_its_place_and_stays_disabled_when_it_is_replaced() -> None:
    changes = set_enabled(with_rooms("!a", "!b"), RuleKind.ROOM, "!b", enabled=False)

    changes = put_rule(changes, RuleKind.ROOM, "!b", {"actions": []})

    assert own_ids(changes) == ["!a", "!b"]
    assert found(changes, RuleKind.ROOM, "!b").actions == ()
    assert not found(changes, RuleKind.ROOM, "!b").enabled
    assert own_ids(put_rule(changes, RuleKind.ROOM, "!b", NOTIFY, before="!a")) == ["!b", "!a"]


@pytest.mark.parametrize("neighbour", ["!nowhere", "!new", ".m.rule.master", "content rule", "\ud800"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_place_beside_a_rule_that_is_not_there_is_refused(side: str, neighbour: str) -> None:
    changes = put_rule(NO_CHANGES, RuleKind.CONTENT, "content rule", {"pattern": "x", **NOTIFY})

    with pytest.raises(BadPushRule):
        put_rule(
            changes, RuleKind.ROOM, "!new", NOTIFY, before=neighbour if side == "before" else None, after=neighbour
        )


@pytest.mark.parametrize("rule_id", ["", ".mine", "a/b", "a\\b", "x" * 256, "é" * 128, "\ud800"])
def test_rule_ids_that_the_specification_forbids_are_refused(rule_id: str) -> None:
    with pytest.raises(BadPushRule):
        put_rule(NO_CHANGES, RuleKind.ROOM, rule_id, NOTIFY)


@pytest.mark.parametrize(
    "actions",
    [None, "notify", ["not_an_action"], [{}], [{"set_tweak": 1}], [1], ["notify"] * 33, [{"set_tweak": "x" * 20_000}]],
)
def test_actions_of_another_shape_are_refused(actions: object) -> None:
    with pytest.raises(BadPushRule):
        put_rule(NO_CHANGES, RuleKind.ROOM, "!r:x", {"actions": actions})
    with pytest.raises(BadPushRule):
        set_actions(NO_CHANGES, RuleKind.OVERRIDE, ".m.rule.master", actions)


@pytest.mark.parametrize(
    "conditions",
    [
        None,
        {},
        [{}],
        ["x"],
        [{"kind": 1}],
        [{"kind": "event_match", "key": "type"}],
        [{"kind": "event_match", "key": 1, "pattern": "x"}],
        [{"kind": "event_match", "key": "type", "pattern": "x" * 513}],
        [{"kind": "event_match", "key": "x" * 513, "pattern": "x"}],
        [{"kind": "event_property_is", "key": "type"}],
        [{"kind": "event_property_is", "key": "type", "value": 2**53}],
        [{"kind": "event_property_is", "key": "type", "value": 0.5}],
        [{"kind": "event_property_contains", "key": "type", "value": ["x"]}],
        [{"kind": "room_member_count"}],
        [{"kind": "room_member_count", "is": 2}],
        [{"kind": "room_member_count", "is": "=2"}],
        [{"kind": "room_member_count", "is": "²"}],
        [{"kind": "sender_notification_permission"}],
        [{"kind": "contains_display_name"}] * 33,
        [{"kind": "org.example.new", "long": "x" * 20_000}],
    ],
)
def test_conditions_of_another_shape_are_refused(conditions: object) -> None:
    with pytest.raises(BadPushRule):
        put_rule(NO_CHANGES, RuleKind.OVERRIDE, "mine", {"conditions": conditions, **NOTIFY})


def test_an_unknown_condition_is_kept_as_it_is() -> None:
    condition = {"kind": "org.example.new", "more": [1, {"a": None}]}

    changes = put_rule(NO_CHANGES, RuleKind.UNDERRIDE, "mine", {"conditions": [condition], **NOTIFY})

    assert rule_to_json(found(changes, RuleKind.UNDERRIDE, "mine"), ALICE)["conditions"] == [condition]


@pytest.mark.parametrize("pattern", [None, 1, "x" * 513])
def test_a_content_rule_needs_a_pattern(pattern: object) -> None:
    with pytest.raises(BadPushRule):
        put_rule(NO_CHANGES, RuleKind.CONTENT, "mine", {"pattern": pattern, **NOTIFY})


def test_historical_actions_are_given_back_as_they_came() -> None:
    changes = set_actions(NO_CHANGES, RuleKind.UNDERRIDE, ".m.rule.message", ["dont_notify"])

    assert found(changes, RuleKind.UNDERRIDE, ".m.rule.message").actions == ("dont_notify",)


def test_default_rules_are_disabled_but_not_deleted() -> None:
    changes = set_enabled(NO_CHANGES, RuleKind.UNDERRIDE, ".m.rule.message", enabled=False)

    assert not found(changes, RuleKind.UNDERRIDE, ".m.rule.message").enabled
    with pytest.raises(UnknownPushRule):
        delete_rule(changes, RuleKind.UNDERRIDE, ".m.rule.message")


def test_an_own_rule_is_deleted() -> None:
    assert own_ids(delete_rule(with_rooms("!a", "!b"), RuleKind.ROOM, "!a")) == ["!b"]


@pytest.mark.parametrize("rule_id", ["!nowhere", ".m.rule.message", ".not.a.default.rule"])
def test_a_rule_that_the_user_does_not_have_is_unknown(rule_id: str) -> None:
    with pytest.raises(UnknownPushRule):
        set_enabled(NO_CHANGES, RuleKind.ROOM, rule_id, enabled=True)
    with pytest.raises(UnknownPushRule):
        set_actions(NO_CHANGES, RuleKind.ROOM, rule_id, [])
    with pytest.raises(UnknownPushRule):
        delete_rule(NO_CHANGES, RuleKind.ROOM, rule_id)


def test_enabled_must_be_a_boolean() -> None:
    with pytest.raises(BadPushRule):
        set_enabled(NO_CHANGES, RuleKind.OVERRIDE, ".m.rule.master", "not a boolean")


def test_there_is_no_other_kind_of_rule() -> None:
    assert rule_kind("sender") is RuleKind.SENDER
    with pytest.raises(BadPushRule):
        rule_kind("not_a_kind")


def test_the_number_of_rules_is_limited() -> None:
    rules = tuple(
        Rule(RuleKind.ROOM, f"!{number}", default=False, enabled=True, actions=()) for number in range(MAX_OWN_RULES)
    )

    with pytest.raises(BadPushRule):
        put_rule(RuleChanges(own=rules), RuleKind.ROOM, "!one more", NOTIFY)
    put_rule(RuleChanges(own=rules), RuleKind.ROOM, "!7", NOTIFY)


def test_the_size_of_all_rules_is_limited() -> None:
    body = {"conditions": [{"kind": "org.example", "x": "y" * 15_000}], **NOTIFY}
    changes = NO_CHANGES

    for number in range(17):
        changes = put_rule(changes, RuleKind.OVERRIDE, f"rule {number}", body)

    with pytest.raises(BadPushRule):
        put_rule(changes, RuleKind.OVERRIDE, "one more", body)


def test_rules_about_a_room_are_copied_when_it_is_upgraded() -> None:
    about_old = {"kind": "event_match", "key": "room_id", "pattern": "!old"}
    changes = put_rule(NO_CHANGES, RuleKind.ROOM, "!other", NOTIFY)
    changes = put_rule(changes, RuleKind.ROOM, "!old", NOTIFY)
    changes = put_rule(changes, RuleKind.OVERRIDE, "!old", {"actions": [], "conditions": [about_old]})
    changes = put_rule(changes, RuleKind.OVERRIDE, "muted", {"actions": [], "conditions": [about_old]})

    copied = copied_to_room(changes, "!old", "!new")

    assert own_ids(copied) == ["!new", "!old", "!other"]
    assert sorted(own_ids(copied, RuleKind.OVERRIDE)) == ["!new", "!old", "muted", "muted_!new"]
    assert found(copied, RuleKind.OVERRIDE, "!new").conditions == ({**about_old, "pattern": "!new"},)
    assert copied_to_room(copied, "!old", "!new") == copied


@given(st.data())
def test_any_request_makes_rules_that_survive_storage_or_is_refused(data: st.DataObject) -> None:
    changes = with_rooms("!a", "!b")
    texts = st.sampled_from(["!a", "!b", ".m.rule.message", "", "é"]) | st.text(max_size=4)
    conditions = st.fixed_dictionaries(
        {"kind": st.sampled_from(["event_match", "event_property_is", "room_member_count", "x"])},
        optional={"key": texts, "pattern": texts | json_values(2), "value": json_values(2), "is": texts},
    )
    bodies = st.fixed_dictionaries(
        {},
        optional={
            "actions": st.lists(st.sampled_from(["notify", "coalesce"]) | json_values(2), max_size=3) | json_values(2),
            "conditions": st.lists(conditions, max_size=3) | lenient_json_values(4),
            "pattern": texts | json_values(2),
        },
    )
    kind = data.draw(st.sampled_from(RuleKind))
    try:
        changes = put_rule(
            changes,
            kind,
            data.draw(texts),
            data.draw(bodies),
            before=data.draw(st.none() | texts),
            after=data.draw(st.none() | texts),
        )
        changes = set_actions(changes, kind, data.draw(texts), data.draw(bodies).get("actions"))
        changes = set_enabled(changes, kind, data.draw(texts), data.draw(json_values(1)))
    except ProtocolError:
        pass
    assert load_changes(dump_changes(changes)) == changes
    assert rule_set_to_json(rule_set(changes), ALICE)
