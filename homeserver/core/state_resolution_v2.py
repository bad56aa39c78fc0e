"""State resolution v2 (room versions 2 to 11) and v2.1 (room version 12). Spec: rooms/v2, rooms/v12 #state-resolution

The orders in which events are considered are in resolution_orders.py, the walks over the graph in event_graph.py.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from homeserver.core.auth_chains import AuthChains
from homeserver.core.auth_rules import authorise
from homeserver.core.auth_selection import POWER_LEVELS, auth_types_for
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.event_graph import FindEvent, find_events
from homeserver.core.hashing import create_event_id_of
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.resolution_orders import mainline, mainline_order, reverse_topological_power_order
from homeserver.core.room_versions import RoomVersion, StateResolution
from homeserver.core.state_conflicts import Conflict
from homeserver.core.state_map import StateKey


def resolve_v2(
    conflict: Conflict,
    find_event: FindEvent,
    auth_chains: AuthChains,
    *,
    room_id: RoomID,
    version: RoomVersion,
    rejected: Container[EventID] = frozenset(),
) -> dict[StateKey, EventID]:
    """What the resolved state has beside what the states agree on. A conflicted key that is not there has no event.

    Parameters and errors are those of state_resolution.resolve.
    """
    if not conflict.candidates:
        return {}
    from_nothing = version.state_resolution is StateResolution.V2_1
    conflicted = conflict.event_ids
    subgraph = auth_chains.paths_between(conflicted)
    full = conflicted | auth_chains.difference(conflict.sets)
    if from_nothing:
        full |= subgraph
    events = find_events(find_event, full | subgraph)
    create = None
    if version.room_id_is_create_hash:
        create_id = create_event_id_of(room_id)
        create = find_events(find_event, [create_id])[create_id]
    checks = _AuthChecks(find_event, (lambda _: None) if from_nothing else conflict.agreed, room_id, rejected, create)

    first = _power_events_and_their_chains(full, events)
    checks.apply(reverse_topological_power_order(first, find_event, between=subgraph - full, create=create))
    line = mainline(checks.current(POWER_LEVELS), find_event)
    checks.apply(mainline_order(full - first, line, find_event))
    return {key: event_id for key, event_id in checks.resolved.items() if conflict.agreed(key) is None}


def is_power_event(event: Event) -> bool:
    """True for an event that may take away somebody's ability to do something. Spec: rooms/v2/#definitions"""
    if event.state_key is None:
        return False
    if event.type == "m.room.member":
        return event.content.get("membership") in ("leave", "ban") and event.sender != event.state_key
    return event.type in ("m.room.power_levels", "m.room.join_rules")


def _power_events_and_their_chains(full: AbstractSet[EventID], events: Mapping[EventID, Event]) -> set[EventID]:
    """The power events of the full conflicted set, and what of their auth chains is in that set too.

    `events` are those of the set and of all paths that lead from one event of it to another.
    """
    walked = {event_id for event_id in full if is_power_event(events[event_id])}
    to_visit = list(walked)
    while to_visit:
        for auth_id in events[to_visit.pop()].auth_event_ids:
            if auth_id in events and auth_id not in walked:
                walked.add(auth_id)
                to_visit.append(auth_id)
    return walked & full


@dataclass(slots=True)
class _AuthChecks:
    """The iterative auth checks: a state that is built up of the events that it allows, one after the other."""

    find_event: FindEvent
    find_base: Callable[[StateKey], EventID | None]  # the state to begin with
    room_id: RoomID
    rejected: Container[EventID]
    create: Event | None  # where no event names it
    resolved: dict[StateKey, EventID] = field(default_factory=dict)

    def current(self, key: StateKey) -> EventID | None:
        """The event of a key in the state as it is so far."""
        return self.resolved.get(key) or self.find_base(key)

    def apply(self, event_ids: Iterable[EventID]) -> None:
        """Consider these events in this order. Raises MissingEvents, before any is considered."""
        events = find_events(self.find_event, event_ids)
        wanted = {
            event_id: auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
            for event_id, event in events.items()
        }
        base = {key: self.current(key) for key in {key for keys in wanted.values() for key in keys}}
        at_hand = find_events(
            self.find_event,
            {auth_id for event in events.values() for auth_id in event.auth_event_ids}
            | {event_id for event_id in base.values() if event_id is not None},
        )
        at_hand.update(events)
        for event_id, event in events.items():
            if event.state_key is None or not self._counts(event):
                continue
            state = {
                (auth_event.type, auth_event.state_key): auth_event
                for auth_event in (at_hand[auth_id] for auth_id in event.auth_event_ids)
                if auth_event.state_key is not None and self._counts(auth_event)
            }
            for key in wanted[event_id]:
                current = self.resolved.get(key) or base[key]
                if current is not None and self._counts(at_hand[current]):
                    state[key] = at_hand[current]
            if _is_allowed(event, state, self.create):
                self.resolved[event.type, event.state_key] = event_id

    def _counts(self, event: Event) -> bool:
        """False for events that nothing may build on: those that were rejected, and those of another room."""
        return event.event_id not in self.rejected and event.room_id == self.room_id


def _is_allowed(event: Event, state: Mapping[StateKey, Event], create: Event | None) -> bool:
    try:
        authorise(event, state, create)
    except AuthRejected:
        return False
    return True
