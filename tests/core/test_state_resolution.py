"""State resolution on rooms that grew: against the specification's wording, in any order, from differences alone."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.core import state_map
from homeserver.core.auth_chains import WalkedAuthChains
from homeserver.core.errors import MissingEvents
from homeserver.core.event import Event
from homeserver.core.event_graph import auth_edges
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import ROOM_VERSIONS, V1, V11, V12, RoomVersion
from homeserver.core.state_conflicts import conflict_of_differences
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.state_nodes import Node
from homeserver.core.state_resolution import resolve, resolve_states
from tests.conftest import examples
from tests.core.rooms import ALICE, in_every_version
from tests.forked_rooms import ForkedRoom, Statistics, forked_rooms, grow_room
from tests.oracles.naive_resolution import resolution
from tests.replicas import Fork, History, Replica

ROOMS_IN_A_RUN = 240


def resolved(room: ForkedRoom, states: list[state_map.StateMap]) -> dict[StateKey, EventID]:
    history = room.history
    return resolve_states(
        states, history.events.get, room_id=room.room_id, version=room.version, rejected=history.rejected
    )


@settings(max_examples=examples(60))
@given(forked_rooms())
def test_resolution_is_what_the_specification_words(room: ForkedRoom) -> None:
    for fork in room.forks:
        assert fork.resolved == resolution(
            fork.states, room.history.events, room.events[0].event_id, room.history.rejected
        )


def test_rooms_of_a_run_are_about_what_they_are_for_and_resolve_as_the_specification_words() -> None:
    statistics = Statistics()
    for seed, version in zip(range(ROOMS_IN_A_RUN), list(ROOM_VERSIONS.values()) * ROOMS_IN_A_RUN, strict=False):
        room = grow_room(Random(seed), version)
        statistics.count(room)
        for fork in room.forks:
            assert fork.resolved == resolution(
                fork.states, room.history.events, room.events[0].event_id, room.history.rejected
            )
    statistics.check()


@settings(max_examples=examples(30))
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_resolution_does_not_depend_on_the_order_of_states(room: ForkedRoom, random: Random) -> None:
    for fork in room.forks:
        states = [dict(random.sample(list(state.items()), len(state))) for state in fork.states]
        random.shuffle(states)

        assert resolved(room, list(states)) == fork.resolved


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_resolving_the_same_state_several_times_over_changes_nothing(room: ForkedRoom) -> None:
    for fork in room.forks:
        assert resolved(room, [fork.states[0], fork.states[0]]) == fork.states[0]
        assert resolved(room, [*fork.states, fork.states[-1]]) == fork.resolved
        assert resolved(room, [fork.resolved]) == fork.resolved


@settings(max_examples=examples(30))
@given(forked_rooms())
def test_a_resolved_state_keeps_what_is_agreed_and_has_nothing_rejected_or_misplaced(room: ForkedRoom) -> None:
    for fork in room.forks:
        agreed = set(fork.states[0].items()).intersection(*(state.items() for state in fork.states))
        assert agreed <= fork.resolved.items()
        assert room.history.rejected.isdisjoint(fork.resolved.values())
        for key, event_id in fork.resolved.items():
            event = room.history.events[event_id]
            assert key == (event.type, event.state_key)


@settings(max_examples=examples(30))
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_servers_that_hear_of_events_in_any_order_agree_on_all_states_and_rejections(
    room: ForkedRoom, random: Random
) -> None:
    replicas = [Replica(History(room.version, room.room_id, random)) for _ in range(2)]

    for replica in replicas:
        for event in in_some_order(room, random):
            replica.receive(event)

    for replica in replicas:
        assert replica.history.before == room.history.before
        assert replica.history.after == room.history.after
        assert replica.history.rejected == room.history.rejected


def in_some_order(room: ForkedRoom, random: Random) -> list[Event]:
    """The events of a room, each after all that it names, otherwise as chance will have it."""
    waiting = {event.event_id: {*event.prev_event_ids, *event.auth_event_ids} for event in room.events}
    order: list[Event] = []
    while waiting:
        ready = [event_id for event_id, names in waiting.items() if names.isdisjoint(waiting)]
        chosen = random.choice(ready)
        del waiting[chosen]
        order.append(room.history.events[chosen])
    return order


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_the_differences_of_roots_resolve_as_the_whole_states_do(room: ForkedRoom) -> None:
    history = room.history
    for fork in room.forks:
        nodes: dict[bytes, Node] = {}
        roots = [stored(state, nodes) for state in fork.states]
        differences = [state_map.difference(nodes.get, roots[0], root) for root in roots[1:]]
        conflict = conflict_of_differences(differences, finder(nodes, roots[0]))
        agreed = frozenset(event_id for key in fork.states[0] if (event_id := conflict.agreed(key)) is not None)

        changes = resolve(
            conflict,
            history.events.get,
            WalkedAuthChains(auth_edges(history.events.get), agreed),
            room_id=room.room_id,
            version=room.version,
            rejected=history.rejected,
        )

        for root in roots:
            whole = {key: changes.get(key) for key in conflict.candidates} | changes
            updated = state_map.update(nodes.get, root, whole)
            assert dict(state_map.items({**nodes, **updated.parsed}.get, updated.root)) == fork.resolved


def finder(nodes: dict[bytes, Node], root: bytes) -> Callable[[StateKey], EventID | None]:
    return lambda key: state_map.get(nodes.get, root, *key)


def stored(state: state_map.StateMap, nodes: dict[bytes, Node]) -> bytes:
    updated = state_map.update(nodes.get, EMPTY_ROOT, state)
    nodes.update(updated.parsed)
    return updated.root


@settings(max_examples=examples(20))
@given(forked_rooms())
def test_a_caller_who_loads_what_is_missing_gets_the_same_answer(room: ForkedRoom) -> None:
    for fork in room.forks:
        assert resolved_by_loading(room, fork) == fork.resolved


def resolved_by_loading(room: ForkedRoom, fork: Fork) -> dict[StateKey, EventID]:
    """Begin with no events at all, and load what turns out to be missing."""
    history = room.history
    loaded: dict[EventID, Event] = {}
    while True:
        try:
            return resolve_states(
                fork.states, loaded.get, room_id=room.room_id, version=room.version, rejected=history.rejected
            )
        except MissingEvents as missing:
            new = {EventID(event_id) for event_id in missing.event_ids} - loaded.keys()
        assert new, "it asked for what it has"
        loaded |= {event_id: history.events[event_id] for event_id in new}


@in_every_version
def test_no_states_make_an_empty_state(version: RoomVersion) -> None:
    room = grow_room(Random(1), version, steps=0)

    assert resolved(room, []) == {}
    assert resolved(room, [{}, {}]) == {}


@pytest.mark.parametrize("version", [V1, V11, V12], ids=lambda version: f"v{version.name}")
def test_a_resolution_in_a_large_room_looks_at_the_conflict_and_not_at_the_room(
    version: RoomVersion,
) -> None:
    room = grow_room(Random(3), version, steps=0)
    history = room.history
    state = history.after[room.events[-1].event_id]
    crowd = {("m.room.member", f"@u{number}:one.example"): EventID(f"${number:043d}") for number in range(10_000)}
    names = [EventID(event_id) for event_id in state.values() if history.events[event_id].type == "m.room.join_rules"]
    conflict_key = ("m.room.join_rules", "")
    asked: Counter[StateKey] = Counter()
    base = {**state, **crowd}

    def find_agreed(key: StateKey) -> EventID | None:
        asked[key] += 1
        return base.get(key)

    conflict = conflict_of_differences([{conflict_key: (names[0], None)}], find_agreed)
    chains = WalkedAuthChains(auth_edges(history.events.get), frozenset(state.values()) - {names[0]})
    changes = resolve(conflict, history.events.get, chains, room_id=room.room_id, version=room.version)

    assert changes == {conflict_key: names[0]}
    assert set(asked) <= {("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", ALICE)}
