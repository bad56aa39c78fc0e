"""Moderation policy lists: what the rules in a room's state say of users, rooms and servers, and which of them wins.

Rules are only read here. Which rooms are such lists, and what a rule does, is up to whoever follows them:
services/rooms/policy_lists.py. Spec: client-server-api/#moderation-policy-lists

Beside the specification's there are the names of before it, and two proposals: takedowns (MSC4204), which are bans of
what is unlawful and so weigh more, and entities that are named by their hash alone (MSC4205).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.event import Event
from homeserver.core.globs import Glob
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.unpadded_base64 import decode_base64, encode_base64

LONGEST_ENTITY: Final = 255  # no identifier is longer
LONGEST_REASON: Final = 300
MOST_RULES: Final = 100_000  # of a list
MOST_GLOBS: Final = 5_000  # of one kind
MOST_QUESTIONING: Final = 100  # of these with a `?`: such a glob takes longer to try than others
NOBODYS_NAME: Final = "~"  # no new user has it: what matches it matches everybody


class PolicyKind(Enum):
    """What a rule is about."""

    USER = "user"
    ROOM = "room"
    SERVER = "server"


class Recommendation(Enum):
    """What a rule recommends; nothing else is acted upon. The first weighs most."""

    TAKEDOWN = "m.takedown"
    BAN = "m.ban"


# A rule under an older name counts as long as there is no event of a newer one with its state key, though it be empty.
_FAMILIES: Final = ("m.policy.rule", "m.room.rule", "org.matrix.mjolnir.rule")
_TYPES: Final[Mapping[str, tuple[PolicyKind, int]]] = {
    f"{family}.{kind.value}": (kind, age) for age, family in enumerate(_FAMILIES) for kind in PolicyKind
}
POLICY_TYPES: Final = tuple(_TYPES)
_RECOMMENDATIONS: Final[Mapping[str, Recommendation]] = {
    "m.ban": Recommendation.BAN,
    "org.matrix.mjolnir.ban": Recommendation.BAN,
    "m.takedown": Recommendation.TAKEDOWN,
    "org.matrix.msc4204.takedown": Recommendation.TAKEDOWN,
}
_HASHES: Final = ("hashes", "org.matrix.msc4205.hashes")
_WEIGHTS: Final = {recommendation: weight for weight, recommendation in enumerate(Recommendation)}
_PORT: Final = re.compile(r":[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule. Either `entity`, a glob, is there, or `digest`, the SHA-256 of what it is about."""

    kind: PolicyKind
    entity: str | None
    digest: bytes | None
    recommendation: Recommendation
    reason: str
    event_id: EventID

    @property
    def is_glob(self) -> bool:
        """Whether it may be about several."""
        return self.entity is not None and ("*" in self.entity or "?" in self.entity)

    @property
    def name(self) -> str:
        """The rule's entity as people are shown it."""
        return self.entity if self.entity is not None else f"sha256:{encode_base64(self.digest or b'')}"

    @property
    def rank(self) -> tuple[int, bool, int, str, str]:
        """The least of those that match wins: what weighs most, then what names one thing, then the longest glob."""
        return (
            _WEIGHTS[self.recommendation],
            self.is_glob,
            -len((self.entity or "").replace("*", "")) if self.is_glob else 0,
            self.name,
            self.event_id,
        )

    def reaches_everybody(self, server_name: ServerName) -> bool:
        """Whether it is a glob that matches this server, or all users or rooms of it: nobody can mean that here."""
        if not self.is_glob or self.entity is None:
            return False
        glob = _glob_of(self.kind, self.entity)
        if self.kind is PolicyKind.SERVER:
            return any(glob.matches(name) for name in names_of_server(server_name))
        sigil = "@" if self.kind is PolicyKind.USER else "!"
        return glob.matches(f"{sigil}{NOBODYS_NAME}:{server_name}")


def read_rule(event: Event) -> PolicyRule | None:
    """The rule that a state event is; None for what is none, and for one that was taken back or is not understood."""
    known = _TYPES.get(event.type)
    if known is None or not event.is_state:
        return None
    content, kind = event.content, known[0]
    recommended = content.get("recommendation")
    recommendation = _RECOMMENDATIONS.get(recommended) if isinstance(recommended, str) else None
    if recommendation is None:
        return None
    entity, digest = _entity(content.get("entity")), None
    if entity is None:
        digest = _digest(content)
        if digest is None:
            return None
    elif kind is PolicyKind.SERVER:
        if not entity.isascii() or not entity.isprintable() or " " in entity or "," in entity:
            return None  # so no server is called
        entity = entity.lower()
    reason = content.get("reason")
    told = reason[:LONGEST_REASON] if isinstance(reason, str) else ""
    return PolicyRule(kind, entity, digest, recommendation, told, event.event_id)


def rules_in_force(state: Mapping[tuple[str, str], PolicyRule | None]) -> list[PolicyRule]:
    """The rules that count of those under their types and state keys; None stands where an event is no rule."""
    newest: dict[tuple[PolicyKind, str], tuple[int, PolicyRule | None]] = {}
    for (event_type, state_key), rule in state.items():
        kind, age = _TYPES[event_type]
        known = newest.get((kind, state_key))
        if known is None or age < known[0]:
            newest[kind, state_key] = age, rule
    return [rule for _, rule in newest.values() if rule is not None]


