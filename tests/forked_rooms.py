"""Whole rooms that forked: several servers that hear of each other late, quarrels over power, and one server that lies.

`grow_room` makes one from a `Random`; `forked_rooms` is the Hypothesis strategy. Events are built by
core/event_building.py, so their hashes and IDs are real; what they amount to is told by replicas.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from homeserver.core.auth_selection import POWER_LEVELS, auth_types_for
from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import BadSignature
from homeserver.core.event import Event, view_event
from homeserver.core.event_building import EventTemplate, build_event
from homeserver.core.event_format import depth_limit
from homeserver.core.hashing import reference_hash, room_id_of_create
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.redaction import redacted_event
from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.core.signing import SigningKey, required_signers, sign_event
from homeserver.core.state_map import StateKey, StateMap
from homeserver.core.unpadded_base64 import encode_base64
from tests.replicas import Fork, History, Replica, Verdict

# Contents of events are JSON objects, so their values are `Any`.

ONE: Final = ServerName("one.example")  # the creator's
TWO: Final = ServerName("two.example")
LIAR: Final = ServerName("liar.example")
SERVERS: Final = (ONE, TWO, LIAR)

ALICE: Final = UserID("@alice:one.example")  # the creator
BOB: Final = UserID("@bob:two.example")
CAROL: Final = UserID("@carol:two.example")
DAVE: Final = UserID("@dave:one.example")
MALLORY: Final = UserID("@mallory:liar.example")
TRENT: Final = UserID("@trent:liar.example")
USERS: Final = (ALICE, BOB, CAROL, DAVE, MALLORY, TRENT)

KEYS: Final = {server: SigningKey("test", bytes([number] * 32)) for number, server in enumerate(SERVERS, 1)}
_IDENTITY_KEY: Final = SigningKey("0", bytes([9] * 32))
_LEVELS: Final = (0, 0, 25, 50, 50, 75, 100)
START_MS: Final = 1_700_000_000_000

AUTHORISING_TYPES: Final = (
    "m.room.power_levels",
    "m.room.member",
    "m.room.join_rules",
    "m.room.third_party_invite",
)
# What a redaction takes from them, in some room versions, though authorisation looks at it.
_LOST_TO_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "m.room.power_levels": ("invite", "notifications"),
    "m.room.member": ("third_party_invite", "join_authorised_via_users_server"),
    "m.room.third_party_invite": ("public_key", "public_keys"),
}


@dataclass(frozen=True, slots=True)
class ForkedRoom:
    """A room as all servers together know it."""

    history: History
    soft_failed: frozenset[EventID]  # by some server
    heard: Mapping[ServerName, tuple[EventID, ...]]  # by each server, in the order in which it came to know of them

    @property
    def version(self) -> RoomVersion:
        return self.history.version

    @property
    def room_id(self) -> RoomID:
        return self.history.room_id

    @property
    def events(self) -> list[Event]:
        """Each after all that it names."""
        return list(self.history.events.values())

    @property
    def forks(self) -> list[Fork]:
        """The resolutions that its servers had to make."""
        return list(self.history.forks.values())

    @property
    def has_fork(self) -> bool:
        """True when some event has two that follow it and do not follow each other."""
        heads: set[EventID] = set()
        for event in self.events:
            if heads and not heads <= self.history.preceding[event.event_id]:
                return True
            heads = {event.event_id}
        return False

    @property
    def has_conflict(self) -> bool:
        """True when an event came after several that do not agree on the state."""
        return any(frozenset(event.prev_event_ids) in self.history.forks for event in self.events)

    @property
    def has_rejection(self) -> bool:
        return bool(self.history.rejected)

    @property
    def has_rejection_by_state(self) -> bool:
        """True when an event was rejected though its auth events allow it."""
        return bool(self.history.by_state_alone)

    @property
    def has_soft_failure(self) -> bool:
        return bool(self.soft_failed)

    @property
    def has_ban_race(self) -> bool:
        """True when a user was banned while, out of sight of the ban, the same user did something."""
        accepted = [event for event in self.events if event.event_id not in self.history.rejected]
        bans = [event for event in accepted if event.content.get("membership") == "ban" and event.state_key]
        return any(
            event.sender == ban.state_key
            and event.event_id not in self.history.preceding[ban.event_id]
            and ban.event_id not in self.history.preceding[event.event_id]
            for ban in bans
            for event in accepted
        )

    @property
    def has_power_fight(self) -> bool:
        """True when a resolution had to choose between power levels."""
        return any(len({state.get(POWER_LEVELS) for state in fork.states}) > 1 for fork in self.forks)

    @property
    def redactions_of_state(self) -> list[tuple[Event, Event]]:
        """Accepted redactions that are to be applied to state events, each with its target."""
        events = self.history.events
        accepted = [event for event in self.events if event.event_id not in self.history.rejected]
        pairs = [(event, events[event.redacts]) for event in accepted if event.redacts in events]
        return [
            (event, target)
            for event, target in pairs
            if target.state_key is not None and self.history.is_to_redact(event, target)
        ]

    @property
    def has_redaction_of_state(self) -> bool:
        """True when a state event is to be redacted that decides what others may do."""
        return any(target.type in AUTHORISING_TYPES for _, target in self.redactions_of_state)

    @property
    def has_redaction_of_rules(self) -> bool:
        """True when a redaction takes away something that authorisation looks at."""
        return any(is_loss_to_rules(target) for _, target in self.redactions_of_state)


# What a room is counted for, and the least share of the rooms of a run that must have it.
MINIMUM_SHARES: Final[Mapping[str, tuple[Callable[[ForkedRoom], bool], float]]] = {
    "a fork": (lambda room: room.has_fork, 0.90),
    "a conflict": (lambda room: room.has_conflict, 0.80),
    "a power fight": (lambda room: room.has_power_fight, 0.22),
    "a rejection": (lambda room: room.has_rejection, 0.80),
    "a rejection by the state alone": (lambda room: room.has_rejection_by_state, 0.05),
    "a soft failure": (lambda room: room.has_soft_failure, 0.33),
    "a ban race": (lambda room: room.has_ban_race, 0.22),
    "a redaction of state": (lambda room: room.has_redaction_of_state, 0.25),
    "a redaction of what authorises": (lambda room: room.has_redaction_of_rules, 0.05),
}


def is_loss_to_rules(event: Event) -> bool:
    """True for a state event that authorises less, or is authorised otherwise, when it is redacted."""
    lost = [key for key in _LOST_TO_RULES.get(event.type, ()) if key in event.content]
    if not lost:
        return False
    left = redacted_event(event).content
    return any(left.get(key) != event.content[key] for key in lost)


@dataclass(slots=True)
class Statistics:
    """Counts what a run of generated rooms was about."""

    rooms: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MINIMUM_SHARES, 0))
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROOM_VERSIONS, 0))

    def count(self, room: ForkedRoom) -> None:
        self.rooms += 1
        self.versions[room.version.name] += 1
        for name, (holds, _) in MINIMUM_SHARES.items():
            self.counts[name] += holds(room)

    def add(self, other: "Statistics") -> None:
        """Count what another part of the same run was about."""
        self.rooms += other.rooms
        for mine, others in ((self.versions, other.versions), (self.counts, other.counts)):
            for name, count in others.items():
                mine[name] += count

    def __str__(self) -> str:
        shares = ", ".join(f"{count / max(self.rooms, 1):.0%} with {name}" for name, count in self.counts.items())
        return f"{self.rooms} rooms: {shares}"

    def check(self) -> None:
        """Fail unless the rooms were about what they are for."""
        low = {name: count for name, count in self.counts.items() if count < MINIMUM_SHARES[name][1] * self.rooms}
        assert not low, f"too few of {', '.join(low)}; {self}"
        assert all(self.versions.values()), f"a room version never came up; {self.versions}"


@cache
def forked_rooms(version: RoomVersion | None = None) -> st.SearchStrategy[ForkedRoom]:
    """Rooms of a version, or of any."""
    versions = st.sampled_from(list(ROOM_VERSIONS.values())) if version is None else st.just(version)
    return st.builds(grow_room, st.randoms(use_true_random=False), versions)


def grow_room(random: Random, version: RoomVersion, steps: int | None = None, name: str = "room") -> ForkedRoom:
    """A room that lived for some steps, in each of which a server sends an event or hears from another.

    Rooms of different names have no event in common.
    """
    grower = _Grower(random, version, name)
    grower.begin()
    for _ in range(random.randrange(10, 24) if steps is None else steps):
        grower.step()
    grower.merge()
    heard = {server: tuple(replica.received) for server, replica in grower.replicas.items()}
    return ForkedRoom(grower.history, frozenset(grower.soft_failed), heard)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants to say."""

    type: str
    sender: UserID
    content: dict[str, Any]
    state_key: str | None = ""
    redacts: EventID | None = None


