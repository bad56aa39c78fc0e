"""What push rules make of events: per class, and for the users whom an event names."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.push_evaluation import (
    SILENT,
    CompiledRules,
    Outcome,
    RoomFacts,
    UserFacts,
    compile_rules,
    evaluate_class,
    evaluate_user,
    event_facts,
    occurs_in_body,
)
from homeserver.core.push_rules import (
    NO_CHANGES,
    RuleChanges,
    RuleKind,
    delete_rule,
    put_rule,
    rule_set,
    set_actions,
    set_enabled,
)
from homeserver.core.room_versions import V12
from tests.strategies import contents, json_values

ROOM_ID = "!room:one.example"
SENDER = "@sender:one.example"
ALICE = UserFacts("@alice:one.example", "Alice Liddell")
ROOM = RoomFacts(member_count=7, sender_power_level=0, notification_levels={})
PAIR = RoomFacts(member_count=2, sender_power_level=0, notification_levels={})
SOUND = {"set_tweak": "sound", "value": "default"}
HIGHLIGHT = {"set_tweak": "highlight"}
DEFAULT = compile_rules(rule_set())
NOTIFY: dict[str, Any] = {"actions": ["notify"]}


def event(event_type: str, content: dict[str, Any], *, state_key: str | None = None, room_id: str = ROOM_ID) -> Event:
    return Event(
        version=V12,
        event_id=EventID("$event"),
        room_id=RoomID(room_id),
        type=event_type,
        sender=UserID(SENDER),
        state_key=state_key,
        content=content,
        origin_server_ts=1_632_491_098_485,
        depth=1,
        prev_event_ids=(),
        auth_event_ids=(),
        redacts=None,
        pdu={},
    )


def message(body: str = "hello", *, more: Mapping[str, object] | None = None, **content: object) -> Event:
    return event("m.room.message", {"msgtype": "m.text", "body": body, **content, **(more or {})})


def for_class(one: Event, rules: CompiledRules = DEFAULT, room: RoomFacts = ROOM) -> Outcome:
    return evaluate_class(rules, event_facts(one), room)


def for_user(one: Event, rules: CompiledRules = DEFAULT, room: RoomFacts = ROOM, user: UserFacts = ALICE) -> Outcome:
    return evaluate_user(rules, event_facts(one), room, user)


def compiled(changes: RuleChanges) -> CompiledRules:
    return compile_rules(rule_set(changes))


def with_condition(condition: dict[str, Any]) -> CompiledRules:
    """The default rules, and one of the user's own that highlights where `condition` holds."""
    body = {"conditions": [condition], "actions": ["notify", HIGHLIGHT]}
    return compiled(put_rule(NO_CHANGES, RuleKind.OVERRIDE, "mine", body))


def holds(condition: dict[str, Any], one: Event, room: RoomFacts = ROOM) -> bool:
    return for_class(one, with_condition(condition), room).highlight