class PolicyBook:
    """The rules of one list, ready to be asked. It costs more to make than to ask."""

    def __init__(self, rules: Iterable[PolicyRule], server_name: ServerName) -> None:
        """What reaches everybody of `server_name`, or is beyond the bounds, is not acted upon."""
        self.rules: tuple[PolicyRule, ...] = tuple(sorted(rules, key=lambda rule: rule.rank))[:MOST_RULES]
        self._exact: dict[tuple[PolicyKind, str], PolicyRule] = {}
        self._hashed: dict[tuple[PolicyKind, bytes], PolicyRule] = {}
        self._globs: dict[PolicyKind, list[tuple[Glob, PolicyRule]]] = {kind: [] for kind in PolicyKind}
        self.idle: frozenset[EventID] = frozenset()  # rules that are not acted upon
        idle: list[EventID] = []
        questioning = dict.fromkeys(PolicyKind, 0)
        for rule in self.rules:
            if rule.digest is not None:
                self._hashed.setdefault((rule.kind, rule.digest), rule)
            elif rule.entity is not None and not rule.is_glob:
                self._exact.setdefault((rule.kind, rule.entity), rule)
            elif rule.entity is not None:
                globs = self._globs[rule.kind]
                questioning[rule.kind] += "?" in rule.entity
                is_too_much = len(globs) >= MOST_GLOBS or (
                    "?" in rule.entity and questioning[rule.kind] > MOST_QUESTIONING
                )
                if is_too_much or rule.reaches_everybody(server_name):
                    idle.append(rule.event_id)
                else:
                    globs.append((_glob_of(rule.kind, rule.entity), rule))
        self.idle = frozenset(idle)
        named = [rule for rule in self.active if rule.kind is PolicyKind.SERVER]
        # By what they match, and by what that is without a port.
        self.servers: Mapping[str, PolicyRule] = {rule.entity: rule for rule in named if rule.entity is not None}
        self.hosts: Mapping[str, PolicyRule] = {names_of_server(each)[-1]: rule for each, rule in self.servers.items()}
        self.digest: bytes = hashlib.sha256(repr([rule.rank for rule in self.rules]).encode()).digest()

    @property
    def active(self) -> Iterable[PolicyRule]:
        """The rules that are acted upon, those that weigh most first."""
        return (rule for rule in self.rules if rule.event_id not in self.idle)

    def new_users(self, before: "PolicyBook") -> list[str] | None:
        """Whom the rules name that they did not name `before`; None if they changed in any other way, too."""
        now = {rule.event_id: rule for rule in self.active}  # an event says the same for ever, or is no rule any more
        then = {rule.event_id for rule in before.active}
        if not then <= now.keys():
            return None
        added = [rule for event_id, rule in now.items() if event_id not in then]
        named = [rule.entity for rule in added if rule.entity is not None and not rule.is_glob]
        return named if len(named) == len(added) and all(rule.kind is PolicyKind.USER for rule in added) else None

    def find(self, kind: PolicyKind, name: str) -> PolicyRule | None:
        """The rule that wins of those about a user, a room or a server; None if there is none."""
        names = names_of_server(name) if kind is PolicyKind.SERVER else (name,)
        found = [rule for each in names if (rule := self._find(kind, each)) is not None]
        return min(found, key=lambda rule: rule.rank, default=None)

    def find_all(self, kind: PolicyKind, name: str) -> list[PolicyRule]:
        """All rules about it, the one that wins first."""
        names = names_of_server(name) if kind is PolicyKind.SERVER else (name,)
        digests = {_digest_of(each) for each in names}
        found = [
            rule
            for rule in self.active
            if rule.kind is kind
            and (
                rule.digest in digests
                or rule.entity in names
                or (rule.entity is not None and rule.is_glob and _matches_any(_glob_of(kind, rule.entity), names))
            )
        ]
        return sorted(found, key=lambda rule: rule.rank)

    def _find(self, kind: PolicyKind, name: str) -> PolicyRule | None:
        found = [self._exact.get((kind, name))]
        if self._hashed:
            found.append(self._hashed.get((kind, _digest_of(name))))
        found.append(next((rule for glob, rule in self._globs[kind] if glob.matches(name)), None))
        return min((rule for rule in found if rule is not None), key=lambda rule: rule.rank, default=None)


def names_of_server(server: str) -> tuple[str, ...]:
    """What a rule may call a server: its name, or what is left of it without a port. Case does not count."""
    name = server.lower()
    host = _PORT.sub("", name)
    return (name,) if host == name else (name, host)


def _matches_any(glob: Glob, names: Iterable[str]) -> bool:
    return any(glob.matches(name) for name in names)


def _glob_of(kind: PolicyKind, entity: str) -> Glob:
    return Glob(entity, ignore_case=kind is PolicyKind.SERVER)


def _entity(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ENTITY or "\0" in value:
        return None
    return value


def _digest(content: Mapping[str, Any]) -> bytes | None:  # Any: JSON of whoever writes the list
    for key in _HASHES:
        hashes = content.get(key)
        written = hashes.get("sha256") if isinstance(hashes, dict) else None
        if isinstance(written, str) and len(written) <= LONGEST_ENTITY and written.isascii():
            digest = decode_base64(written)
            if digest is not None and len(digest) == hashlib.sha256().digest_size:
                return digest
    return None


def _digest_of(name: str) -> bytes:
    # What an identifier has from elsewhere need not be encodable.
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()
