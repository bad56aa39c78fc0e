"""Walks over a graph, compared with what the words mean on small graphs, and tried on deep, wide and circular ones."""

from collections.abc import Mapping
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core.errors import MissingEvents
from homeserver.core.event_graph import (
    auth_chain,
    auth_difference,
    auth_edges,
    find_events,
    forward_extremities,
    is_reachable,
    paths_between,
    topological_order,
)
from homeserver.core.identifiers import EventID
from tests.conftest import examples
from tests.core.rooms import ALICE, Room
from tests.forked_rooms import ForkedRoom, forked_rooms

Graph = Mapping[EventID, tuple[EventID, ...]]


def node(number: int) -> EventID:
    return EventID(f"${number}")


NODES = st.integers(0, 6).map(node)
# Circles among them.
GRAPHS: st.SearchStrategy[Graph] = st.fixed_dictionaries(
    {node(number): st.lists(NODES, max_size=3).map(tuple) for number in range(7)}
)
ACYCLIC: st.SearchStrategy[Graph] = GRAPHS.map(
    lambda graph: {name: tuple(each for each in targets if each < name) for name, targets in graph.items()}
)


def reached_in_steps(graph: Graph, start: EventID) -> set[EventID]:
    """What can be reached in one step or more, found by as many rounds as there are nodes."""
    reached: set[EventID] = set()
    for _ in graph:
        reached = set(graph[start]).union(*(graph[each] for each in reached))
    for _ in graph:
        reached |= {target for each in reached for target in graph[each]}
    return reached


@given(GRAPHS, st.sets(NODES))
def test_an_auth_chain_is_everything_that_can_be_reached(graph: Graph, start: set[EventID]) -> None:
    chain = auth_chain(start, graph.get)

    assert chain == set().union(*(reached_in_steps(graph, each) for each in start))


@given(GRAPHS, NODES, NODES)
def test_an_event_is_reachable_when_it_is_in_the_chain(graph: Graph, start: EventID, target: EventID) -> None:
    assert is_reachable(target, [start], graph.get) == (target in reached_in_steps(graph, start))


@given(GRAPHS, st.lists(st.sets(NODES), max_size=3))
def test_the_auth_difference_is_the_union_of_the_chains_without_their_intersection(
    graph: Graph, sets: list[set[EventID]]
) -> None:
    difference = auth_difference(sets, graph.get)

    chains = [set().union(*(reached_in_steps(graph, each) for each in start)) for start in sets]
    assert difference == {each for each in graph if 0 < sum(each in chain for chain in chains) < len(chains)}


@given(GRAPHS, st.sets(NODES))
def test_paths_between_events_are_what_one_reaches_and_that_reaches_another(graph: Graph, ends: set[EventID]) -> None:
    found = paths_between(ends, graph.get)

    reached = {each: reached_in_steps(graph, each) for each in graph}
    assert found == ends | {
        each for each in graph if any(each in reached[end] for end in ends) and reached[each] & ends
    }


@given(ACYCLIC, st.permutations(range(7)))
def test_a_topological_order_is_the_smallest_that_respects_every_edge(graph: Graph, ranks: list[int]) -> None:
    rank = dict(zip(graph, ranks, strict=True))
    some = dict(list(graph.items())[:5])

    order = topological_order(some, rank.__getitem__)

    possible = (
        attempt
        for attempt in permutations(some)
        if all(attempt.index(target) < attempt.index(name) for name in some for target in some[name] if target in some)
    )
    assert [rank[name] for name in order] == min([rank[name] for name in attempt] for attempt in possible)


@given(GRAPHS)
def test_nodes_on_a_circle_and_those_that_lead_to_one_are_left_out_of_the_order(graph: Graph) -> None:
    order = topological_order(graph, lambda name: name)

    on_a_circle = {each for each in graph if each in reached_in_steps(graph, each)}
    assert set(order) == {
        each for each in graph if each not in on_a_circle and not reached_in_steps(graph, each) & on_a_circle
    }


def test_what_is_missing_is_asked_for_a_whole_round_at_a_time() -> None:
    known = {node(1): (node(2), node(3)), node(4): ()}

    with pytest.raises(MissingEvents) as missing:
        auth_chain([node(1), node(4)], known.get)

    assert missing.value.event_ids == {node(2), node(3)}


def test_events_that_are_not_found_are_named_all_at_once() -> None:
    room = Room()

    with pytest.raises(MissingEvents) as missing:
        find_events({room.create.event_id: room.create}.get, [room.create.event_id, node(2), node(3)])

    assert missing.value.event_ids == {node(2), node(3)}


def test_the_edges_of_auth_events_are_unknown_where_the_event_is() -> None:
    room = Room()
    joined = room.event("m.room.member", {"membership": "join"}, state_key=ALICE, auth=(room.create.event_id,))

    edges = auth_edges({joined.event_id: joined}.get)

    assert edges(joined.event_id) == (room.create.event_id,)
    assert edges(room.create.event_id) is None


def test_a_deep_chain_is_walked_without_recursion() -> None:
    depth = 50_000
    chain = {node(number): (node(number - 1),) if number else () for number in range(depth)}

    assert len(auth_chain([node(depth - 1)], chain.get)) == depth - 1
    assert len(paths_between([node(0), node(depth - 1)], chain.get)) == depth
    assert len(topological_order(chain, lambda name: name)) == depth


def test_a_ladder_with_exponentially_many_paths_is_walked_once() -> None:
    rungs = 5_000
    ladder: dict[EventID, tuple[EventID, ...]] = {node(0): (), node(1): ()}
    for number in range(2, 2 * rungs, 2):
        ladder[node(number)] = ladder[node(number + 1)] = (node(number - 2), node(number - 1))
    asked: list[EventID] = []

    def edges(event_id: EventID) -> tuple[EventID, ...] | None:
        asked.append(event_id)
        return ladder.get(event_id)

    auth_chain([node(2 * rungs - 1)], edges)

    assert len(asked) == len(set(asked))


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_forward_extremities_are_the_events_that_nothing_follows(room: ForkedRoom) -> None:
    heads = forward_extremities(room.events)

    assert heads == {
        event.event_id
        for event in room.events
        if not any(event.event_id in room.history.preceding[other.event_id] for other in room.events)
    }


def test_an_event_that_names_itself_is_a_forward_extremity_all_the_same() -> None:
    room = Room()
    circle = room.event("m.room.message", {}, event_id=node(9), prev=(node(9), room.create.event_id))

    assert forward_extremities([room.create, circle]) == {node(9)}