@pytest.mark.parametrize(
    ("one", "room", "actions"),
    [
        (message(), ROOM, ("notify",)),
        (message(), PAIR, ("notify", SOUND)),
        (event("m.room.encrypted", {}), ROOM, ("notify",)),
        (event("m.room.encrypted", {}), PAIR, ("notify", SOUND)),
        (event("m.call.invite", {}), ROOM, ("notify", {"set_tweak": "sound", "value": "ring"})),
        (event("m.room.tombstone", {}, state_key=""), ROOM, ("notify", HIGHLIGHT)),
        (event("m.room.message", {"msgtype": "m.notice", "body": "x"}), ROOM, ()),
        (message(more={"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}), ROOM, ()),
        (event("m.reaction", {}), ROOM, ()),
        (event("m.room.member", {"membership": "join"}, state_key=SENDER), ROOM, ()),
        (event("m.room.server_acl", {}, state_key=""), ROOM, ()),
        (event("m.room.topic", {"topic": "x"}, state_key=""), ROOM, ()),
        (event("org.example.tombstone", {}), ROOM, ()),
        (event("m.room.tombstone", {}), ROOM, ()),
    ],
)
def test_the_default_rules_decide_for_everybody(one: Event, room: RoomFacts, actions: tuple[object, ...]) -> None:
    assert for_class(one, room=room).actions == actions
    assert for_user(one, room=room).actions == actions
    assert for_class(one, room=room).notify is bool(actions)


def test_an_event_type_is_matched_in_any_case_as_every_pattern_is() -> None:
    assert for_class(event("M.Room.Message", {})).notify


def test_whoever_is_mentioned_is_notified_alone() -> None:
    one = message(more={"m.mentions": {"user_ids": [ALICE.user_id, 7, {}]}})

    assert event_facts(one).named_users == {ALICE.user_id}
    assert for_user(one) == Outcome(notify=True, highlight=True, actions=("notify", SOUND, HIGHLIGHT))
    assert not for_user(one, user=UserFacts("@bob:one.example", None)).highlight
    assert not for_class(one).highlight


def test_whoever_is_invited_is_notified_alone() -> None:
    one = event("m.room.member", {"membership": "invite"}, state_key=ALICE.user_id)

    assert event_facts(one).named_users == {ALICE.user_id}
    assert for_user(one).actions == ("notify", SOUND)
    assert for_class(one) == SILENT


def test_the_state_key_of_other_events_names_nobody() -> None:
    assert event_facts(event("org.example", {}, state_key=ALICE.user_id)).named_users == frozenset()


@pytest.mark.parametrize(
    ("sender_power_level", "levels", "highlight"),
    [
        (0, {}, False),
        (50, {}, True),
        (49, {"room": 49}, True),
        (50, {"room": 51}, False),
        (math.inf, {"room": 100}, True),
    ],
)
def test_a_mention_of_the_room_needs_the_power(
    sender_power_level: float, levels: dict[str, int], highlight: bool
) -> None:
    room = RoomFacts(member_count=7, sender_power_level=sender_power_level, notification_levels=levels)

    assert for_class(message(more={"m.mentions": {"room": True}}), room=room).highlight is highlight
    assert not for_class(message(more={"m.mentions": {"room": 1}}), room=room).highlight


def test_nobody_is_notified_of_what_they_sent() -> None:
    assert for_user(message(), user=UserFacts(SENDER, "Sender")) == SILENT


def test_the_master_rule_silences_everything() -> None:
    rules = compiled(set_enabled(NO_CHANGES, RuleKind.OVERRIDE, ".m.rule.master", enabled=True))

    assert for_class(message(), rules) == SILENT


def test_a_disabled_rule_never_matches() -> None:
    changes = NO_CHANGES
    for rule_id in (".m.rule.message", ".m.rule.room_one_to_one"):
        changes = set_enabled(changes, RuleKind.UNDERRIDE, rule_id, enabled=False)

    assert for_class(message(), compiled(changes)) == SILENT


@pytest.mark.parametrize("actions", [[], ["dont_notify"], ["coalesce"], [HIGHLIGHT]])
def test_actions_without_notify_do_nothing(actions: list[Any]) -> None:
    rules = compiled(set_actions(NO_CHANGES, RuleKind.UNDERRIDE, ".m.rule.message", actions))

    assert for_class(message(), rules) == SILENT


def test_historical_actions_are_not_passed_on() -> None:
    rules = compiled(set_actions(NO_CHANGES, RuleKind.UNDERRIDE, ".m.rule.message", ["coalesce", "notify"]))

    assert for_class(message(), rules).actions == ("notify",)


@pytest.mark.parametrize(("tweak", "highlight"), [({}, True), ({"value": True}, True), ({"value": False}, False)])
def test_the_highlight_tweak_is_true_unless_it_says_otherwise(tweak: dict[str, Any], highlight: bool) -> None:
    actions = ["notify", {"set_tweak": "highlight", **tweak}]
    rules = compiled(set_actions(NO_CHANGES, RuleKind.UNDERRIDE, ".m.rule.message", actions))

    assert for_class(message(), rules).highlight is highlight


def test_kinds_are_tried_in_their_order_and_rules_in_theirs() -> None:
    def tweak(name: str) -> dict[str, Any]:
        return {"actions": ["notify", {"set_tweak": name}]}

    changes = put_rule(NO_CHANGES, RuleKind.UNDERRIDE, "underride", tweak("underride"))
    changes = put_rule(changes, RuleKind.SENDER, SENDER, tweak("sender"))
    changes = put_rule(changes, RuleKind.ROOM, ROOM_ID, tweak("room"))
    changes = put_rule(changes, RuleKind.CONTENT, "time", {"pattern": "time", **tweak("time")})
    changes = put_rule(changes, RuleKind.CONTENT, "tea", {"pattern": "tea", **tweak("tea")})
    changes = put_rule(changes, RuleKind.OVERRIDE, "override", tweak("override"))
    one = message("It's time for tea")

    seen = []
    for kind, rule_id in (
        (RuleKind.OVERRIDE, "override"),
        (RuleKind.CONTENT, "tea"),
        (RuleKind.CONTENT, "time"),
        (RuleKind.ROOM, ROOM_ID),
        (RuleKind.SENDER, SENDER),
        (RuleKind.UNDERRIDE, "underride"),
    ):
        seen.append(for_class(one, compiled(changes)).actions[1])
        changes = delete_rule(changes, kind, rule_id)

    assert seen == [{"set_tweak": name} for name in ("override", "tea", "time", "room", "sender", "underride")]


@pytest.mark.parametrize(
    ("key", "pattern", "expected"),
    [
        ("content.body", "beer", True),
        ("content.body", "BEER", True),
        ("content.body", "bee", False),
        ("content.body", "be?r", True),
        ("content.body", "b*d", True),
        ("content.msgtype", "m.t*", True),
        ("content.msgtype", "text", False),
        ("content.number", "*", False),
        ("content.missing", "*", False),
        ("content.nested.m\\.x", "y", True),
        ("content.nested.m.x", "y", False),
        ("room_id", ROOM_ID.upper(), True),
        ("room_id", "!other:x", False),
        ("sender", "@*:one.example", True),
        ("state_key", "", False),
        ("type", "m.room.*", True),
    ],
)
def test_event_match_matches_texts_of_the_event(key: str, pattern: str, expected: bool) -> None:
    one = message("Cold beer, please, and bread", number=1, nested={"m.x": "Y"})

    assert holds({"kind": "event_match", "key": key, "pattern": pattern}, one) is expected


def test_the_specifications_example_of_event_match_holds() -> None:
    condition = {"kind": "event_match", "key": "content.topic", "pattern": "lunc?*"}

    for topic, expected in (("Lunch plans", True), ("LUNCH", True), (" lunch", False), ("lunc", False), (None, False)):
        assert holds(condition, event("m.room.topic", {"topic": topic}, state_key="")) is expected


def test_the_specifications_example_of_event_property_is_holds() -> None:
    condition = {"kind": "event_property_is", "key": "content.m\\.federate", "value": True}

    for value, expected in ((True, True), ("true", False), (1, False), (None, False), ([True], False)):
        assert holds(condition, event("m.room.create", {"m.federate": value}, state_key="")) is expected


def test_null_is_a_value_and_absence_is_none() -> None:
    condition = {"kind": "event_property_is", "key": "content.x", "value": None}

    assert holds(condition, message(x=None))
    assert not holds(condition, message())


def test_the_specifications_example_of_event_property_contains_holds() -> None:
    aliases = ["#somewhere:example.org", "#myroom:example.com", 1, {}]
    one = event("m.room.canonical_alias", {"alt_aliases": aliases}, state_key="")

    for value, expected in (("#myroom:example.com", True), (":example.com", False), (1, True), (True, False)):
        condition = {"kind": "event_property_contains", "key": "content.alt_aliases", "value": value}
        assert holds(condition, one) is expected
    assert not holds({"kind": "event_property_contains", "key": "type", "value": "m"}, one)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        ("7", True),
        ("==7", True),
        ("<8", True),
        ("<7", False),
        (">6", True),
        (">=8", False),
        ("<=7", True),
        ("2", False),
    ],
)
def test_room_member_count_compares(count: str, expected: bool) -> None:
    assert holds({"kind": "room_member_count", "is": count}, message()) is expected


def test_an_unknown_condition_never_holds() -> None:
    assert not holds({"kind": "org.example.always"}, message())


def test_contains_display_name_looks_for_the_users_name_between_words() -> None:
    rules = with_condition({"kind": "contains_display_name"})

    assert rules.watches_display_name
    assert not DEFAULT.watches_display_name
    for body, expected in (
        ("hello ALICE liddell!", True),
        ("hello aliceliddell", False),
        ("malice liddell", False),
        ("alice", False),
    ):
        assert for_user(message(body), rules).highlight is expected
        assert not for_class(message(body), rules).highlight
    assert not for_user(message("None"), rules, user=UserFacts("@bob:one.example", None)).highlight
    assert not for_user(message(" "), rules, user=UserFacts("@bob:one.example", "")).highlight


def test_thread_subscription_asks_how_the_user_stands_to_the_thread_of_the_event() -> None:
    kind = "io.element.msc4306.thread_subscription"
    by_wish = [with_condition({"kind": kind, "subscribed": wish}) for wish in (True, False, "yes", None)]

    def notified(rules: CompiledRules) -> list[bool]:
        users = [UserFacts("@bob:one.example", "Bob", is_subscribed) for is_subscribed in (True, False, None)]
        return [for_user(event("org.example", {}), rules, user=user).notify for user in users]

    assert [notified(rules) for rules in by_wish] == [
        [True, False, False],
        [False, True, False],
        [False, False, False],
        [False, False, False],
    ]
    assert not for_class(event("org.example", {}), by_wish[1]).notify
    assert [rules.watches_threads for rules in by_wish] == [True, True, False, False]
    assert by_wish[0].class_key != by_wish[1].class_key


def test_the_quick_look_for_a_name_never_misses_one() -> None:
    facts = event_facts(message("Hello, malice liddell"))

    assert occurs_in_body("Alice Liddell", facts)
    assert not occurs_in_body("Bob", facts)
    assert not occurs_in_body("", facts)
    assert not occurs_in_body("Bob", event_facts(event("m.room.message", {"body": 1})))


def test_equal_rules_are_one_class_whatever_their_ids_and_whoever_has_them() -> None:
    one = put_rule(NO_CHANGES, RuleKind.CONTENT, "one", {"pattern": "Cake", **NOTIFY})
    other = put_rule(NO_CHANGES, RuleKind.CONTENT, "other", {"pattern": "cake", "actions": ["coalesce", "notify"]})
    disabled = put_rule(NO_CHANGES, RuleKind.CONTENT, "disabled", {"pattern": "pie", **NOTIFY})
    disabled = set_enabled(disabled, RuleKind.CONTENT, "disabled", enabled=False)

    assert compiled(one) == compiled(other) != DEFAULT
    assert hash(compiled(one)) == hash(compiled(other))
    assert compiled(disabled) == DEFAULT
    assert len(DEFAULT.class_key) == 32


def test_rules_about_other_rooms_leave_the_class_of_a_room_as_it_was() -> None:
    changes = put_rule(NO_CHANGES, RuleKind.ROOM, "!muted:x", {"actions": []})
    condition = {"kind": "event_match", "key": "room_id", "pattern": "!muted2:x"}
    changes = put_rule(changes, RuleKind.OVERRIDE, "!muted2:x", {"actions": [], "conditions": [condition]})
    rules = compiled(changes)

    assert rules != DEFAULT
    assert rules.in_room(ROOM_ID) == DEFAULT
    assert rules.in_room("!muted:x") != DEFAULT
    for room_id in ("!muted:x", "!muted2:x"):
        one = event("m.room.message", {"body": "x"}, room_id=room_id)
        assert for_class(one, rules) == for_class(one, rules.in_room(room_id)) == SILENT
    assert for_class(message(), rules).notify


def test_rules_made_to_be_slow_see_the_beginning_of_long_texts_only() -> None:
    changes = NO_CHANGES
    for number in range(300):
        body = {"pattern": "a?" * 200 + str(number), **NOTIFY}
        changes = put_rule(changes, RuleKind.CONTENT, str(number), body)
    changes = put_rule(changes, RuleKind.CONTENT, "cake", {"pattern": "cake", "actions": ["notify", HIGHLIGHT]})
    rules = compiled(changes)

    assert for_class(message("cake " + "a" * 60_000), rules).highlight
    assert not for_class(message("a" * 60_000 + " cake"), rules).highlight


_TYPES = st.sampled_from(["m.room.message", "m.room.encrypted", "m.room.member", "m.reaction", "x"])
_KEYS = st.sampled_from(["content.body", "type", "state_key", "content.m\\.mentions.user_ids", "room_id", "content.x"])
_CONDITIONS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["event_match", "event_property_is", "event_property_contains"]), "key": _KEYS},
    optional={},
).flatmap(
    lambda condition: st.sampled_from(["*", "a", "m.*", ALICE.user_id, ROOM_ID]).map(
        lambda value: {**condition, "pattern": value, "value": value}
    )
) | st.sampled_from(
    [{"kind": "contains_display_name"}, {"kind": "room_member_count", "is": "2"}, {"kind": "org.example"}]
)


