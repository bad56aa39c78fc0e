"""Moderation policy lists: reading rules, and finding the one that wins."""

import hashlib
from base64 import b64encode
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.event import Event, view_event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.policy_rules import (
    LONGEST_ENTITY,
    LONGEST_REASON,
    MOST_GLOBS,
    MOST_QUESTIONING,
    POLICY_TYPES,
    PolicyBook,
    PolicyKind,
    PolicyRule,
    Recommendation,
    read_rule,
    rules_in_force,
)
from homeserver.core.room_versions import V11

# Any: JSON, throughout.

HERE = ServerName("here.example")
EVE = "@eve:bad.example"
USER, ROOM, SERVER = PolicyKind
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
)
PATTERNS = st.text(alphabet="ab:@*?", min_size=1, max_size=8)
NAMES = st.text(alphabet="ab:@", max_size=8)


def event(event_type: str, content: Any, state_key: str | None = "rule", event_id: str = "$1") -> Event:
    pdu: dict[str, Any] = {
        "type": event_type,
        "room_id": "!list:here.example",
        "sender": "@moderator:here.example",
        "content": content,
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
    }
    if state_key is not None:
        pdu["state_key"] = state_key
    return view_event(pdu, V11, event_id=EventID(event_id))


def ban(entity: str, kind: str = "user", recommendation: str = "m.ban", reason: str = "spam") -> PolicyRule:
    content = {"entity": entity, "recommendation": recommendation, "reason": reason}
    rule = read_rule(event(f"m.policy.rule.{kind}", content, event_id=f"${kind} {entity} {recommendation}"))
    assert rule is not None
    return rule


def book(*rules: PolicyRule) -> PolicyBook:
    return PolicyBook(rules, HERE)


@pytest.mark.parametrize("family", ["m.policy.rule", "m.room.rule", "org.matrix.mjolnir.rule"])
@pytest.mark.parametrize("kind", list(PolicyKind))
def test_rules_are_read_under_all_of_their_names(family: str, kind: PolicyKind) -> None:
    content = {"entity": "x.example", "recommendation": "org.matrix.mjolnir.ban", "reason": "spam"}

    rule = read_rule(event(f"{family}.{kind.value}", content))

    assert rule == PolicyRule(kind, "x.example", None, Recommendation.BAN, "spam", EventID("$1"))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"entity": EVE},
        {"recommendation": "m.ban"},
        {"entity": EVE, "recommendation": "m.applause"},
        {"entity": EVE, "recommendation": ["m.ban"]},
        {"entity": [EVE], "recommendation": "m.ban"},
        {"entity": "", "recommendation": "m.ban"},
        {"entity": "@\0:x", "recommendation": "m.ban"},
        {"entity": "*" * (LONGEST_ENTITY + 1), "recommendation": "m.ban"},
        {"hashes": {"sha256": "short"}, "recommendation": "m.ban"},
        {"hashes": {"sha256": 7}, "recommendation": "m.ban"},
        {"hashes": "sha256", "recommendation": "m.ban"},
    ],
)
def test_what_is_not_understood_is_no_rule(content: Any) -> None:
    assert read_rule(event("m.policy.rule.user", content)) is None


@pytest.mark.parametrize("entity", ["bad example", "bad.example,worse.example", "b\u00e4d.example", "bad.example\n"])
def test_what_can_be_no_server_is_no_rule_about_one(entity: str) -> None:
    content = {"entity": entity, "recommendation": "m.ban"}

    assert read_rule(event("m.policy.rule.server", content)) is None


def test_other_events_are_no_rules() -> None:
    content = {"entity": EVE, "recommendation": "m.ban"}

    assert read_rule(event("m.room.member", content)) is None
    assert read_rule(event("m.policy.rule.user", content, state_key=None)) is None


@pytest.mark.parametrize("reason", [None, 7, ["spam"]])
def test_a_reason_that_is_no_text_is_none(reason: Any) -> None:
    rule = read_rule(event("m.policy.rule.user", {"entity": EVE, "recommendation": "m.ban", "reason": reason}))

    assert rule is not None
    assert rule.reason == ""


@given(st.sampled_from(POLICY_TYPES), st.dictionaries(st.text(max_size=10), JSON) | st.just({}), JSON, JSON)
def test_whatever_a_list_says_is_read_or_ignored(event_type: str, more: Any, entity: Any, reason: Any) -> None:
    content = {**more, "entity": entity, "reason": reason, "recommendation": "m.ban"}

    rule = read_rule(event(event_type, content))

    if rule is not None:
        assert len(rule.reason) <= LONGEST_REASON
        book(rule).find(rule.kind, rule.name)


@pytest.mark.parametrize("key", ["hashes", "org.matrix.msc4205.hashes"])
@pytest.mark.parametrize("stripped", ["", "="])
def test_who_is_named_by_a_hash_is_found(key: str, stripped: str) -> None:
    written = b64encode(hashlib.sha256(EVE.encode()).digest()).decode().rstrip(stripped or "\n")
    content = {key: {"sha256": written}, "recommendation": "org.matrix.msc4204.takedown"}

    rule = read_rule(event("m.policy.rule.user", content))

    assert rule is not None
    assert rule.recommendation is Recommendation.TAKEDOWN
    assert rule.name.startswith("sha256:")
    assert book(rule).find(USER, EVE) == rule
    assert book(rule).find(USER, "@bob:bad.example") is None
    assert book(rule).find(ROOM, EVE) is None


