"""State resolution of room version 1. Spec: rooms/v1/#state-resolution

What the specification leaves open is done as the servers that such rooms live on do it, for they have to agree: each
key is resolved for itself, members of whom others are in conflict too see none of these, and where no candidate
passes the last one stays.
"""

import hashlib
from collections import ChainMap
from collections.abc import Container, Iterable, Mapping, MutableMapping

from homeserver.core.auth_rules import authorise
from homeserver.core.auth_selection import JOIN_RULES, POWER_LEVELS, auth_types_for
from homeserver.core.errors import AuthRejected
from homeserver.core.event import Event
from homeserver.core.event_graph import FindEvent, find_events
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.state_conflicts import Conflict
from homeserver.core.state_map import StateKey


def resolve_v1(
    conflict: Conflict, find_event: FindEvent, *, room_id: RoomID, rejected: Container[EventID] = frozenset()
) -> dict[StateKey, EventID]:
    """What the resolved state has beside what the states agree on.

    A key is in conflict only where states have different events for it: not where some have none.
    Parameters and errors are those of state_resolution.resolve.
    """
    found = find_events(find_event, conflict.event_ids)
    usable = {
        event_id: event
        for event_id, event in found.items()
        if event.state_key is not None and event.room_id == room_id and event_id not in rejected
    }
    candidates: dict[StateKey, list[Event]] = {}
    for key, row in conflict.candidates.items():
        events = [usable[event_id] for event_id in dict.fromkeys(row) if event_id in usable]
        if events:
            candidates[key] = sorted(events, key=_first_to_last)

    resolved = {key: events[0] for key, events in candidates.items() if len(events) == 1}
    contested = {key: events for key, events in candidates.items() if len(events) > 1}
    agreed = _agreed_auth_events(conflict, contested.values(), find_event, room_id, rejected)
    for stage in (_is_power_levels, _is_join_rules, _is_member):
        # What a stage decides counts from the next one on.
        state = {**agreed, **resolved}
        now = {key: events for key, events in contested.items() if stage(key)}
        resolved |= {key: _last_that_follows(key, events, state) for key, events in now.items()}
        contested = {key: events for key, events in contested.items() if key not in now}
    state = {**agreed, **resolved}
    resolved |= {key: _highest_that_passes(events, state) for key, events in contested.items()}
    return {key: event.event_id for key, event in resolved.items()}


def _is_power_levels(key: StateKey) -> bool:
    return key == POWER_LEVELS


def _is_join_rules(key: StateKey) -> bool:
    return key[0] == JOIN_RULES[0]


def _is_member(key: StateKey) -> bool:
    return key[0] == "m.room.member"


def _first_to_last(event: Event) -> tuple[int, int]:
    """Ascending depth, then descending SHA-1 of the event ID."""
    digest = hashlib.sha1(event.event_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return event.depth, -int.from_bytes(digest, "big")


def _agreed_auth_events(
    conflict: Conflict,
    contested: Iterable[list[Event]],
    find_event: FindEvent,
    room_id: RoomID,
    rejected: Container[EventID],
) -> dict[StateKey, Event]:
    """What authorises any of these events in the state that is not in conflict."""
    keys = {
        key
        for events in contested
        for event in events
        for key in auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    }
    ids = {key: event_id for key in keys if (event_id := conflict.agreed(key)) is not None}
    events = find_events(find_event, ids.values())
    return {
        key: events[event_id]
        for key, event_id in ids.items()
        if event_id not in rejected and events[event_id].room_id == room_id
    }


def _last_that_follows(key: StateKey, events: list[Event], state: MutableMapping[StateKey, Event]) -> Event:
    """From the first on, the event that each allows next, up to the first one that is not allowed."""
    last = events[0]
    for event in events[1:]:
        if not _is_allowed(event, ChainMap({key: last}, state)):
            break
        last = event
    return last


def _highest_that_passes(events: list[Event], state: Mapping[StateKey, Event]) -> Event:
    return next((event for event in reversed(events) if _is_allowed(event, state)), events[0])


def _is_allowed(event: Event, state: Mapping[StateKey, Event]) -> bool:
    try:
        authorise(event, state)
    except AuthRejected:
        return False
    return True
