"""Push rules: their kinds, the server-default rules, a user's changes over them, and how those changes are edited.

What a rule does to an event is in push_evaluation.py. Spec: client-server-api/#push-rules
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

import orjson

from homeserver.core.errors import BadPushRule, UnknownPushRule

MAX_OWN_RULES: Final = 1_000
MAX_OWN_RULES_BYTES: Final = 256 * 1024  # the whole rule set goes to each of the user's devices at every change
MAX_RULE_BYTES: Final = 16 * 1024
MAX_RULE_ID_BYTES: Final = 255
MAX_PATTERN_LENGTH: Final = 512
MAX_KEY_LENGTH: Final = 512
MAX_CONDITIONS: Final = 32
MAX_ACTIONS: Final = 32
MAX_SAFE_INTEGER: Final = 2**53 - 1

MEMBER_COUNT: Final = re.compile("(==|<=|>=|<|>|)([0-9]{1,15})")
HISTORICAL_ACTIONS: Final = frozenset({"dont_notify", "coalesce"})  # kept as the client wrote them; they do nothing

Condition = Mapping[str, Any]
Action = str | Mapping[str, Any]


class RuleKind(Enum):
    """The kinds of rule, in the order in which they are tried."""

    OVERRIDE = "override"
    CONTENT = "content"
    ROOM = "room"
    SENDER = "sender"
    UNDERRIDE = "underride"

    @property
    def has_conditions(self) -> bool:
        """True for the kinds whose rules say themselves when they match."""
        return self in (RuleKind.OVERRIDE, RuleKind.UNDERRIDE)


class OwnUserID(Enum):
    """Stands in a default rule's condition for the ID of whoever the rule belongs to."""

    OWN_USER_ID = "the user's own ID"


OWN_USER_ID: Final = OwnUserID.OWN_USER_ID


