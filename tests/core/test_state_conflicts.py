"""What is in conflict, by whole states and by differences of roots."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from homeserver.core import state_map
from homeserver.core.identifiers import EventID
from homeserver.core.state_conflicts import conflict_of_differences, conflict_of_states
from homeserver.core.state_map import EMPTY_ROOT, StateKey, StateMap
from homeserver.core.state_nodes import Node

KEYS = st.tuples(st.sampled_from(("m.room.member", "m.room.name", "m.room.topic")), st.sampled_from(("", "@a:b", "c")))
EVENT_IDS = st.integers(1, 3).map(lambda number: EventID(f"${number:043d}"))
STATES = st.lists(st.dictionaries(KEYS, EVENT_IDS, max_size=5), min_size=1, max_size=4)


@given(STATES)
def test_a_key_is_in_conflict_unless_all_states_have_the_same_event(states: list[StateMap]) -> None:
    conflict = conflict_of_states(states)

    for key in {key for state in states for key in state}:
        row = tuple(state.get(key) for state in states)
        if len(set(row)) == 1:
            assert conflict.agreed(key) == row[0]
            assert key not in conflict.candidates
        else:
            assert conflict.agreed(key) is None
            assert conflict.candidates[key] == row


@given(STATES)
def test_the_conflicted_events_are_known_state_by_state(states: list[StateMap]) -> None:
    conflict = conflict_of_states(states)

    if conflict.candidates:
        assert conflict.sets == [
            {event_id for key, event_id in state.items() if key in conflict.candidates} for state in states
        ]
    assert conflict.event_ids == set().union(*conflict.sets)


@given(STATES)
def test_differences_of_roots_give_the_same_conflict_as_whole_states(states: list[StateMap]) -> None:
    nodes: dict[bytes, Node] = {}
    roots = [_stored(state, nodes) for state in states]

    conflict = conflict_of_differences(
        [state_map.difference(nodes.get, roots[0], root) for root in roots[1:]],
        lambda key: state_map.get(nodes.get, roots[0], *key),
    )

    whole = conflict_of_states(states)
    assert conflict.candidates == whole.candidates
    assert all(conflict.agreed(key) == whole.agreed(key) for key in _all_keys(states))


def test_no_states_are_in_no_conflict() -> None:
    conflict = conflict_of_states([])

    assert not conflict.candidates
    assert conflict.agreed(("m.room.create", "")) is None


def _stored(state: StateMap, nodes: dict[bytes, Node]) -> bytes:
    updated = state_map.update(nodes.get, EMPTY_ROOT, state)
    nodes.update(updated.parsed)
    return updated.root


def _all_keys(states: Sequence[StateMap]) -> set[StateKey]:
    return {key for state in states for key in state}
