"""Walks over the graph of a room's events: chains, paths, extremities, and topological orders.

The two orders of state resolution that ask for power levels are in resolution_orders.py.

A graph is given as `edges`: the events that an event points to (its auth events, or its previous events), or None for
an event that is not known. Then MissingEvents is raised, with all that this round would have needed. Nothing here
recurses, each event is visited once, and circles end a walk as any event that was seen before does: where servers
choose the event IDs (room versions 1 and 2), circles can be made.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import count
from typing import Any, TypeAlias, TypeVar

from homeserver.core.errors import MissingEvents
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID

Edges: TypeAlias = Callable[[EventID], Iterable[EventID] | None]
FindEvent: TypeAlias = Callable[[EventID], Event | None]

Node = TypeVar("Node", bound=Hashable)


def find_events(find_event: FindEvent, event_ids: Iterable[EventID]) -> dict[EventID, Event]:
    """The events with these IDs. Raises MissingEvents with all of them that are not known."""
    found: dict[EventID, Event] = {}
    missing: list[EventID] = []
    for event_id in event_ids:
        event = find_event(event_id)
        if event is None:
            missing.append(event_id)
        else:
            found[event_id] = event
    if missing:
        raise MissingEvents(missing)
    return found


def auth_edges(find_event: FindEvent) -> Edges:
    """The graph in which events point to their auth events."""

    def auth_event_ids(event_id: EventID) -> tuple[EventID, ...] | None:
        event = find_event(event_id)
        return None if event is None else event.auth_event_ids

    return auth_event_ids


def targets_of(event_ids: AbstractSet[EventID], edges: Edges) -> dict[EventID, tuple[EventID, ...]]:
    """What each of these events points to. Raises MissingEvents with all of them that are not known."""
    found: dict[EventID, tuple[EventID, ...]] = {}
    missing: list[EventID] = []
    for event_id in event_ids:
        targets = edges(event_id)
        if targets is None:
            missing.append(event_id)
        else:
            found[event_id] = tuple(targets)
    if missing:
        raise MissingEvents(missing)
    return found


def forward_extremities(events: Iterable[Event]) -> set[EventID]:
    """The events that none of the others follows: the heads of the graph that they form."""
    everything = list(events)
    followed = {event_id for event in everything for event_id in event.prev_event_ids if event_id != event.event_id}
    return {event.event_id for event in everything} - followed


def auth_chain(event_ids: Iterable[EventID], edges: Edges) -> set[EventID]:
    """Everything that can be reached from these events; they themselves only where one reaches them.

    Raises MissingEvents.
    """
    reached: set[EventID] = set()
    walked: set[EventID] = set()
    level = set(event_ids)
    while level:
        walked |= level
        below = set().union(*targets_of(level, edges).values())
        reached |= below
        level = below - walked
    return reached


def is_reachable(target: EventID, event_ids: Iterable[EventID], edges: Edges) -> bool:
    """True when following edges from one of these events, for one step or more, leads to `target`.

    The walk ends when it finds it. Raises MissingEvents.
    """
    walked: set[EventID] = set()
    level = set(event_ids)
    while level:
        walked |= level
        below = set().union(*targets_of(level, edges).values())
        if target in below:
            return True
        level = below - walked
    return False


def auth_difference(sets: Sequence[Iterable[EventID]], edges: Edges) -> set[EventID]:
    """What is in the auth chain of some of these sets of events but not of all. Spec: rooms/v2/#definitions

    Raises MissingEvents.
    """
    if not sets:
        return set()
    chains = [auth_chain(event_ids, edges) for event_ids in sets]
    return chains[0].union(*chains[1:]) - chains[0].intersection(*chains[1:])


def paths_between(event_ids: Iterable[EventID], edges: Edges) -> set[EventID]:
    """The events on all paths that lead from one of these events to another, and these events themselves.

    The conflicted state subgraph, of auth edges and the conflicted state set. Raises MissingEvents.
    Spec: rooms/v12/#definitions
    """
    ends = set(event_ids)
    pointing: defaultdict[EventID, list[EventID]] = defaultdict(list)
    walked: set[EventID] = set()
    level = ends
    while level:
        walked |= level
        below: set[EventID] = set()
        for source, targets in targets_of(level, edges).items():
            below.update(targets)
            for target in targets:
                pointing[target].append(source)
        level = below - walked
    # All that was walked is reached from the ends; those that reach one are found by walking back from them.
    found = set(ends)
    to_visit = list(ends)
    while to_visit:
        for source in pointing[to_visit.pop()]:
            if source not in found:
                found.add(source)
                to_visit.append(source)
    return found


def topological_order(
    graph: Mapping[Node, Iterable[Node]],
    # `Any`: whatever can be compared with its like; the standard library has no name for that.
    key: Callable[[Node], Any],
) -> list[Node]:
    """The nodes in an order in which each comes after those that it points to; of several the smallest key first.

    Edges to what is not in the graph are not looked at. Nodes on a circle, and those that lead to one, have no place
    in such an order and are left out.
    """
    waiting_for: dict[Node, int] = {}
    pointing: defaultdict[Node, list[Node]] = defaultdict(list)
    for node, targets in graph.items():
        inside = {target for target in targets if target in graph}
        waiting_for[node] = len(inside)
        for target in inside:
            pointing[target].append(node)
    numbers = count()  # among equal keys the first: nodes themselves are never compared
    ready = [(key(node), next(numbers), node) for node, left in waiting_for.items() if left == 0]
    heapq.heapify(ready)
    order: list[Node] = []
    while ready:
        node = heapq.heappop(ready)[2]
        order.append(node)
        for follower in pointing[node]:
            waiting_for[follower] -= 1
            if waiting_for[follower] == 0:
                heapq.heappush(ready, (key(follower), next(numbers), follower))
    return order
