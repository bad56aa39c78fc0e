"""State resolution as the specification words it, sentence by sentence, and as slowly: an opinion to compare with.

It shares the authorisation rules with the code under test, and nothing else of the algorithm.
Spec: rooms/v1, rooms/v2, rooms/v12 #state-resolution
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from homeserver.core.auth_rules import authorise
from homeserver.core.auth_selection import auth_types_for
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID
from homeserver.core.power_levels import read_power_levels
from homeserver.core.room_versions import StateResolution
from homeserver.core.state_map import StateKey, StateMap

Events = Mapping[EventID, Event]


def resolution(
    states: Sequence[StateMap],
    events: Events,
    create_id: EventID,
    rejected: Collection[EventID] = (),
    *,
    within_the_set: bool = False,
) -> dict[StateKey, EventID]:
    """The resolution of a set of states of the room with this m.room.create event.

    `within_the_set` departs from the text, as some servers do: the chains of power events are followed only as long
    as they stay in the full conflicted set.
    """
    if events[create_id].version.state_resolution is StateResolution.V1:
        return _resolution_v1(states, events, rejected)
    return _Resolution(states, events, create_id, rejected, within_the_set).result()


def chain_of(event_id: EventID, events: Events) -> set[EventID]:
    """The auth chain of an event."""
    chain: set[EventID] = set()
    grown = set(events[event_id].auth_event_ids)
    while grown - chain:
        chain |= grown
        grown = {auth_id for each in chain for auth_id in events[each].auth_event_ids}
    return chain


def is_allowed(event: Event, state: Mapping[StateKey, Event], create: Event | None = None) -> bool:
    """What the authorisation rules say."""
    try:
        authorise(event, state, create)
    except AuthRejected:
        return False
    return True


class _Resolution:
    """Version 2 and 2.1."""

    def __init__(
        self,
        states: Sequence[StateMap],
        events: Events,
        create_id: EventID,
        rejected: Collection[EventID],
        within_the_set: bool,
    ) -> None:
        self.states = states
        self.events = events
        self.ordered_by = events  # what the chains of power events are followed in
        self.within_the_set = within_the_set
        self.rejected = rejected
        self.create = events[create_id]
        self.is_v2_1 = self.create.version.state_resolution is StateResolution.V2_1
        keys = {key for state in states for key in state}
        self.unconflicted = {
            key: states[0][key]
            for key in keys
            if all(key in state for state in states) and len({state[key] for state in states}) == 1
        }
        self.conflicted = {state[key] for state in states for key in state if key not in self.unconflicted}

    def result(self) -> dict[StateKey, EventID]:
        full = self.conflicted | self.auth_difference()
        if self.is_v2_1:
            full |= self.conflicted_state_subgraph()
        if self.within_the_set:
            self.ordered_by = {
                event_id: replace(
                    self.events[event_id],
                    auth_event_ids=tuple(each for each in self.events[event_id].auth_event_ids if each in full),
                )
                for event_id in full
            }
        power_events = {event_id for event_id in full if self.is_power_event(self.events[event_id])}
        selected = power_events.union(*(chain_of(event_id, self.ordered_by) & full for event_id in power_events))
        state = {} if self.is_v2_1 else dict(self.unconflicted)
        self.iterative_auth_checks(state, self.reverse_topological_power_ordering(selected))
        remaining = full - selected
        self.iterative_auth_checks(state, self.mainline_ordering(state.get(("m.room.power_levels", "")), remaining))
        return state | self.unconflicted

    def auth_difference(self) -> set[EventID]:
        chains = [set().union(*(chain_of(each, self.events) for each in state.values())) for state in self.states]
        return set().union(*chains) - chains[0].intersection(*chains)

    def conflicted_state_subgraph(self) -> set[EventID]:
        chains = {event_id: chain_of(event_id, self.events) for event_id in self.events}
        return {
            event_id
            for event_id in self.events
            if (event_id in self.conflicted or any(event_id in chains[end] for end in self.conflicted))
            and (event_id in self.conflicted or chains[event_id] & self.conflicted)
        }

    @staticmethod
    def is_power_event(event: Event) -> bool:
        if event.state_key is None:
            return False
        if event.type in ("m.room.power_levels", "m.room.join_rules"):
            return True
        takes_away = event.type == "m.room.member" and event.content.get("membership") in ("leave", "ban")
        return takes_away and event.sender != event.state_key

    def reverse_topological_power_ordering(self, event_ids: Iterable[EventID]) -> list[EventID]:
        waiting = set(event_ids)
        ordering: list[EventID] = []
        while waiting:
            candidates = [each for each in waiting if not chain_of(each, self.ordered_by) & waiting]
            ordering.append(min(candidates, key=self.comparison))
            waiting.remove(ordering[-1])
        return ordering

    def comparison(self, event_id: EventID) -> tuple[float, int, EventID]:
        event = self.events[event_id]
        auth_events = {(each.type, each.state_key): each for each in self.auth_events_of(event)}
        create = self.create if event.version.room_id_is_create_hash else auth_events.get(("m.room.create", ""))
        if create is None:
            return 0, event.origin_server_ts, event_id
        levels = read_power_levels(create, auth_events.get(("m.room.power_levels", "")), event.version)
        return -levels.user_level(event.sender), event.origin_server_ts, event_id

    def mainline(self, event_id: EventID | None) -> list[EventID]:
        line: list[EventID] = []
        while event_id is not None:
            line.append(event_id)
            event_id = self.power_levels_of(event_id)
        return line

    def mainline_ordering(self, power_levels: EventID | None, event_ids: Iterable[EventID]) -> list[EventID]:
        line = self.mainline(power_levels)

        def comparison(event_id: EventID) -> tuple[float, int, EventID]:
            above = self.mainline(event_id)[1:]
            position = next((line.index(each) for each in above if each in line), math.inf)
            return -position, self.events[event_id].origin_server_ts, event_id

        return sorted(event_ids, key=comparison)

    def iterative_auth_checks(self, state: dict[StateKey, EventID], event_ids: Iterable[EventID]) -> None:
        for event_id in event_ids:
            event = self.events[event_id]
            if event_id in self.rejected or event.state_key is None:
                continue
            entries = {
                (each.type, each.state_key): each
                for each in self.auth_events_of(event)
                if each.event_id not in self.rejected and each.state_key is not None
            }
            for key in auth_types_for(event.type, event.sender, event.state_key, event.content, event.version):
                if key in state and state[key] not in self.rejected:
                    entries[key] = self.events[state[key]]
            create = self.create if event.version.room_id_is_create_hash else None
            if is_allowed(event, entries, create):
                state[event.type, event.state_key] = event_id

    def auth_events_of(self, event: Event) -> list[Event]:
        return [self.events[auth_id] for auth_id in event.auth_event_ids]

    def power_levels_of(self, event_id: EventID) -> EventID | None:
        for auth_event in self.auth_events_of(self.events[event_id]):
            if (auth_event.type, auth_event.state_key) == ("m.room.power_levels", ""):
                return auth_event.event_id
        return None


def _resolution_v1(
    states: Sequence[StateMap], events: Events, rejected: Collection[EventID]
) -> dict[StateKey, EventID]:
    keys = {key for state in states for key in state}
    lists = {key: {state[key] for state in states if key in state} - set(rejected) for key in keys}
    current = {key: events[min(ids)] for key, ids in lists.items() if len(ids) == 1}
    conflicts = {key: _sorted_v1(ids, events) for key, ids in lists.items() if len(ids) > 1}

    def follow(key: StateKey, line: list[Event]) -> Event:
        state = {**current, key: line[0]}
        for event in line[1:]:
            if not is_allowed(event, state):
                break
            state[key] = event
        return state[key]

    for event_type in ("m.room.power_levels", "m.room.join_rules", "m.room.member"):
        found = {
            key: follow(key, line)
            for key, line in conflicts.items()
            if key[0] == event_type and (event_type != "m.room.power_levels" or key[1] == "")
        }
        current |= found
        conflicts = {key: line for key, line in conflicts.items() if key not in found}
    passing = {key: [each for each in line if is_allowed(each, current)] for key, line in conflicts.items()}
    current |= {key: passing[key][-1] if passing[key] else line[0] for key, line in conflicts.items()}
    return {key: event.event_id for key, event in current.items()}


def _sorted_v1(event_ids: Iterable[EventID], events: Events) -> list[Event]:
    by_hash = sorted(event_ids, key=lambda each: hashlib.sha1(each.encode()).hexdigest(), reverse=True)
    return sorted((events[event_id] for event_id in by_hash), key=lambda event: event.depth)
