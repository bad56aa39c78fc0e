"""Servers in memory, as naive as can be: whole states, whole histories, no storage. They say what an event amounts to.

`History` is what follows from the graph alone; a `Replica` is a server, on which the order of arrival leaves its mark.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from homeserver.core.auth_rules import authorise, check_auth_events, may_redact
from homeserver.core.auth_selection import CREATE
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import StateKey, StateMap
from homeserver.core.state_resolution import resolve_states


class Verdict(Enum):
    """What came of an event. Spec: server-server-api/#checks-performed-on-receipt-of-a-pdu"""

    ACCEPTED = "accepted"
    SOFT_FAILED = "accepted, but the current state would not have it"
    REJECTED = "rejected"


@dataclass(slots=True)
class Fork:
    """States that were resolved into one: what a second opinion is asked about."""

    states: tuple[StateMap, ...]
    resolved: StateMap


@dataclass(slots=True)
class History:
    """Events with the states around them, each event after all that it names.

    `random` shuffles whatever has no order of its own.
    """

    version: RoomVersion
    room_id: RoomID
    random: Random | None = None
    events: dict[EventID, Event] = field(default_factory=dict)
    before: dict[EventID, StateMap] = field(default_factory=dict)
    after: dict[EventID, StateMap] = field(default_factory=dict)
    rejected: set[EventID] = field(default_factory=set)
    by_state_alone: set[EventID] = field(default_factory=set)  # rejected, though their auth events allow them
    preceding: dict[EventID, frozenset[EventID]] = field(default_factory=dict)  # all of them, by previous events
    forks: dict[frozenset[EventID], Fork] = field(default_factory=dict)

    def add(self, event: Event) -> bool:
        """Take an event in; False if it was rejected."""
        event_id = event.event_id
        if event_id in self.events:
            return event_id not in self.rejected
        self.events[event_id] = event
        prev = event.prev_event_ids
        self.preceding[event_id] = frozenset(prev).union(*(self.preceding[each] for each in prev))
        state = self.state_after(prev)
        self.before[event_id] = state
        self.after[event_id] = state
        if not self._passes_by_auth_events(event):
            self.rejected.add(event_id)
        elif not self.allows(event, state):
            self.rejected.add(event_id)
            self.by_state_alone.add(event_id)
        elif event.state_key is not None:
            self.after[event_id] = {**state, (event.type, event.state_key): event_id}
        return event_id not in self.rejected

    def state_after(self, event_ids: Iterable[EventID]) -> StateMap:
        """The state that an event after these has before it."""
        ids = frozenset(event_ids)
        states: list[StateMap] = []
        for event_id in sorted(ids):
            if self.after[event_id] not in states:
                states.append(self.after[event_id])
        if len(states) < 2:
            return states[0] if states else {}
        if ids not in self.forks:
            if self.random is not None:
                self.random.shuffle(states)
                states = [self._shuffled(self.random, state) for state in states]
            resolved = resolve_states(
                states, self.events.get, room_id=self.room_id, version=self.version, rejected=self.rejected
            )
            self.forks[ids] = Fork(tuple(states), resolved)
        return self.forks[ids].resolved

    def allows(self, event: Event, state: StateMap) -> bool:
        """What the authorisation rules say in a state."""
        entries = {key: self.events[event_id] for key, event_id in state.items()}
        return _is_allowed(event, entries, entries.get(CREATE) or self.create)

    def is_to_redact(self, redaction: Event, target: Event) -> bool:
        """Whether an accepted redaction is to be applied to its target."""
        state = self.before[redaction.event_id]
        return may_redact(redaction, target, {key: self.events[event_id] for key, event_id in state.items()})

    @property
    def create(self) -> Event | None:
        """The create event that the room ID names, where it names one."""
        if not self.version.room_id_is_create_hash:
            return None
        return self.events.get(create_event_id_of(self.room_id))

    def _passes_by_auth_events(self, event: Event) -> bool:
        auth_events = [self.events[event_id] for event_id in event.auth_event_ids]
        try:
            check_auth_events(event, auth_events, create=self.create, rejected=self.rejected)
        except AuthRejected:
            return False
        entries = {(each.type, each.state_key): each for each in auth_events if each.state_key is not None}
        return _is_allowed(event, entries, self.create)

    @staticmethod
    def _shuffled(random: Random, state: StateMap) -> StateMap:
        items = list(state.items())
        random.shuffle(items)
        return dict(items)


def _is_allowed(event: Event, state: dict[StateKey, Event], create: Event | None) -> bool:
    try:
        authorise(event, state, create)
    except AuthRejected:
        return False
    return True


@dataclass(slots=True)
class Replica:
    """A server in the room: what it has received so far, in its own order, and its forward extremities."""

    history: History
    received: dict[EventID, Verdict] = field(default_factory=dict)
    heads: set[EventID] = field(default_factory=set)

    def receive(self, event: Event) -> Verdict:
        """Judge an event whose previous and auth events were received."""
        event_id = event.event_id
        if event_id in self.received:
            return self.received[event_id]
        verdict = Verdict.ACCEPTED
        if not self.history.add(event):
            verdict = Verdict.REJECTED
        elif self.heads and not self.history.allows(event, self.current_state()):
            verdict = Verdict.SOFT_FAILED
        else:
            self.heads = (self.heads - self.history.preceding[event_id]) | {event_id}
        self.received[event_id] = verdict
        return verdict

    def current_state(self) -> StateMap:
        """The resolved state of the forward extremities."""
        return self.history.state_after(self.heads)