def build_in(
    history: History,
    proposal: Proposal,
    heads: Sequence[EventID],
    auth_state: StateMap,
    *,
    depth: int,
    time_ms: int,
) -> Event:
    """The event that says it after `heads`, with the auth events that it would have in that state."""
    version = history.version
    keys = auth_types_for(proposal.type, proposal.sender, proposal.state_key, proposal.content, version)
    auth_ids = [auth_state[key] for key in keys if key in auth_state]
    server = server_name_of_user(proposal.sender)
    names_the_room = proposal.type == "m.room.create" and version.room_id_is_create_hash

    def references(event_ids: Sequence[EventID]) -> tuple[tuple[EventID, bytes], ...]:
        """With their hashes, which room versions 1 and 2 alone look at."""
        if version.event_ids_are_hashes:
            return tuple((event_id, b"") for event_id in event_ids)
        return tuple((event_id, reference_hash(history.events[event_id].pdu, version)) for event_id in event_ids)

    template = EventTemplate(
        room_id=None if names_the_room else history.room_id,
        type=proposal.type,
        sender=proposal.sender,
        content=proposal.content,
        state_key=proposal.state_key,
        redacts=proposal.redacts,
        prev_events=references(heads),
        auth_events=references(auth_ids),
        depth=min(depth, depth_limit(version)),
        origin_server_ts=time_ms,
    )
    assigned = None
    if not version.event_ids_are_hashes:
        name = history.room_id[1:].partition(":")[0]
        assigned = EventID(f"${len(history.events)}.{name}:{server}")
    event = build_event(template, version, server, KEYS[server], assigned).event
    for other in sorted(_other_signers(event, server)):
        pdu = sign_event(event.pdu, version, other, KEYS[other])
        event = view_event(pdu, version, event_id=event.event_id, room_id=event.room_id)
    return event


