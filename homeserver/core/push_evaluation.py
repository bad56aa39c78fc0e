"""What a user's push rules make of an event: notify or not, highlight or not, with which tweaks.

Users whose rules say the same are one class. An event is evaluated once per class (`evaluate_class`), as for
somebody whom it doesn't name; those whom it may name are evaluated one by one (`evaluate_user`): the users in
`EventFacts.named_users` and, where `CompiledRules.watches_display_name`, those whose display name `occurs_in_body`.
So are, for an event of a thread, those with `CompiledRules.watches_threads`.

The rules themselves are in push_rules.py. Spec: client-server-api/#push-rules
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

import orjson

from homeserver.core.event import Event
from homeserver.core.globs import Glob, contains_word
from homeserver.core.property_paths import ABSENT, look_up, split_path
from homeserver.core.push_rules import (
    HISTORICAL_ACTIONS,
    MEMBER_COUNT,
    OWN_USER_ID,
    Action,
    Condition,
    Rule,
    RuleKind,
    RuleSet,
    is_plain_value,
)

# A search compares each place of the text with up to as many characters as the pattern has between two stars; about
# 5 ns each. Somebody with so many or so long patterns that an event of full size could cost more than this many steps
# has long texts matched by their beginning only: whoever sends to a room must not be able to hold up the server.
_MATCHING_STEPS: Final = 4_000_000
_LEAST_TEXT_LIMIT: Final = 64
_FULL_TEXT: Final = 65_536  # no event is longer
_DEFAULT_NOTIFICATION_LEVEL: Final = 50
THREAD_SUBSCRIPTION: Final = "io.element.msc4306.thread_subscription"

_BODY: Final = ("content", "body")
_ROOM_ID: Final = ("room_id",)
_MENTIONS: Final = ("content", "m.mentions", "user_ids")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens for one user, or one class: the actions of the first rule that matches."""

    notify: bool
    highlight: bool
    actions: tuple[Action, ...]


SILENT: Final = Outcome(notify=False, highlight=False, actions=())


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What conditions ask about the room, at the event."""

    member_count: int  # those joined
    sender_power_level: float  # infinite for a privileged creator
    notification_levels: Mapping[str, int]  # `notifications` of the power levels


@dataclass(frozen=True, slots=True)
class UserFacts:
    """What conditions ask about the user."""

    user_id: str
    display_name: str | None  # in this room
    is_subscribed: bool | None = None  # to the thread of the event; None when it is in none


@dataclass(frozen=True, slots=True)
class EventFacts:
    """What conditions ask about the event. Lower-case texts are kept, as every class wants the same ones."""

    sender: str
    room_id: str
    properties: Mapping[str, Any]
    type: str  # in lower case
    named_users: frozenset[str]  # of whom a default rule may say something of their own
    _lower: dict[tuple[str, ...], str | None] = field(default_factory=dict, repr=False, compare=False)

    def lower_text(self, path: tuple[str, ...]) -> str | None:
        """The text at `path` in lower case; None if there is none, or it is no text."""
        if path in self._lower:
            return self._lower[path]
        value = look_up(self.properties, path)
        text = value.lower() if isinstance(value, str) else None
        self._lower[path] = text
        return text


def event_facts(event: Event) -> EventFacts:
    """What conditions ask about `event`."""
    properties = {
        "type": event.type,
        "sender": event.sender,
        "room_id": event.room_id,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "content": event.content,
    }
    named = set()
    if event.state_key is not None:
        properties["state_key"] = event.state_key
        if event.type == "m.room.member":
            named.add(event.state_key)
    if event.redacts is not None:
        properties["redacts"] = event.redacts
    mentions = look_up(properties, _MENTIONS)
    if isinstance(mentions, list):
        named.update(mention for mention in mentions if isinstance(mention, str))
    return EventFacts(
        sender=event.sender,
        room_id=event.room_id,
        properties=properties,
        type=event.type.lower(),
        named_users=frozenset(named),
    )


def occurs_in_body(display_name: str, event: EventFacts) -> bool:
    """May contains_display_name hold? Cheap; says yes too often, never too seldom."""
    body = event.lower_text(_BODY)
    return body is not None and display_name != "" and display_name.lower() in body


class _Case(NamedTuple):
    """What conditions are asked about; without a user, those about users don't hold."""

    event: EventFacts
    room: RoomFacts
    user: UserFacts | None