@dataclass(frozen=True, slots=True)
class Rule:
    """One push rule. `conditions` may hold OWN_USER_ID where a default rule speaks of its user."""

    kind: RuleKind
    rule_id: str
    default: bool
    enabled: bool
    actions: tuple[Action, ...]
    conditions: tuple[Condition, ...] = ()  # override and underride rules alone
    pattern: str | None = None  # content rules alone


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a user, in the order in which they are tried, the disabled ones too."""

    rules: tuple[Rule, ...]

    def of_kind(self, kind: RuleKind) -> Iterator[Rule]:
        """The rules of one kind, the most important first."""
        return (rule for rule in self.rules if rule.kind is kind)

    def find(self, kind: RuleKind, rule_id: str) -> Rule | None:
        """The rule of that kind and ID, if the user has it."""
        return next((rule for rule in self.rules if rule.kind is kind and rule.rule_id == rule_id), None)


@dataclass(frozen=True, slots=True)
class RuleChanges:
    """What a user changed: all that has to be stored. Rules of one kind stand in `own` the most important first."""

    own: tuple[Rule, ...] = ()
    default_enabled: Mapping[str, bool] = field(default_factory=dict)  # by rule ID
    default_actions: Mapping[str, tuple[Action, ...]] = field(default_factory=dict)  # by rule ID


def _type_is(event_type: str) -> Condition:
    return {"kind": "event_match", "key": "type", "pattern": event_type}


def _default(kind: RuleKind, rule_id: str, *conditions: Condition, actions: tuple[Action, ...] = ()) -> Rule:
    return Rule(kind, rule_id, default=True, enabled=True, actions=actions, conditions=conditions)


_STATE_KEY_EMPTY: Final = {"kind": "event_match", "key": "state_key", "pattern": ""}
_ONE_TO_ONE: Final = {"kind": "room_member_count", "is": "2"}
_SOUND: Final = {"set_tweak": "sound", "value": "default"}
_HIGHLIGHT: Final = {"set_tweak": "highlight"}

MASTER: Final = replace(_default(RuleKind.OVERRIDE, ".m.rule.master"), enabled=False)
DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    MASTER,
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.suppress_notices",
        {"kind": "event_match", "key": "content.msgtype", "pattern": "m.notice"},
    ),
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.invite_for_me",
        _type_is("m.room.member"),
        {"kind": "event_match", "key": "content.membership", "pattern": "invite"},
        {"kind": "event_match", "key": "state_key", "pattern": OWN_USER_ID},
        actions=("notify", _SOUND),
    ),
    _default(RuleKind.OVERRIDE, ".m.rule.member_event", _type_is("m.room.member")),
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.is_user_mention",
        {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": OWN_USER_ID},
        actions=("notify", _SOUND, _HIGHLIGHT),
    ),
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.is_room_mention",
        {"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True},
        {"kind": "sender_notification_permission", "key": "room"},
        actions=("notify", _HIGHLIGHT),
    ),
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.tombstone",
        _type_is("m.room.tombstone"),
        _STATE_KEY_EMPTY,
        actions=("notify", _HIGHLIGHT),
    ),
    _default(RuleKind.OVERRIDE, ".m.rule.reaction", _type_is("m.reaction")),
    _default(RuleKind.OVERRIDE, ".m.rule.room.server_acl", _type_is("m.room.server_acl"), _STATE_KEY_EMPTY),
    _default(
        RuleKind.OVERRIDE,
        ".m.rule.suppress_edits",
        {"kind": "event_property_is", "key": "content.m\\.relates_to.rel_type", "value": "m.replace"},
    ),
    _default(
        RuleKind.UNDERRIDE,
        ".m.rule.call",
        _type_is("m.call.invite"),
        actions=("notify", {"set_tweak": "sound", "value": "ring"}),
    ),
    _default(
        RuleKind.UNDERRIDE,
        ".m.rule.encrypted_room_one_to_one",
        _ONE_TO_ONE,
        _type_is("m.room.encrypted"),
        actions=("notify", _SOUND),
    ),
    _default(
        RuleKind.UNDERRIDE,
        ".m.rule.room_one_to_one",
        _ONE_TO_ONE,
        _type_is("m.room.message"),
        actions=("notify", _SOUND),
    ),
    _default(RuleKind.UNDERRIDE, ".m.rule.message", _type_is("m.room.message"), actions=("notify",)),
    _default(RuleKind.UNDERRIDE, ".m.rule.encrypted", _type_is("m.room.encrypted"), actions=("notify",)),
)
_DEFAULTS_BY_ID: Final = {rule.rule_id: rule for rule in DEFAULT_RULES}

NO_CHANGES: Final = RuleChanges()


def rule_set(changes: RuleChanges = NO_CHANGES) -> RuleSet:
    """The default rules with `changes` laid over them.

    A user's own rules come before the default ones of their kind; the master rule comes before all.
    """
    defaults = [
        replace(
            rule,
            enabled=changes.default_enabled.get(rule.rule_id, rule.enabled),
            actions=changes.default_actions.get(rule.rule_id, rule.actions),
        )
        for rule in DEFAULT_RULES
    ]
    rules = [rule for rule in defaults if rule.rule_id == MASTER.rule_id]
    for kind in RuleKind:
        rules += (rule for rule in changes.own if rule.kind is kind)
        rules += (rule for rule in defaults if rule.kind is kind and rule.rule_id != MASTER.rule_id)
    return RuleSet(tuple(rules))


def rule_kind(name: str) -> RuleKind:
    """The kind called `name`, as it stands in the path of a request. Raises BadPushRule."""
    try:
        return RuleKind(name)
    except ValueError:
        raise BadPushRule(f"there is no kind of push rule called {name!r:.40}") from None


def put_rule(
    changes: RuleChanges,
    kind: RuleKind,
    rule_id: str,
    body: Mapping[str, Any],
    *,
    before: str | None = None,
    after: str | None = None,
) -> RuleChanges:
    """Add a rule of the user's own, or give an existing one new parameters.

    A new rule becomes the most important of its kind unless `before` or `after` name another place; an existing
    one keeps its place, unless they do, and stays enabled or disabled as it was. `before` wins over `after`.
    Raises BadPushRule.
    """
    _check_own_rule_id(rule_id)
    old = next((rule for rule in changes.own if rule.kind is kind and rule.rule_id == rule_id), None)
    rule = Rule(
        kind,
        rule_id,
        default=False,
        enabled=old is None or old.enabled,
        actions=checked_actions(body.get("actions")),
        conditions=_checked_conditions(body.get("conditions", ())) if kind.has_conditions else (),
        pattern=_checked_string(body.get("pattern"), "pattern", MAX_PATTERN_LENGTH)
        if kind is RuleKind.CONTENT
        else None,
    )
    if _size(_own_to_json(rule)) > MAX_RULE_BYTES:
        raise BadPushRule("the push rule is too large")
    if old is not None and before is None and after is None:
        own = [rule if other is old else other for other in changes.own]
    else:
        own = [other for other in changes.own if other is not old]
        own.insert(_place(own, kind, before, after), rule)
    changed = replace(changes, own=tuple(own))
    if len(own) > MAX_OWN_RULES or len(dump_changes(changed)) > MAX_OWN_RULES_BYTES:
        raise BadPushRule("there are too many push rules")
    return changed


def delete_rule(changes: RuleChanges, kind: RuleKind, rule_id: str) -> RuleChanges:
    """Without the user's rule of that kind and ID. Raises UnknownPushRule; default rules cannot be deleted."""
    own = tuple(rule for rule in changes.own if rule.kind is not kind or rule.rule_id != rule_id)
    if len(own) == len(changes.own):
        raise UnknownPushRule("there is no such push rule")
    return replace(changes, own=own)