def _other_signers(event: Event, server: ServerName) -> set[ServerName]:
    """Those who have to sign an event beside its sender's server, if it is well formed."""
    try:
        return set(required_signers(event)) & KEYS.keys() - {server}
    except BadSignature:
        return set()


def is_allowed(history: History, proposal: Proposal, state: StateMap) -> bool:
    """Whether somebody may say it in that state."""
    event_id = EventID(f"$trial:{server_name_of_user(proposal.sender)}")
    pdu = {
        "type": proposal.type,
        "room_id": history.room_id,
        "sender": proposal.sender,
        "content": proposal.content,
        "prev_events": [],
        "auth_events": [],
        "depth": 0,
        "origin_server_ts": 0,
    }
    if proposal.state_key is not None:
        pdu["state_key"] = proposal.state_key
    if proposal.redacts is not None:
        pdu["redacts"] = proposal.redacts
    return history.allows(view_event(pdu, history.version, event_id=event_id), state)


class _Grower:
    def __init__(self, random: Random, version: RoomVersion, name: str) -> None:
        self.random = random
        self.version = version
        self.name = name
        self.history = History(version, RoomID(f"!{name}:{ONE}"))
        self.replicas = {server: Replica(self.history) for server in SERVERS}
        self.soft_failed: set[EventID] = set()
        # What this room quarrels about most.
        self.theme = random.choice(("power", "ban", "ban", "rules", "redactions", "any"))
        self.tokens = 0

    # --- The room begins, and grows ---

    def begin(self) -> None:
        """A room with its creator and most of the others, in one line."""
        create: dict[str, Any] = {"room_version": self.version.name, "org.example.name": self.name}
        if not self.version.implicit_creator:
            create["creator"] = ALICE
        if self.version.privileged_creators and self.random.random() < 0.3:
            create["additional_creators"] = [BOB]
        if self.random.random() < 0.05:
            create["m.federate"] = False
        create_event = self._build(Proposal("m.room.create", ALICE, create), (), {})
        if self.version.room_id_is_create_hash:
            self.history.room_id = room_id_of_create(create_event.pdu, self.version)
        self._share(create_event)
        self._say(Proposal("m.room.member", ALICE, {"membership": "join"}, ALICE))
        if self.random.random() < 0.9:
            users = {} if self.version.privileged_creators else {ALICE: 100}
            users |= {user: self.random.choice(_LEVELS) for user in (BOB, MALLORY) if self.random.random() < 0.8}
            for user in create.get("additional_creators", ()):
                users.pop(user, None)
            self._say(Proposal("m.room.power_levels", ALICE, {"users": users}))
        rule = self.random.choice(("public", "public", "public", *self._join_rules()))
        self._say(Proposal("m.room.join_rules", ALICE, _join_rule_content(rule)))
        for user in USERS[1:]:
            if self.random.random() < 0.85:
                if rule != "public":
                    self._say(Proposal("m.room.member", ALICE, {"membership": "invite"}, user))
                self._say(Proposal("m.room.member", user, {"membership": "join"}, user))

    def step(self) -> None:
        """One server hears of what another knows, or sends something."""
        server = self.random.choice(SERVERS)
        if self.random.random() < 0.25:
            self._deliver(self.random.choice([other for other in SERVERS if other != server]), server)
            return
        replica = self.replicas[server]
        if server == LIAR and self.random.random() < 0.6:
            self._lie(replica)
        else:
            state = replica.current_state()
            self._send(replica, self._acceptable(server, state), tuple(sorted(replica.heads)), state)

    def merge(self) -> None:
        """In the end, everybody hears everything, and somebody speaks on top of it all."""
        for giver in SERVERS:
            for taker in SERVERS:
                self._deliver(giver, taker)
        for server in SERVERS[:2]:
            replica = self.replicas[server]
            state = replica.current_state()
            self._send(replica, self._acceptable(server, state), tuple(sorted(replica.heads)), state)

    def _lie(self, replica: Replica) -> None:
        """An event after an old one, or with the auth events of another time, or without any excuse."""
        known = list(replica.received)
        heads = tuple(sorted(replica.heads))
        current = replica.current_state()
        kind = self.random.randrange(6)
        if kind == 0:
            self._send(replica, self._anything(LIAR, current), heads, current)
        elif kind == 1:  # merges whatever is there, rejected events too
            heads = tuple(sorted(self.random.sample(known, min(len(known), 1 + self.random.randrange(4)))))
            state = self.history.state_after(heads)
            self._send(replica, self._acceptable(LIAR, state), heads, state)
        else:
            old, proposal = self._outdated(known, current)
            if kind <= 3:  # on top of old events, as if it knew nothing of what came later
                self._send(replica, proposal, (old,), self.history.after[old])
            else:  # as authorised at another time
                self._send(replica, proposal, heads, self.history.after[old])

    def _deliver(self, giver: ServerName, taker: ServerName) -> None:
        known = list(self.replicas[giver].received)
        if self.random.random() < 0.2:  # only an early part came through
            known = known[: self.random.randrange(len(known)) + 1]
        for event_id in known:
            self._receive(self.replicas[taker], self.history.events[event_id])

    def _receive(self, replica: Replica, event: Event) -> None:
        if replica.receive(event) is Verdict.SOFT_FAILED:
            self.soft_failed.add(event.event_id)

    def _say(self, proposal: Proposal) -> None:
        """An event of the beginning, that everybody hears of at once."""
        replica = self.replicas[ONE]
        state = replica.current_state()
        self._share(self._build(proposal, tuple(sorted(replica.heads)), state))

    def _share(self, event: Event) -> None:
        for replica in self.replicas.values():
            self._receive(replica, event)

    def _send(self, replica: Replica, proposal: Proposal, heads: Sequence[EventID], auth_state: StateMap) -> None:
        self._receive(replica, self._build(proposal, heads, auth_state))

    # --- One event ---

    def _build(self, proposal: Proposal, heads: Sequence[EventID], auth_state: StateMap) -> Event:
        heads = heads[:20]
        depth = 1 + max((self.history.events[event_id].depth for event_id in heads), default=0)
        time_ms = START_MS + len(self.history.events) // 3 * 1000  # some at the same moment
        if server_name_of_user(proposal.sender) == LIAR and self.random.random() < 0.3:
            time_ms += self.random.choice((-3000, -2000, -1000, 3000, 100_000))
            depth = self.random.choice((0, 1, depth + 1, depth + 7, 10**6, depth_limit(self.version)))
        return build_in(self.history, proposal, heads, auth_state, depth=depth, time_ms=time_ms)

    def _acceptable(self, server: ServerName, state: StateMap) -> Proposal:
        """Something that the rules allow in this state, if it comes to mind soon."""
        for _ in range(6):
            proposal = self._anything(server, state)
            if self._allows(proposal, state):
                break
        return proposal

    def _outdated(self, known: Sequence[EventID], current: StateMap) -> tuple[EventID, Proposal]:
        """Something that the rules allowed after some event but do not allow now, if it comes to mind soon."""
        for _ in range(24):
            old = self.random.choice(known)
            state = self.history.after[old]
            proposal = self._anything(LIAR, state)
            if self._allows(proposal, state) and not self._allows(proposal, current):
                break
        return old, proposal

    def _allows(self, proposal: Proposal, state: StateMap) -> bool:
        return is_allowed(self.history, proposal, state)

    # --- What users think of ---

    def _anything(self, server: ServerName, state: StateMap) -> Proposal:
        users = [user for user in USERS if server_name_of_user(user) == server]
        sender = self.random.choice(users)
        return self.random.choice(_THOUGHTS[self.theme])(self, sender, state)

    def content(self, state: StateMap, key: StateKey) -> dict[str, Any]:
        event_id = state.get(key)
        return dict(self.history.events[event_id].content) if event_id is not None else {}

    def membership(self, state: StateMap, user: UserID) -> Any:
        return self.content(state, ("m.room.member", user)).get("membership")

    # Each gives a proposal of that sender's, who may have no right to it.

    def message(self, sender: UserID, state: StateMap) -> Proposal:
        return Proposal("m.room.message", sender, {"body": "hello"}, None)

    def redaction(self, sender: UserID, state: StateMap) -> Proposal:
        targets = list(self.history.events)
        if self.random.random() < 0.8:
            events = self.history.events
            targets = [event_id for event_id in targets if events[event_id].type in AUTHORISING_TYPES] or targets
            if self.random.random() < 0.7:
                targets = [event_id for event_id in targets if is_loss_to_rules(events[event_id])] or targets
        return Proposal("m.room.redaction", sender, {}, None, redacts=self.random.choice(targets))

    def setting(self, sender: UserID, state: StateMap) -> Proposal:
        number = len(self.history.events)
        kind = self.random.randrange(5)
        if kind == 0:
            return Proposal("org.example.thing", sender, {"number": number}, self.random.choice((sender, ALICE, "a")))
        if kind == 1:
            server = server_name_of_user(sender)
            return Proposal("m.room.aliases", sender, {"aliases": [f"#a{number}:{server}"]}, server)
        return Proposal(self.random.choice(("m.room.name", "m.room.topic")), sender, {"name": f"{number}"})

    def own_membership(self, sender: UserID, state: StateMap) -> Proposal:
        now = self.membership(state, sender)
        wishes = {"join": ("join", "leave"), "invite": ("join", "join", "leave")}.get(now, ("join", "join", "knock"))
        content: dict[str, Any] = {"membership": self.random.choice(wishes), "displayname": len(self.history.events)}
        rule = self.content(state, ("m.room.join_rules", "")).get("join_rule")
        if rule in ("restricted", "knock_restricted") and now not in ("join", "invite"):
            content["join_authorised_via_users_server"] = self.random.choice(USERS)
        return Proposal("m.room.member", sender, content, sender)

    def others_membership(self, sender: UserID, state: StateMap) -> Proposal:
        target = self.random.choice(USERS)
        now = self.membership(state, target)
        wishes = {"join": ("ban", "ban", "leave"), "ban": ("leave", "leave", "ban"), "invite": ("ban", "leave")}
        return Proposal(
            "m.room.member", sender, {"membership": self.random.choice(wishes.get(now, ("invite",)))}, target
        )

    def ban(self, sender: UserID, state: StateMap) -> Proposal:
        members = [user for user in USERS if user != sender and self.membership(state, user) == "join"]
        liars = [user for user in members if server_name_of_user(user) == LIAR]
        target = self.random.choice(liars if liars and self.random.random() < 0.7 else members or USERS)
        return Proposal("m.room.member", sender, {"membership": "ban"}, target)

    def join_rule(self, sender: UserID, state: StateMap) -> Proposal:
        return Proposal("m.room.join_rules", sender, _join_rule_content(self.random.choice(self._join_rules())))

    def power_levels(self, sender: UserID, state: StateMap) -> Proposal:
        content = self.content(state, POWER_LEVELS)
        users = dict(content.get("users", {}))
        if not users and not self.version.privileged_creators:
            users[ALICE] = 100
        content["users"] = users
        for _ in range(1 + self.random.randrange(2)):
            kind = self.random.randrange(7)
            level: Any = self.random.choice(_LEVELS)
            if not self.version.integer_power_levels and self.random.random() < 0.1:
                level = str(level)
            if kind == 0:
                event_type = self.random.choice(("m.room.name", "m.room.power_levels", "m.room.message"))
                content["events"] = {**content.get("events", {}), event_type: level}
            elif kind == 1:
                key = self.random.choice(("ban", "kick", "invite", "state_default", "users_default", "redact"))
                content[key] = level
            elif kind == 2:
                content["notifications"] = {"room": level}
            else:
                users[self.random.choice((*USERS, sender))] = level
        return Proposal("m.room.power_levels", sender, content)

    def third_party_invite(self, sender: UserID, state: StateMap) -> Proposal:
        tokens = [key for event_type, key in state if event_type == "m.room.third_party_invite"]
        if not tokens or self.random.random() < 0.4:
            self.tokens += 1
            issued = {"public_key": encode_base64(_IDENTITY_KEY.verify_key.public), "display_name": "?"}
            return Proposal("m.room.third_party_invite", sender, issued, f"token{self.tokens}")
        token = self.random.choice(tokens)
        target = self.random.choice(USERS)
        signed: dict[str, Any] = {"mxid": target, "token": token}
        signature = _IDENTITY_KEY.sign(encode_canonical(signed))
        signed["signatures"] = {"id.example": {_IDENTITY_KEY.key_id: signature}}
        issuer = self.history.events[state["m.room.third_party_invite", token]].sender
        invite = {"display_name": "?", "signed": signed}
        content: dict[str, Any] = {"membership": "invite", "third_party_invite": invite}
        return Proposal(
            "m.room.member", issuer if issuer.endswith(sender.partition(":")[2]) else sender, content, target
        )

    def _join_rules(self) -> tuple[str, ...]:
        rules: tuple[str, ...] = ("public", "invite")
        if self.version.knocking:
            rules += ("knock",)
        if self.version.restricted_joins:
            rules += ("restricted", "restricted")
        if self.version.knock_restricted_joins:
            rules += ("knock_restricted",)
        return rules