def test_an_event_of_a_newer_name_hides_those_of_older_ones_also_when_it_takes_the_rule_back() -> None:
    old, new, other = ban("@old:x"), ban("@new:x"), ban("@other:x")
    oldest = "org.matrix.mjolnir.rule.user"

    assert rules_in_force({(oldest, "a"): old, ("m.policy.rule.user", "a"): new}) == [new]
    assert rules_in_force({("m.policy.rule.user", "a"): None, ("m.room.rule.user", "a"): old}) == []
    assert rules_in_force({("m.policy.rule.server", "a"): None, (oldest, "a"): old}) == [old]
    assert rules_in_force({("m.policy.rule.user", "a"): None, (oldest, "b"): other}) == [other]


@pytest.mark.parametrize(
    ("entity", "server"),
    [
        ("bad.example", "bad.example"),
        ("Bad.Example", "BAD.example"),
        ("bad.example", "bad.example:8448"),
        ("bad.example:8448", "bad.example:8448"),
        ("*.bad.example", "very.bad.example:1"),
        ("b?d.example", "bad.example:1"),
    ],
)
def test_servers_are_found_whatever_their_case_and_port(entity: str, server: str) -> None:
    rule = ban(entity, "server")

    assert book(rule).find(SERVER, server) == rule
    assert book(rule).find_all(SERVER, server) == [rule]
    assert book(rule).find(SERVER, "good.test") is None


def test_servers_are_listed_by_their_patterns_and_without_ports() -> None:
    plain, with_port, idle = ban("*.bad.example", "server"), ban("worse.example:8448", "server"), ban("*", "server")

    found = book(plain, with_port, idle, ban(EVE))

    assert found.servers == {"*.bad.example": plain, "worse.example:8448": with_port}
    assert found.hosts == {"*.bad.example": plain, "worse.example": with_port}


def test_the_case_of_users_counts() -> None:
    assert book(ban("@Eve:*")).find(USER, EVE) is None


def test_what_weighs_most_wins_then_what_names_one_then_the_longest_glob() -> None:
    rules = [ban("@*:bad.example"), ban("@e*:bad.example"), ban(EVE), ban("@e*", recommendation="m.takedown")]

    for number in range(len(rules)):
        assert book(*rules[: number + 1]).find(USER, EVE) == rules[number]
        assert book(*reversed(rules[: number + 1])).find(USER, EVE) == rules[number]
    assert book(*rules).find_all(USER, EVE) == rules[::-1]


@given(st.lists(st.tuples(PATTERNS, st.sampled_from(["m.ban", "m.takedown"])), max_size=6), NAMES)
def test_the_rule_that_wins_is_the_first_of_all_that_match(patterns: list[tuple[str, str]], name: str) -> None:
    rules = [ban(entity, recommendation=recommended) for entity, recommended in dict(patterns).items()]
    found = book(*rules)

    expected = sorted((rule for rule in rules if fnmatchcase(name, rule.name)), key=lambda rule: rule.rank)

    assert found.find_all(USER, name) == [rule for rule in expected if rule.event_id not in found.idle]
    assert found.find(USER, name) == next(iter(found.find_all(USER, name)), None)


@pytest.mark.parametrize(
    ("kind", "entity"),
    [
        ("server", "*"),
        ("server", "here.*"),
        ("server", "????.example"),
        ("user", "*"),
        ("user", "@*"),
        ("user", "@*:here.example"),
        ("user", "@?:*"),
        ("room", "*:here.example"),
    ],
)
def test_a_glob_that_reaches_everybody_here_is_not_acted_upon(kind: str, entity: str) -> None:
    rule, other = ban(entity, kind), ban("other.example", kind)

    found = book(rule, other)

    assert found.idle == {rule.event_id}
    assert list(found.active) == [other]
    assert found.find(PolicyKind(kind), "@~:here.example") is None
    assert found.find(PolicyKind(kind), str(HERE)) is None


@pytest.mark.parametrize("entity", ["@spam*:*", "*viagra*", "@*:bad.example"])
def test_a_glob_that_reaches_some_is_acted_upon(entity: str) -> None:
    assert book(ban(entity)).idle == frozenset()


def test_globs_beyond_the_bounds_are_not_acted_upon() -> None:
    plain = [ban(f"@{number}*:x") for number in range(MOST_GLOBS + 1)]
    questioning = [ban(f"@{number:03}?:x") for number in range(MOST_QUESTIONING + 1)]

    assert len(book(*plain).idle) == 1
    assert len(book(*questioning).idle) == 1


def test_the_digest_is_that_of_the_rules_in_any_order() -> None:
    one, two = ban("@one:x"), ban("@two:x")

    assert book(one, two).digest == book(two, one).digest
    assert book(one).digest != book(two).digest


def test_whom_rules_name_that_they_did_not_is_told_where_nothing_else_changed() -> None:
    one, two, glob, server = ban("@one:x"), ban("@two:x"), ban("@x*"), ban("x.example", "server")

    assert book(one, two, glob).new_users(book(glob)) == ["@one:x", "@two:x"]
    assert book(one).new_users(book(one)) == []
    assert book(one).new_users(book(two)) is None
    assert book(one, glob).new_users(book(one)) is None
    assert book(one, server).new_users(book(one)) is None