def set_enabled(changes: RuleChanges, kind: RuleKind, rule_id: str, enabled: object) -> RuleChanges:
    """Enable or disable a rule, the user's own or a default one. Raises BadPushRule, UnknownPushRule."""
    if not isinstance(enabled, bool):
        raise BadPushRule("enabled must be true or false")
    if _is_default(kind, rule_id):
        return replace(changes, default_enabled={**changes.default_enabled, rule_id: enabled})
    return _replace_own(changes, kind, rule_id, lambda rule: replace(rule, enabled=enabled))


def set_actions(changes: RuleChanges, kind: RuleKind, rule_id: str, actions: object) -> RuleChanges:
    """Give a rule, the user's own or a default one, other actions. Raises BadPushRule, UnknownPushRule."""
    checked = checked_actions(actions)
    if _is_default(kind, rule_id):
        return replace(changes, default_actions={**changes.default_actions, rule_id: checked})
    return _replace_own(changes, kind, rule_id, lambda rule: replace(rule, actions=checked))


def copied_to_room(changes: RuleChanges, old_room_id: str, new_room_id: str) -> RuleChanges:
    """With the rules for one room repeated for another, as when a room is upgraded.

    Rules for a room are its `room` rule and those with an `event_match` on `room_id`. A rule that would be too many,
    or is there already, is left out.
    """
    for rule in reversed(changes.own):
        conditions = tuple(
            {**condition, "pattern": new_room_id} if _is_about_room(condition, old_room_id) else condition
            for condition in rule.conditions
        )
        is_room_rule = rule.kind is RuleKind.ROOM and rule.rule_id == old_room_id
        if not is_room_rule and conditions == rule.conditions:
            continue
        rule_id = new_room_id if rule.rule_id == old_room_id else f"{rule.rule_id}_{new_room_id}"
        taken = any(other.kind is rule.kind and other.rule_id == rule_id for other in changes.own)
        if not taken and len(changes.own) < MAX_OWN_RULES and len(rule_id.encode()) <= MAX_RULE_ID_BYTES:
            copy = replace(rule, rule_id=rule_id, conditions=conditions)
            changes = replace(changes, own=(copy, *changes.own))
    return changes


def rule_to_json(rule: Rule, user_id: str) -> dict[str, Any]:
    """A rule as its user's clients see it."""
    shown: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "default": rule.default,
        "enabled": rule.enabled,
        "actions": list(rule.actions),
    }
    if rule.kind.has_conditions:
        shown["conditions"] = [
            {name: user_id if value is OWN_USER_ID else value for name, value in condition.items()}
            for condition in rule.conditions
        ]
    if rule.pattern is not None:
        shown["pattern"] = rule.pattern
    return shown


def rule_set_to_json(rules: RuleSet, user_id: str) -> dict[str, list[dict[str, Any]]]:
    """A rule set as its user's clients see it: the rules by kind, the most important first."""
    return {kind.value: [rule_to_json(rule, user_id) for rule in rules.of_kind(kind)] for kind in RuleKind}


def dump_changes(changes: RuleChanges) -> bytes:
    """What is stored of a user's rules."""
    return _dump(
        {
            "own": [_own_to_json(rule) for rule in changes.own],
            "default_enabled": changes.default_enabled,
            "default_actions": {rule_id: list(actions) for rule_id, actions in changes.default_actions.items()},
        }
    )


def load_changes(stored: bytes) -> RuleChanges:
    """The inverse of dump_changes."""
    document = orjson.loads(stored)
    own = (
        Rule(
            RuleKind(rule["kind"]),
            rule["rule_id"],
            default=False,
            enabled=rule["enabled"],
            actions=tuple(rule["actions"]),
            conditions=tuple(rule.get("conditions", ())),
            pattern=rule.get("pattern"),
        )
        for rule in document["own"]
    )
    actions = {rule_id: tuple(actions) for rule_id, actions in document["default_actions"].items()}
    return RuleChanges(tuple(own), document["default_enabled"], actions)