def _join_rule_content(rule: str) -> dict[str, Any]:
    return {"join_rule": rule, "allow": []} if "restricted" in rule else {"join_rule": rule}


_Thought = Callable[[_Grower, UserID, StateMap], Proposal]

_EVERYTHING: Final[tuple[_Thought, ...]] = (
    _Grower.message,
    _Grower.redaction,
    _Grower.setting,
    _Grower.setting,
    _Grower.own_membership,
    _Grower.own_membership,
    _Grower.others_membership,
    _Grower.ban,
    _Grower.join_rule,
    _Grower.power_levels,
    _Grower.third_party_invite,
)
_THOUGHTS: Final[Mapping[str, tuple[_Thought, ...]]] = {
    "any": _EVERYTHING,
    "power": (*_EVERYTHING, *(_Grower.power_levels,) * 8),
    "ban": (*_EVERYTHING, *(_Grower.ban,) * 8, *(_Grower.message,) * 6),
    "rules": (*_EVERYTHING, *(_Grower.join_rule,) * 4, *(_Grower.own_membership,) * 4),
    "redactions": (
        *_EVERYTHING,
        *(_Grower.redaction,) * 5,
        *(_Grower.third_party_invite,) * 3,
        *(_Grower.power_levels,) * 3,
        *(_Grower.own_membership,) * 2,
    ),
}
