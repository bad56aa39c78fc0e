"""What it costs to resolve a fork of two in a large room, here and in Synapse.

Run by `python -m tests.oracles.measure_resolution`. CPU milliseconds of one resolution, the auth chains apart: both are
given the auth difference. Questions to Synapse are JSON, so their values are `Any`.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core import state_map
from homeserver.core.auth_chains import AuthChains, SearchedAuthChains, WalkedAuthChains
from homeserver.core.event import Event
from homeserver.core.event_graph import auth_edges
from homeserver.core.identifiers import EventID, UserID
from homeserver.core.room_versions import V1, V11, V12, RoomVersion
from homeserver.core.state_conflicts import Conflict, conflict_of_differences, conflict_of_states
from homeserver.core.state_map import EMPTY_ROOT, StateKey, StateMap
from homeserver.core.state_nodes import Node
from homeserver.core.state_resolution import resolve
from tests.forked_rooms import ALICE, BOB, START_MS, Proposal, build_in
from tests.oracles.synapse_opinion import SynapseOpinion
from tests.scenes import Scene
from tests.synapse import SynapseMissing, synapse_python

MEMBERS: Final = 10_000
CONFLICTED_KEYS: Final = 50  # two events each
TIMES: Final = 30


@dataclass(frozen=True, slots=True)
class KnownAuthChains:
    """Auth chains that somebody walked before."""

    known_difference: frozenset[EventID]
    known_paths: frozenset[EventID]

    def difference(self, sets: object) -> frozenset[EventID]:
        """As in AuthChains."""
        return self.known_difference

    def paths_between(self, event_ids: object) -> frozenset[EventID]:
        """As in AuthChains."""
        return self.known_paths


class LargeRoom:
    """A public room with many members, and two branches that differ in some of them, in settings, rules and powers."""

    def __init__(self, version: RoomVersion) -> None:
        self.scene = Scene(version, users={BOB: 50})
        self.scene.join_in_turn(BOB)
        self.state = dict(self.scene.after(self.scene.last))
        for number in range(MEMBERS):
            self.say(self.state, Proposal("m.room.member", user(number), {"membership": "join"}, user(number)), number)
        self.branches = [self.branch(0), self.branch(1)]

    @property
    def events(self) -> dict[EventID, Event]:
        """All of them."""
        return self.scene.history.events

    def branch(self, side: int) -> StateMap:
        """The state of one branch."""
        state = dict(self.state)
        sender = (ALICE, BOB)[side]
        levels = dict(self.events[state["m.room.power_levels", ""]].content)
        said = [
            Proposal("m.room.power_levels", sender, {**levels, "events": {"org.example.side": side}}),
            Proposal("m.room.join_rules", sender, {"join_rule": "public", "side": side}),
            *(Proposal("org.example.setting", sender, {"side": side}, str(number)) for number in range(8)),
        ]
        for number in range(CONFLICTED_KEYS - len(said)):
            content = {"membership": "join", "displayname": f"on side {side}"}
            said.append(Proposal("m.room.member", user(number), content, user(number)))
        for number, proposal in enumerate(said):
            self.say(state, proposal, MEMBERS + number)
        return state

    def say(self, state: dict[StateKey, EventID], proposal: Proposal, number: int) -> None:
        """Put an event into a state."""
        heads = [self.scene.last.event_id]
        time_ms = START_MS + number
        event = build_in(self.scene.history, proposal, heads, state, depth=100 + number, time_ms=time_ms)
        self.events[event.event_id] = event
        assert event.state_key is not None
        state[event.type, event.state_key] = event.event_id


def user(number: int) -> UserID:
    """One of the members."""
    return UserID(f"@user{number}:one.example")


def cost(job: Callable[[], object]) -> float:
    """CPU milliseconds of a job."""
    job()
    before = time.process_time()
    for _ in range(TIMES):
        job()
    return (time.process_time() - before) / TIMES * 1000


def measure(version: RoomVersion, synapse: SynapseOpinion | None) -> str:
    """A line about one room version."""
    room = LargeRoom(version)
    history = room.scene.history
    nodes: dict[bytes, Node] = {}
    roots = []
    for state in room.branches:
        updated = state_map.update(nodes.get, EMPTY_ROOT, state)
        nodes.update(updated.parsed)
        roots.append(updated.root)
    whole = conflict_of_states(room.branches)
    agreed = frozenset(room.branches[0].values()) - whole.event_ids
    walked = WalkedAuthChains(auth_edges(room.events.get), agreed)
    chains = KnownAuthChains(frozenset(walked.difference(whole.sets)), frozenset(walked.paths_between(whole.event_ids)))

    def resolved(conflict: Conflict, known: AuthChains = chains) -> dict[StateKey, EventID]:
        return resolve(conflict, room.events.get, known, room_id=history.room_id, version=version)

    def from_roots() -> dict[StateKey, EventID]:
        differences = [state_map.difference(nodes.get, roots[0], roots[1])]
        return resolved(conflict_of_differences(differences, lambda key: state_map.get(nodes.get, roots[0], *key)))

    def from_states() -> dict[StateKey, EventID]:
        return resolved(conflict_of_states(room.branches))

    followers: defaultdict[EventID, list[EventID]] = defaultdict(list)
    for event in room.events.values():
        for auth_id in event.auth_event_ids:
            followers[auth_id].append(event.event_id)

    def with_chains() -> dict[StateKey, EventID]:
        searched = SearchedAuthChains(auth_edges(room.events.get), followers.__getitem__, agreed.__contains__)
        return resolved(whole, searched)

    assert from_roots() == from_states() == with_chains()
    line = (
        f"version {version.name}: {len(room.branches[0])} entries, {len(whole.event_ids)} conflicted events, "
        f"{len(chains.known_difference)} in the auth difference: "
        f"{cost(from_roots):.2f} ms from roots, {cost(from_states):.2f} ms from whole states, "
        f"{cost(with_chains):.2f} ms with the auth chains searched"
    )
    if synapse is None:
        return line
    states = [sorted(state.values()) for state in room.branches]
    questions: list[dict[str, Any]] = [
        {"ask": "resolve", "states": states},
        {"ask": "cost", "states": states, "times": TIMES},
    ]
    theirs, seconds = synapse.ask(history.room_id, version, room.events.values(), (), questions)
    ours = {**{key: event_id for key, event_id in room.branches[0].items() if key not in whole.candidates}}
    same = sorted((ours | from_roots()).values()) == theirs
    return f"{line}; Synapse {seconds * 1000:.2f} ms, with {'the same' if same else 'ANOTHER'} result"


def main() -> None:
    """Measure version by version."""
    try:
        python = synapse_python()
    except SynapseMissing as missing:
        print(f"Without Synapse: {missing}", file=sys.stderr)
        for version in (V1, V11, V12):
            print(measure(version, None))
        return
    with SynapseOpinion(python) as synapse:
        for version in (V1, V11, V12):
            print(measure(version, synapse))


if __name__ == "__main__":
    main()