class _Test(Protocol):
    """A condition, compiled."""

    def holds(self, case: _Case) -> bool:
        """Does it hold?"""
        ...

    def canonical(self) -> list[Any]:
        """JSON that is equal for equal conditions."""
        ...


@dataclass(frozen=True, slots=True)
class _TextMatches:
    """event_match."""

    path: tuple[str, ...]
    glob: Glob = field(compare=False)
    pattern: str
    text_limit: int

    def holds(self, case: _Case) -> bool:
        text = case.event.lower_text(self.path)
        if text is None:
            return False
        if self.path == _BODY:
            return self.glob.occurs_in(text[: self.text_limit])
        if self.glob.literal is not None:
            return text == self.glob.literal
        return self.glob.matches(text[: self.text_limit])

    def canonical(self) -> list[Any]:
        return ["text", self.path, self.pattern, self.text_limit]


@dataclass(frozen=True, slots=True)
class _IsOwnID:
    """event_match with the user's own ID, which is taken as it is."""

    path: tuple[str, ...]

    def holds(self, case: _Case) -> bool:
        return case.user is not None and look_up(case.event.properties, self.path) == case.user.user_id

    def canonical(self) -> list[Any]:
        return ["own", self.path]


@dataclass(frozen=True, slots=True)
class _HasOwnID:
    """event_property_contains with the user's own ID."""

    path: tuple[str, ...]

    def holds(self, case: _Case) -> bool:
        if case.user is None:
            return False
        values = look_up(case.event.properties, self.path)
        return isinstance(values, list) and case.user.user_id in values

    def canonical(self) -> list[Any]:
        return ["has own", self.path]


@dataclass(frozen=True, slots=True)
class _ValueIs:
    """event_property_is."""

    path: tuple[str, ...]
    value: object

    def holds(self, case: _Case) -> bool:
        return _is_same(look_up(case.event.properties, self.path), self.value)

    def canonical(self) -> list[Any]:
        return ["is", self.path, self.value]


@dataclass(frozen=True, slots=True)
class _ValuesContain:
    """event_property_contains."""

    path: tuple[str, ...]
    value: object

    def holds(self, case: _Case) -> bool:
        values = look_up(case.event.properties, self.path)
        return isinstance(values, list) and any(_is_same(value, self.value) for value in values)

    def canonical(self) -> list[Any]:
        return ["contains", self.path, self.value]


@dataclass(frozen=True, slots=True)
class _RoomIs:
    """A `room` rule, or an event_match that names one case.room."""

    room_id: str
    ignores_case: bool  # event_match does; the ID is in lower case then

    def is_about(self, room_id: str) -> bool:
        """Does it hold for events of that room?"""
        return self.room_id == (room_id.lower() if self.ignores_case else room_id)

    def holds(self, case: _Case) -> bool:
        return self.is_about(case.event.room_id)

    def canonical(self) -> list[Any]:
        return ["room", self.room_id, self.ignores_case]


@dataclass(frozen=True, slots=True)
class _ContainsDisplayName:
    """contains_display_name."""

    def holds(self, case: _Case) -> bool:
        body = case.event.lower_text(_BODY)
        if case.user is None or not case.user.display_name or body is None:
            return False
        return contains_word(body, case.user.display_name.lower())

    def canonical(self) -> list[Any]:
        return ["display name"]


@dataclass(frozen=True, slots=True)
class _ThreadSubscription:
    """thread_subscription, by the name that it has before it is in the specification. Spec: MSC4306"""

    is_subscribed: bool

    def holds(self, case: _Case) -> bool:
        return case.user is not None and case.user.is_subscribed is self.is_subscribed

    def canonical(self) -> list[Any]:
        return ["thread", self.is_subscribed]


@dataclass(frozen=True, slots=True)
class _MemberCount:
    """room_member_count."""

    comparison: str
    count: int

    def holds(self, case: _Case) -> bool:
        return _COMPARISONS[self.comparison](case.room.member_count, self.count)

    def canonical(self) -> list[Any]:
        return ["members", self.comparison, self.count]


@dataclass(frozen=True, slots=True)
class _SenderMayNotify:
    """sender_notification_permission."""

    key: str

    def holds(self, case: _Case) -> bool:
        needed = case.room.notification_levels.get(self.key, _DEFAULT_NOTIFICATION_LEVEL)
        return case.room.sender_power_level >= needed

    def canonical(self) -> list[Any]:
        return ["may notify", self.key]


