"""Auth differences and paths, walked whole and searched: they are the same, and the search looks at little."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core.auth_chains import SearchedAuthChains, WalkedAuthChains
from homeserver.core.errors import MissingEvents
from homeserver.core.event_graph import auth_difference, auth_edges
from homeserver.core.identifiers import EventID
from homeserver.core.state_conflicts import conflict_of_states
from tests.conftest import examples
from tests.forked_rooms import ForkedRoom, forked_rooms

Graph = Mapping[EventID, Sequence[EventID]]


def node(number: int) -> EventID:
    return EventID(f"${number}")


NODES = st.integers(0, 7).map(node)
# Circles among them.
GRAPHS: st.SearchStrategy[Graph] = st.fixed_dictionaries(
    {node(number): st.lists(NODES, max_size=3) for number in range(8)}
)


class Searched:
    """A searching one over a whole graph, that counts what it reads."""

    def __init__(self, graph: Graph, agreed: set[EventID]) -> None:
        self.read = 0
        self._followers: defaultdict[EventID, list[EventID]] = defaultdict(list)
        for event_id, targets in graph.items():
            for target in targets:
                self._followers[target].append(event_id)
        self.chains = SearchedAuthChains(graph.get, self._read_followers, agreed.__contains__)

    def _read_followers(self, event_id: EventID) -> Iterator[EventID]:
        for follower in self._followers[event_id]:
            self.read += 1
            yield follower


@settings(max_examples=examples(300))
@given(GRAPHS, st.sets(NODES), st.lists(st.sets(NODES), min_size=1, max_size=3))
def test_what_is_searched_is_what_is_walked(graph: Graph, agreed: set[EventID], sets: list[set[EventID]]) -> None:
    searched = Searched(graph, agreed).chains

    walked = WalkedAuthChains(graph.get, agreed)
    assert searched.difference(sets) == walked.difference(sets)
    assert searched.paths_between(sets[0]) == walked.paths_between(sets[0])


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_the_difference_of_conflicted_events_is_that_of_the_whole_states(room: ForkedRoom) -> None:
    edges = auth_edges(room.history.events.get)
    graph = {event.event_id: event.auth_event_ids for event in room.events}

    for fork in room.forks:
        conflict = conflict_of_states(fork.states)
        agreed = set(fork.states[0].values()) - conflict.event_ids
        whole = auth_difference([state.values() for state in fork.states], edges)

        assert WalkedAuthChains(edges, agreed).difference(conflict.sets) == whole
        assert Searched(graph, agreed).chains.difference(conflict.sets) == whole


def test_no_sets_differ_in_nothing() -> None:
    graph: Graph = {}

    assert WalkedAuthChains(graph.get, frozenset()).difference([]) == set()
    assert Searched(graph, set()).chains.difference([]) == set()


def test_what_is_missing_is_asked_for() -> None:
    graph: Graph = {node(1): [node(2)]}

    with pytest.raises(MissingEvents) as missing:
        Searched(graph, set()).chains.difference([{node(1)}, set()])

    assert missing.value.event_ids == {node(2)}


def test_what_a_search_gave_up_on_a_circle_is_not_held_for_beside() -> None:
    graph = {
        node(0): [],
        node(1): [node(0), node(2)],
        node(2): [node(1)],
        node(3): [node(1)],
        node(4): [node(0), node(2)],
    }

    difference = Searched(graph, {node(3)}).chains.difference([{node(4)}, set()])

    assert difference == set()


def test_a_search_in_a_room_of_many_members_ends_at_the_first_that_builds_on_it() -> None:
    graph: dict[EventID, list[EventID]] = {node(0): [], node(1): [node(0)]}
    members = {node(number) for number in range(10, 20_010)}
    graph |= {member: [node(0), node(1)] for member in members}
    graph |= {node(2): [node(0), node(1)], node(3): [node(0), node(1), node(2)], node(4): [node(0), node(2)]}
    searched = Searched(graph, members)

    difference = searched.chains.difference([{node(3)}, {node(4)}, {node(2)}])

    assert difference == {node(2)}
    assert searched.read < 10


def test_a_branch_on_which_nothing_agreed_builds_is_searched_once() -> None:
    length = 2_000
    graph: dict[EventID, list[EventID]] = {node(0): []}
    for number in range(1, length):
        graph[node(number)] = [node(each) for each in range(max(0, number - 5), number)]
    searched = Searched(graph, set())

    difference = searched.chains.difference([{node(length - 1)}, {node(0)}])

    assert len(difference) == length - 1
    assert searched.read < 6 * length
