"""Push rules: edited by their user, in force at once, told to every device."""

import pytest

from homeserver.core.errors import BadPushRule, UnknownPushRule
from homeserver.core.push_rules import RuleKind
from homeserver.services.events.news import AccountDataWritten
from tests.services.world import ALICE, BOB, World, now

NOTIFY = {"actions": ["notify"]}


def put(
    world: World, rule_id: str, kind: str = "override", before: str | None = None, after: str | None = None
) -> None:
    body = NOTIFY | ({"pattern": "cake"} if kind == "content" else {})
    now(world.push_rules.put(ALICE, kind, rule_id, body, before=before, after=after))


def own_rules(world: World) -> list[str]:
    rules = now(world.push_rules.all_rules(ALICE))
    return [rule.rule_id for rule in rules.of_kind(RuleKind.OVERRIDE) if not rule.default]


def test_a_rule_is_added_changed_and_deleted(world: World) -> None:
    put(world, "cake", "content")
    now(world.push_rules.set_actions(ALICE, "content", "cake", []))
    now(world.push_rules.set_enabled(ALICE, "content", "cake", enabled=False))
    rule = now(world.push_rules.rule(ALICE, "content", "cake"))
    now(world.push_rules.delete(ALICE, "content", "cake"))

    assert (rule.pattern, rule.actions, rule.enabled) == ("cake", (), False)
    with pytest.raises(UnknownPushRule):
        now(world.push_rules.rule(ALICE, "content", "cake"))


def test_rules_stand_where_they_are_put(world: World) -> None:
    for rule_id in ("one", "two"):
        put(world, rule_id)
    put(world, "after", after="two")
    put(world, "before", before="one")

    assert own_rules(world) == ["two", "after", "before", "one"]


def test_a_change_counts_at_once_and_is_told_to_its_user(world: World) -> None:
    for user_id in (ALICE, BOB):
        world.news.follow(user_id, world.database.position)
    before = world.database.position
    old = world.push_classes.of_users(None, (ALICE,))

    now(world.push_rules.set_enabled(ALICE, "override", ".m.rule.master", enabled=True))

    assert world.push_classes.of_users(None, (ALICE,)) != old
    told = [AccountDataWritten(world.database.position, ALICE, None, "m.push_rules")]
    assert world.news.since(ALICE, before) == told
    assert world.news.since(BOB, before) == ()


def test_a_change_to_what_is_so_already_is_none(world: World) -> None:
    put(world, "one")
    position = world.database.position

    put(world, "one")

    assert world.database.position == position


def test_rules_of_one_user_are_not_those_of_another(world: World) -> None:
    put(world, "one")

    with pytest.raises(UnknownPushRule):
        now(world.push_rules.rule(BOB, "override", "one"))
    with pytest.raises(UnknownPushRule):
        now(world.push_rules.set_enabled(BOB, "override", "one", enabled=False))


def test_what_cannot_be_is_refused(world: World) -> None:
    for kind, rule_id, before in (
        ("override", ".m.rule.mine", None),
        ("unknown", "one", None),
        ("override", "one", "nowhere"),
        ("override", "one", ".m.rule.master"),
    ):
        with pytest.raises(BadPushRule):
            put(world, rule_id, kind, before=before)
    with pytest.raises(UnknownPushRule):
        now(world.push_rules.delete(ALICE, "override", ".m.rule.master"))
