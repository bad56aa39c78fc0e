"""Rooms played by hand: who says what after which events, with the auth events that they would have there.

What it amounts to is in `history`: tests/replicas.py. Rooms that grow by chance are in forked_rooms.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from homeserver.core.event import Event
from homeserver.core.hashing import room_id_of_create
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.core.state_map import StateKey, StateMap
from homeserver.core.state_resolution import resolve_states
from tests.forked_rooms import ALICE, START_MS, Proposal, build_in
from tests.replicas import History


class Scene:
    """A room with its creator, its power levels and a join rule. Contents are JSON: `Any`."""

    def __init__(
        self, version: RoomVersion = V11, *, users: Mapping[UserID, int] | None = None, join_rule: str = "public"
    ) -> None:
        self.version = version
        self.history = History(version, RoomID("!room:one.example"))
        content: dict[str, Any] = {"room_version": version.name}
        if not version.implicit_creator:
            content["creator"] = ALICE
        self.create = self.send(ALICE, "m.room.create", content)
        self.joined = self.member(ALICE, "join", after=[self.create])
        self.levels = self.power_levels(users or {}, after=[self.joined])
        self.last = self.join_rules = self.send(
            ALICE, "m.room.join_rules", {"join_rule": join_rule}, after=[self.levels]
        )

    def send(
        self,
        sender: UserID,
        event_type: str,
        content: Mapping[str, Any],
        state_key: str | None = "",
        *,
        after: Sequence[Event] = (),
        auth_state: StateMap | None = None,
        redacts: EventID | None = None,
        time: int | None = None,
        depth: int | None = None,
    ) -> Event:
        """An event after those; `time` in seconds since the beginning, of which each event takes one."""
        history = self.history
        heads = [event.event_id for event in after]
        event = build_in(
            history,
            Proposal(event_type, sender, dict(content), state_key, redacts),
            heads,
            history.state_after(heads) if auth_state is None else auth_state,
            depth=1 + max((event.depth for event in after), default=0) if depth is None else depth,
            time_ms=START_MS + 1000 * (len(history.events) if time is None else time),
        )
        if event_type == "m.room.create" and self.version.room_id_is_create_hash and not history.events:
            history.room_id = room_id_of_create(event.pdu, self.version)
        history.add(event)
        return event

    def say(self, sender: UserID, body: str = "hello", *, after: Sequence[Event]) -> Event:
        """A message."""
        return self.send(sender, "m.room.message", {"body": body}, None, after=after)

    def redact(self, sender: UserID, target: Event, *, after: Sequence[Event]) -> Event:
        """A redaction."""
        return self.send(sender, "m.room.redaction", {}, None, after=after, redacts=target.event_id)

    def member(
        self, user: UserID, membership: str, *, sender: UserID | None = None, after: Sequence[Event], **how: Any
    ) -> Event:
        """A membership, set by the user unless said otherwise."""
        return self.send(sender or user, "m.room.member", {"membership": membership}, user, after=after, **how)

    def join_in_turn(self, *users: UserID) -> Event:
        """All of them join, one after the other, on top of the last event."""
        for user in users:
            self.last = self.member(user, "join", after=[self.last])
        return self.last

    def power_levels(
        self, users: Mapping[UserID, int], *, sender: UserID = ALICE, after: Sequence[Event], **how: Any
    ) -> Event:
        """Power levels of these users; the creator has 100, where that may be said."""
        whole = dict(users) if self.version.privileged_creators else {ALICE: 100, **users}
        return self.send(sender, "m.room.power_levels", {"users": whole}, after=after, **how)

    def after(self, *events: Event) -> StateMap:
        """The state that an event after these would have before it."""
        return self.history.state_after(event.event_id for event in events)

    def resolve(self, *states: StateMap) -> dict[StateKey, EventID]:
        """These states resolved, whether or not any event has them."""
        history = self.history
        return resolve_states(
            states, history.events.get, room_id=history.room_id, version=self.version, rejected=history.rejected
        )

    def is_rejected(self, event: Event) -> bool:
        """True for an event that the rules refused."""
        return event.event_id in self.history.rejected


def with_entry(state: StateMap, event: Event) -> dict[StateKey, EventID]:
    """A state in which that event stands, rightly or not."""
    assert event.state_key is not None
    return {**state, (event.type, event.state_key): event.event_id}


def without_entry(state: StateMap, event_type: str, state_key: str = "") -> dict[StateKey, EventID]:
    """A state that lacks an entry."""
    return {key: event_id for key, event_id in state.items() if key != (event_type, state_key)}
