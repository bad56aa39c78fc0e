"""Rooms for tests of the core: events put together by hand, unsigned, and the state that they make."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any

import pytest
from hypothesis import strategies as st

from homeserver.core.auth_rules import authorise
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, UserID, server_name_of_user
from homeserver.core.room_versions import ROOM_VERSIONS, V11, RoomVersion

ALICE = UserID("@alice:one.example")  # the creator
BOB = UserID("@bob:two.example")
CAROL = UserID("@carol:three.example")
DAVE = UserID("@dave:one.example")  # of the creator's server
VERSIONS = tuple(ROOM_VERSIONS.values())

# Any JSON, floats included, with strings that come near to user IDs and numbers.
_TEXTS = st.text(alphabet="@:a1-+ ", max_size=4) | st.sampled_from([ALICE, BOB, "join", "invite", "ban", "50", "@a:b"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
    max_leaves=4,
)

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"v{version.name}")


def versions_where(rule: str, *, holds: bool = True) -> pytest.MarkDecorator:
    """Parametrise `version` over those whose record says `holds` for this rule."""
    chosen = [version for version in VERSIONS if getattr(version, rule) is holds]
    return pytest.mark.parametrize("version", chosen, ids=lambda version: f"v{version.name}")


def in_every_version(test: Callable[..., None]) -> Callable[..., None]:
    """Run all of a test's `version`s as one test: for those that are quicker than what a test costs by itself."""
    return _in_each(VERSIONS, test)


def in_versions_where(rule: str, *, holds: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run those of a test's `version`s as one test whose record says `holds` for this rule."""
    return partial(_in_each, [version for version in VERSIONS if getattr(version, rule) is holds])


def _in_each(versions: Iterable[RoomVersion], test: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(test)
    others = [parameter for parameter in signature.parameters.values() if parameter.name != "version"]

    @wraps(test)
    def in_each(**arguments: Any) -> None:  # Any: what the test is parametrised with
        for version in versions:
            try:
                test(version=version, **arguments)
            except Exception as problem:
                problem.add_note(f"in room version {version.name}")
                raise

    in_each.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # what pytest goes by
    return in_each


def numbered_event_id(version: RoomVersion, number: int, server: str = "one.example") -> EventID:
    """An event ID of the version's format, the same for the same number."""
    return EventID(f"${number:043d}" if version.event_ids_are_hashes else f"${number}:{server}")


@dataclass
class Room:
    """A room that begins with its create event; `put` adds to its state without asking the rules."""

    version: RoomVersion = V11
    create_content: Mapping[str, Any] = field(default_factory=dict)
    state: dict[tuple[str, str], Event] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        content: dict[str, Any] = {"room_version": self.version.name}
        if not self.version.implicit_creator:
            content["creator"] = ALICE
        self.put("m.room.create", content | dict(self.create_content), prev=())

    @property
    def create(self) -> Event:
        return self.state["m.room.create", ""]

    @property
    def room_id(self) -> RoomID:
        if self.version.room_id_is_create_hash:
            return RoomID("!" + numbered_event_id(self.version, 1)[1:])
        return RoomID("!room:one.example")

    def event(
        self,
        event_type: str,
        content: Mapping[str, Any],
        *,
        sender: str = ALICE,
        state_key: str | None = None,
        prev: tuple[EventID, ...] | None = None,
        auth: tuple[EventID, ...] = (),
        redacts: EventID | None = None,
        event_id: EventID | None = None,
    ) -> Event:
        """An event that is not in the state; its previous event is one that nothing else knows of."""
        self.number += 1
        own_id = event_id or numbered_event_id(self.version, self.number, server_name_of_user(UserID(sender)))
        pdu: dict[str, Any] = {
            "type": event_type,
            "sender": sender,
            "content": content,
            "depth": self.number,
            "origin_server_ts": self.number,
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        if not (event_type == "m.room.create" and self.version.room_id_is_create_hash):
            pdu["room_id"] = self.room_id
        return Event(
            version=self.version,
            event_id=own_id,
            room_id=self.room_id,
            type=event_type,
            sender=UserID(sender),
            state_key=state_key,
            content=content,
            origin_server_ts=self.number,
            depth=self.number,
            prev_event_ids=(numbered_event_id(self.version, 999_999),) if prev is None else prev,
            auth_event_ids=auth,
            redacts=redacts,
            pdu=pdu,
        )

    def put(
        self,
        event_type: str,
        content: Mapping[str, Any],
        *,
        sender: str = ALICE,
        state_key: str = "",
        prev: tuple[EventID, ...] | None = None,
    ) -> Event:
        """A state event that is in the state from now on."""
        event = self.event(event_type, content, sender=sender, state_key=state_key, prev=prev)
        self.state[event_type, state_key] = event
        return event

    def member_event(self, user: str, membership: Any, *, sender: str | None = None, **content: Any) -> Event:
        """An m.room.member event that is not in the state; sent by the user unless said otherwise."""
        return self.event("m.room.member", {"membership": membership, **content}, sender=sender or user, state_key=user)

    def put_member(self, user: str, membership: Any) -> Event:
        """The user's membership, in the state from now on."""
        return self.put("m.room.member", {"membership": membership}, sender=user, state_key=user)

    def put_power_levels(self, content: Mapping[str, Any]) -> Event:
        """The power levels, in the state from now on."""
        return self.put("m.room.power_levels", content)

    def put_join_rule(self, join_rule: Any) -> Event:
        """The join rule, in the state from now on."""
        return self.put("m.room.join_rules", {"join_rule": join_rule})

    def allows(self, event: Event) -> bool:
        """What the authorisation rules say of an event in this state."""
        return self.refusal(event) is None

    def refusal(self, event: Event) -> str | None:
        """Why the authorisation rules refuse an event in this state; None if they don't."""
        try:
            authorise(event, self.state, self.create)
        except AuthRejected as rejected:
            return rejected.reason
        return None


def chat(version: RoomVersion = V11, *, levels: Mapping[str, Any] | None = None, join_rule: Any = "invite") -> Room:
    """A room where Alice, its creator, and Bob are joined. With `levels` Alice has 100, unless that is forbidden."""
    room = Room(version)
    room.put_member(ALICE, "join")
    if levels is not None:
        users = {} if version.privileged_creators else {ALICE: 100}
        room.put_power_levels({**levels, "users": {**users, **levels.get("users", {})}})
    room.put_join_rule(join_rule)
    room.put_member(BOB, "join")
    return room


def elsewhere(event: Event) -> Event:
    """The same event, said to be of another room."""
    room_id = "!" + "9" * 43 if event.version.room_id_is_create_hash else "!other:one.example"
    return replace(event, room_id=RoomID(room_id))
