"""The two orders in which state resolution v2 considers events. Spec: rooms/v2/#definitions

What is done in these orders is in state_resolution_v2.py.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.event import Event
from homeserver.core.event_graph import FindEvent, find_events, topological_order
from homeserver.core.identifiers import EventID
from homeserver.core.power_levels import Level, read_power_levels

# Before every event: it is passed through as soon as it can be, so that it only says which events precede which.
_PASSED_THROUGH: Final = (0,)


def reverse_topological_power_order(
    event_ids: Iterable[EventID],
    find_event: FindEvent,
    *,
    between: AbstractSet[EventID] = frozenset(),
    create: Event | None = None,
) -> list[EventID]:
    """Events in the lexicographically smallest topological order of the graph of auth events, earliest first.

    Of events that do not precede each other, the one whose sender had the greater power comes first, then the
    earlier one, then the one of the smaller ID. `between` are events that are not ordered but lie on paths between
    those that are. `create` is the room's m.room.create event, which no event lists from version 12 on.

    Events on a circle of auth events are left out: none of them can have been authorised first.
    Raises MissingEvents. Spec: rooms/v2/#definitions, reverse topological power ordering
    """
    ordered = set(event_ids)
    events = find_events(find_event, [*ordered, *between])
    authorising = find_events(
        find_event, {auth_id for event_id in ordered for auth_id in events[event_id].auth_event_ids}
    )
    keys: dict[EventID, tuple[object, ...]] = dict.fromkeys(between, _PASSED_THROUGH)
    for event_id in ordered:
        event = events[event_id]
        level = sender_level(event, [authorising[auth_id] for auth_id in event.auth_event_ids], create)
        keys[event_id] = (1, -level, event.origin_server_ts, event_id)
    graph = {event_id: event.auth_event_ids for event_id, event in events.items()}
    return [event_id for event_id in topological_order(graph, keys.__getitem__) if event_id in ordered]


def sender_level(event: Event, auth_events: Iterable[Event], create: Event | None = None) -> Level:
    """The power level of an event's sender by its auth events; 0 where these name no m.room.create event."""
    power_levels: Event | None = None
    for auth_event in auth_events:
        entry = (auth_event.type, auth_event.state_key)
        if entry == POWER_LEVELS:
            power_levels = power_levels or auth_event
        elif entry == CREATE:
            create = create or auth_event
    if create is None:
        return 0
    return read_power_levels(create, power_levels, event.version).user_level(event.sender)


def mainline(power_levels_id: EventID | None, find_event: FindEvent) -> list[EventID]:
    """An m.room.power_levels event, the one among its auth events, and so on. Empty for None. Raises MissingEvents."""
    line: list[EventID] = []
    seen: set[EventID] = set()
    while power_levels_id is not None and power_levels_id not in seen:
        line.append(power_levels_id)
        seen.add(power_levels_id)
        power_levels_id = _power_levels_of(find_events(find_event, [power_levels_id]), find_event)[power_levels_id]
    return line


def mainline_order(event_ids: Iterable[EventID], line: Collection[EventID], find_event: FindEvent) -> list[EventID]:
    """Events in mainline ordering: those that build on the earliest part of the line first, then by time, then by ID.

    `line` is a `mainline`. Raises MissingEvents. Spec: rooms/v2/#definitions, mainline ordering
    """
    positions: dict[EventID, float] = {event_id: index for index, event_id in enumerate(line)}
    events = find_events(find_event, event_ids)
    above = _power_levels_of(events, find_event)
    # All walks go on at once, so that a round asks for everything that it needs.
    parents = dict(above)
    to_visit = {power_levels_id for power_levels_id in above.values() if power_levels_id is not None}
    while unknown := to_visit - positions.keys() - parents.keys():
        found = _power_levels_of(find_events(find_event, unknown), find_event)
        parents.update(found)
        to_visit = {power_levels_id for power_levels_id in found.values() if power_levels_id is not None}

    def key(event_id: EventID) -> tuple[float, int, EventID]:
        # Of an event on the line, only what comes after it counts.
        return -_position(above[event_id], parents, positions), events[event_id].origin_server_ts, event_id

    return sorted(events, key=key)


def _position(
    event_id: EventID | None, parents: Mapping[EventID, EventID | None], positions: dict[EventID, float]
) -> float:
    """The mainline position of an m.room.power_levels event or of the first above it that has one, infinity for none.

    What is found is noted for all events on the way, so that none is walked twice.
    """
    walked: list[EventID] = []
    position = math.inf
    while event_id is not None:
        if event_id in positions:
            position = positions[event_id]
            break
        positions[event_id] = math.inf  # until it is known; and where a circle ends
        walked.append(event_id)
        event_id = parents.get(event_id)
    positions.update(dict.fromkeys(walked, position))
    return position


def _power_levels_of(events: Mapping[EventID, Event], find_event: FindEvent) -> dict[EventID, EventID | None]:
    """The m.room.power_levels event among the auth events of each of these."""
    authorising = find_events(
        find_event, dict.fromkeys(auth_id for event in events.values() for auth_id in event.auth_event_ids)
    )
    return {
        event_id: next(
            (
                auth_id
                for auth_id in event.auth_event_ids
                if (authorising[auth_id].type, authorising[auth_id].state_key) == POWER_LEVELS
            ),
            None,
        )
        for event_id, event in events.items()
    }