@given(st.data())
def test_whom_an_event_does_not_name_has_the_outcome_of_the_class(data: st.DataObject) -> None:
    changes = NO_CHANGES
    for number, conditions in enumerate(data.draw(st.lists(st.lists(_CONDITIONS, max_size=2), max_size=3))):
        kind = data.draw(st.sampled_from([RuleKind.OVERRIDE, RuleKind.UNDERRIDE]))
        actions = ["notify", {"set_tweak": str(number)}]
        changes = put_rule(changes, kind, str(number), {"conditions": conditions, "actions": actions})
    body = st.sampled_from(["a", "alice liddell", "x"])
    mentions = st.fixed_dictionaries({}, optional={"user_ids": st.just([ALICE.user_id]) | json_values(2)})
    content = data.draw(
        st.fixed_dictionaries({}, optional={"body": body | json_values(2), "m.mentions": mentions}) | contents()
    )
    state_key = data.draw(st.none() | st.sampled_from(["", ALICE.user_id]))
    one = event(data.draw(_TYPES), content, state_key=state_key)
    rules, facts, room = compiled(changes), event_facts(one), data.draw(st.sampled_from([ROOM, PAIR]))

    named = ALICE.user_id in facts.named_users or occurs_in_body(ALICE.display_name or "", facts)
    whole = evaluate_user(rules, facts, room, ALICE)

    assert named or evaluate_class(rules, facts, room) == whole
    assert evaluate_user(rules.in_room(ROOM_ID), facts, room, ALICE) == whole


def with_keywords(*patterns: str) -> CompiledRules:
    changes = NO_CHANGES
    for number, pattern in enumerate(patterns):
        body = {"pattern": pattern, "actions": ["notify", HIGHLIGHT]}
        changes = put_rule(changes, RuleKind.CONTENT, f"keyword {number}", body)
    return compiled(changes)


def test_a_few_keywords_are_found_wherever_they_stand() -> None:
    rules = with_keywords("liddell", *(f"keyword{number}" for number in range(5)))

    assert for_class(message("x " * 20_000 + "liddell"), rules).highlight


@pytest.mark.parametrize("costly", ["*" + "a" * 100 + "b*zq", "a" * 100 + "?", "-" * 100 + "b"])
def test_of_very_many_or_costly_patterns_the_beginning_of_a_text_is_enough(costly: str) -> None:
    rules = with_keywords("liddell", *(f"{costly}{number}" for number in range(900)))

    assert for_class(message("x liddell"), rules).highlight
    assert not for_class(message("x " * 1_000 + "liddell"), rules).highlight