_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_OF_USERS: Final = (_IsOwnID, _HasOwnID, _ContainsDisplayName, _ThreadSubscription)


@dataclass(frozen=True, slots=True)
class _CompiledRule:
    tests: tuple[_Test, ...]
    outcome: Outcome
    of_users: bool  # some condition depends on the user
    type: str | None  # the one event type that it is about, if it names one; in lower case

    def in_room(self, room_id: str) -> "_CompiledRule | None":
        """The rule without what it asks about the room; None when it is about another one."""
        if not all(test.is_about(room_id) for test in self.tests if isinstance(test, _RoomIs)):
            return None
        tests = tuple(test for test in self.tests if not isinstance(test, _RoomIs))
        return _CompiledRule(tests, self.outcome, self.of_users, self.type)

    def canonical(self) -> list[Any]:
        return [[test.canonical() for test in self.tests], self.type, self.outcome.actions]


_Rules = tuple[_CompiledRule, ...]


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The enabled rules of a class, ready for events. Equal, and of equal hash, when `class_key` is."""

    class_key: bytes  # 32 bytes, the same in every process
    watches_display_name: bool = field(compare=False)  # some rule has contains_display_name
    watches_threads: bool = field(compare=False)  # some rule asks whether the user is subscribed to a thread
    names_rooms: bool = field(compare=False)  # some rule is about one room only
    _rules: _Rules = field(compare=False, repr=False)
    _by_type: Mapping[str, _Rules] = field(compare=False, repr=False)  # those that may match an event of the type
    _of_other_types: _Rules = field(compare=False, repr=False)
    _class_by_type: Mapping[str, _Rules] = field(compare=False, repr=False)  # the same without those about users
    _class_of_other_types: _Rules = field(compare=False, repr=False)

    def in_room(self, room_id: str) -> "CompiledRules":
        """What is left of the rules in one room: most users who muted some other room are of the default class."""
        if not self.names_rooms:
            return self
        return _assemble(left for rule in self._rules if (left := rule.in_room(room_id)) is not None)


def compile_rules(rules: RuleSet) -> CompiledRules:
    """The class of those who have these rules."""
    enabled = [rule for rule in rules.rules if rule.enabled]
    text_limit = _text_limit(enabled)
    return _assemble(compiled for rule in enabled if (compiled := _compile_rule(rule, text_limit)) is not None)


def evaluate_class(rules: CompiledRules, event: EventFacts, room: RoomFacts) -> Outcome:
    """The outcome for everybody in the class whom the event doesn't name and who didn't send it."""
    return _first_match(rules._class_by_type.get(event.type, rules._class_of_other_types), _Case(event, room, None))


def evaluate_user(rules: CompiledRules, event: EventFacts, room: RoomFacts, user: UserFacts) -> Outcome:
    """The outcome for one user, whether the event names them or not. Nobody is notified of what they sent."""
    if user.user_id == event.sender:
        return SILENT
    return _first_match(rules._by_type.get(event.type, rules._of_other_types), _Case(event, room, user))


def _first_match(rules: _Rules, case: _Case) -> Outcome:
    for rule in rules:
        for test in rule.tests:
            if not test.holds(case):
                break
        else:
            return rule.outcome
    return SILENT


def _assemble(compiled: Iterable[_CompiledRule]) -> CompiledRules:
    rules = tuple(compiled)
    types = {rule.type for rule in rules if rule.type is not None}
    by_type = {event_type: tuple(_of_type(rules, event_type)) for event_type in types}
    other = tuple(_of_type(rules, None))
    canonical = orjson.dumps([rule.canonical() for rule in rules], option=orjson.OPT_SORT_KEYS)
    return CompiledRules(
        class_key=sha256(canonical).digest(),
        watches_display_name=any(isinstance(test, _ContainsDisplayName) for rule in rules for test in rule.tests),
        watches_threads=any(isinstance(test, _ThreadSubscription) for rule in rules for test in rule.tests),
        names_rooms=any(isinstance(test, _RoomIs) for rule in rules for test in rule.tests),
        _rules=rules,
        _by_type=by_type,
        _of_other_types=other,
        _class_by_type={event_type: _without_users(some) for event_type, some in by_type.items()},
        _class_of_other_types=_without_users(other),
    )


def _of_type(rules: _Rules, event_type: str | None) -> Iterator[_CompiledRule]:
    return (rule for rule in rules if rule.type is None or rule.type == event_type)


def _without_users(rules: _Rules) -> _Rules:
    return tuple(rule for rule in rules if not rule.of_users)


def _compile_rule(rule: Rule, text_limit: int) -> _CompiledRule | None:
    """None for a rule that matches nothing."""
    only_type, tests = None, list[_Test]()
    for condition in _conditions(rule):
        test = _compile_condition(condition, text_limit)
        if test is None:
            return None
        if isinstance(test, _TextMatches) and test.path == ("type",) and test.glob.literal and only_type is None:
            only_type = test.glob.literal
        else:
            tests.append(test)
    return _CompiledRule(
        tests=tuple(tests),
        outcome=_outcome(rule.actions),
        of_users=any(isinstance(test, _OF_USERS) for test in tests),
        type=only_type,
    )


def _conditions(rule: Rule) -> tuple[Condition, ...]:
    """The conditions of a rule, said or implied by its kind."""
    match rule.kind:
        case RuleKind.CONTENT:
            return ({"kind": "event_match", "key": "content.body", "pattern": rule.pattern},)
        case RuleKind.ROOM:
            return ({"kind": "event_property_is", "key": "room_id", "value": rule.rule_id},)
        case RuleKind.SENDER:
            return ({"kind": "event_property_is", "key": "sender", "value": rule.rule_id},)
        case RuleKind.OVERRIDE | RuleKind.UNDERRIDE:
            return rule.conditions


def _compile_condition(condition: Condition, text_limit: int) -> _Test | None:
    """None for a condition that never holds: one that we don't know, or without what it needs."""
    kind, key = condition.get("kind"), condition.get("key")
    if kind == "contains_display_name":
        return _ContainsDisplayName()
    if kind == THREAD_SUBSCRIPTION:
        subscribed = condition.get("subscribed")
        return _ThreadSubscription(subscribed) if isinstance(subscribed, bool) else None
    if kind == "room_member_count":
        parsed = MEMBER_COUNT.fullmatch(condition["is"]) if isinstance(condition.get("is"), str) else None
        return None if parsed is None else _MemberCount(parsed[1] or "==", int(parsed[2]))
    if not isinstance(key, str):
        return None
    if kind == "sender_notification_permission":
        return _SenderMayNotify(key)
    path = split_path(key)
    if kind == "event_match":
        pattern = condition.get("pattern")
        if pattern is OWN_USER_ID:
            return _IsOwnID(path)
        if not isinstance(pattern, str):
            return None
        glob = Glob(pattern.lower())
        if path == _ROOM_ID and glob.literal is not None:
            return _RoomIs(glob.literal, ignores_case=True)
        return _TextMatches(path, glob, pattern.lower(), text_limit)
    value = condition.get("value", ABSENT)
    if kind == "event_property_contains" and value is OWN_USER_ID:
        return _HasOwnID(path)
    if not is_plain_value(value):
        return None
    if kind == "event_property_is" and path == _ROOM_ID and isinstance(value, str):
        return _RoomIs(value, ignores_case=False)
    if kind == "event_property_is":
        return _ValueIs(path, value)
    if kind == "event_property_contains":
        return _ValuesContain(path, value)
    return None


def _outcome(actions: tuple[Action, ...]) -> Outcome:
    kept = tuple(action for action in actions if not isinstance(action, str) or action not in HISTORICAL_ACTIONS)
    notify = "notify" in kept
    highlight = False
    for action in kept:
        if not isinstance(action, str) and action.get("set_tweak") == "highlight":
            highlight = action.get("value", True) is True
    if not notify:
        return SILENT
    return Outcome(notify=True, highlight=highlight, actions=kept)


def _text_limit(rules: Iterable[Rule]) -> int:
    """How much of a text is matched: all of it, but for those who have very many patterns."""
    weight = 1
    for rule in rules:
        for condition in _conditions(rule):
            pattern = condition.get("pattern")
            if condition.get("kind") == "event_match" and isinstance(pattern, str):
                glob = Glob(pattern)
                if glob.literal is None or condition.get("key") == "content.body":
                    weight += 1 + glob.longest_search()
    return max(_LEAST_TEXT_LIMIT, min(_FULL_TEXT, _MATCHING_STEPS // weight))


def _is_same(found: object, wanted: object) -> bool:
    """Equal and of the same type: 1 is not true."""
    return type(found) is type(wanted) and found == wanted