def checked_actions(actions: object) -> tuple[Action, ...]:
    """`actions` of a request, if they are what the specification allows. Raises BadPushRule."""
    if not isinstance(actions, list):
        raise BadPushRule("actions must be a list")
    if len(actions) > MAX_ACTIONS:
        raise BadPushRule("there are too many actions")
    for action in actions:
        if isinstance(action, str):
            if action != "notify" and action not in HISTORICAL_ACTIONS:
                raise BadPushRule(f"there is no action called {action!r:.40}")
        elif not isinstance(action, dict) or not isinstance(action.get("set_tweak"), str):
            raise BadPushRule("an action must be a string or an object with set_tweak")
    if _size(actions) > MAX_RULE_BYTES:
        raise BadPushRule("the actions are too large")
    return tuple(actions)


def _checked_conditions(conditions: object) -> tuple[Condition, ...]:
    if not isinstance(conditions, list | tuple):
        raise BadPushRule("conditions must be a list")
    if len(conditions) > MAX_CONDITIONS:
        raise BadPushRule("there are too many conditions")
    return tuple(_checked_condition(condition) for condition in conditions)


def _checked_condition(condition: object) -> Condition:
    """One condition; of a kind that we don't know it is kept as it is, and never holds."""
    if not isinstance(condition, dict) or not isinstance(condition.get("kind"), str):
        raise BadPushRule("a condition must be an object with a kind")
    kind = condition["kind"]
    if kind in ("event_match", "event_property_is", "event_property_contains", "sender_notification_permission"):
        _checked_string(condition.get("key"), "key", MAX_KEY_LENGTH)
    if kind == "event_match":
        _checked_string(condition.get("pattern"), "pattern", MAX_PATTERN_LENGTH)
    if kind in ("event_property_is", "event_property_contains") and not is_plain_value(condition.get("value", ())):
        raise BadPushRule("value must be a string, an integer, true, false or null")
    if kind == "room_member_count":
        count = condition.get("is")
        if not isinstance(count, str) or MEMBER_COUNT.fullmatch(count) is None:
            raise BadPushRule("is must be a decimal number, after ==, <, >, <=, >= or nothing")
    return condition


def is_plain_value(value: object) -> bool:
    """Is it a non-compound value of canonical JSON, as event_property_is compares?"""
    if isinstance(value, int) and not isinstance(value, bool):
        return -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    return value is None or isinstance(value, str | bool)


def _checked_string(value: object, name: str, most: int) -> str:
    if not isinstance(value, str):
        raise BadPushRule(f"{name} must be a string")
    if len(value) > most:
        raise BadPushRule(f"{name} must not be longer than {most} characters")
    return value


def _check_own_rule_id(rule_id: str) -> None:
    if not rule_id:
        raise BadPushRule("the rule ID must not be empty")
    if rule_id.startswith("."):
        raise BadPushRule("rule IDs that begin with a dot belong to the server")
    if "/" in rule_id or "\\" in rule_id:
        raise BadPushRule("a rule ID must not contain slashes")
    if len(rule_id.encode("utf-8", "surrogatepass")) > MAX_RULE_ID_BYTES:
        raise BadPushRule("the rule ID is too long")


def _place(own: Sequence[Rule], kind: RuleKind, before: str | None, after: str | None) -> int:
    """Where in `own` a rule goes that is to stand beside another."""
    places = {rule.rule_id: index for index, rule in enumerate(own) if rule.kind is kind}
    for neighbour in (before, after):
        if neighbour is not None and neighbour not in places:
            raise BadPushRule(f"before/after rule not found: {neighbour!r:.60}")
    if before is not None:
        return places[before]
    return 0 if after is None else places[after] + 1


def _is_default(kind: RuleKind, rule_id: str) -> bool:
    rule = _DEFAULTS_BY_ID.get(rule_id)
    return rule is not None and rule.kind is kind


def _replace_own(changes: RuleChanges, kind: RuleKind, rule_id: str, change: Callable[[Rule], Rule]) -> RuleChanges:
    for index, rule in enumerate(changes.own):
        if rule.kind is kind and rule.rule_id == rule_id:
            own = (*changes.own[:index], change(rule), *changes.own[index + 1 :])
            return replace(changes, own=own)
    raise UnknownPushRule("there is no such push rule")


def _is_about_room(condition: Condition, room_id: str) -> bool:
    return condition["kind"] == "event_match" and condition.get("key") == "room_id" and condition["pattern"] == room_id


def _own_to_json(rule: Rule) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "kind": rule.kind.value,
        "rule_id": rule.rule_id,
        "enabled": rule.enabled,
        "actions": list(rule.actions),
    }
    if rule.conditions:
        stored["conditions"] = list(rule.conditions)
    if rule.pattern is not None:
        stored["pattern"] = rule.pattern
    return stored


def _size(value: object) -> int:
    return len(_dump(value))


def _dump(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise BadPushRule("the push rule holds something that JSON cannot carry") from None
