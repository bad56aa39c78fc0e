"""What it costs to resolve a fork in a large room, here and in Synapse.

Run by `python -m tests.oracles.measure_resolution`. CPU milliseconds of one resolution, the auth chains apart: both are
given the auth difference. `make bench` measures more kinds of rooms: tests/bench/resolution.py. Questions to Synapse
are JSON, so their values are `Any`.
"""

import sys
import time
import tracemalloc
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


@dataclass(frozen=True, slots=True)
class RoomShape:
    """How large a room is, and how its branches differ."""

    members: int = 10_000
    branches: int = 2
    conflicted_events: int = 100  # of all branches together, under the same keys in each; at least three in each
    power_changes: int = 0  # of all branches together, one on top of the other in each; at least one in each
    events: int = 0  # as many, if there would be fewer: the rest are messages


class LargeRoom:
    """A public room with many members, and branches that differ in some of them, in settings, rules and powers."""

    def __init__(self, version: RoomVersion, shape: RoomShape) -> None:
        self.shape = shape
        self.scene = Scene(version, users={BOB: 50})
        self.scene.join_in_turn(BOB)
        self.state = dict(self.scene.after(self.scene.last))
        for number in range(shape.members):
            self.say(self.state, Proposal("m.room.member", user(number), {"membership": "join"}, user(number)), number)
        self.branches = [self.branch(side) for side in range(shape.branches)]
        for number in range(len(self.events), shape.events):
            sender = user(number % shape.members)
            self.say(self.state, Proposal("m.room.message", sender, {"body": str(number)}, None), number)

    @property
    def events(self) -> dict[EventID, Event]:
        """All of them."""
        return self.scene.history.events

    def branch(self, side: int) -> StateMap:
        """The state of one branch."""
        state = dict(self.state)
        sender = (ALICE, BOB)[side % 2]
        levels = dict(self.events[state["m.room.power_levels", ""]].content)
        keys = self.shape.conflicted_events // self.shape.branches
        said = [
            *(
                Proposal("m.room.power_levels", sender, {**levels, "events": {f"org.example.{side}": turn % 50}})
                for turn in range(max(1, self.shape.power_changes // self.shape.branches))
            ),
            Proposal("m.room.join_rules", sender, {"join_rule": "public", "side": side}),
            *(Proposal("org.example.setting", sender, {"side": side}, str(number)) for number in range(keys // 6)),
        ]
        for number in range(keys - keys // 6 - 2):
            content = {"membership": "join", "displayname": f"on side {side}"}
            said.append(Proposal("m.room.member", user(number), content, user(number)))
        for number, proposal in enumerate(said):
            self.say(state, proposal, self.shape.members + number)
        return state

    def say(self, state: dict[StateKey, EventID], proposal: Proposal, number: int) -> None:
        """Add an event, and if it is of the state put it there."""
        heads = [self.scene.last.event_id]
        time_ms = START_MS + number
        event = build_in(self.scene.history, proposal, heads, state, depth=100 + number, time_ms=time_ms)
        self.events[event.event_id] = event
        if event.state_key is not None:
            state[event.type, event.state_key] = event.event_id


def user(number: int) -> UserID:
    """One of the members."""
    return UserID(f"@user{number}:one.example")


def cost_ms(job: Callable[[], object], times: int = TIMES) -> float:
    """CPU milliseconds of a job."""
    job()
    before = time.process_time()
    for _ in range(times):
        job()
    return (time.process_time() - before) / times * 1000


def peak_bytes(job: Callable[[], object]) -> int:
    """The most memory that a job has of its own at any time."""
    job()
    tracemalloc.start()
    job()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


class Resolutions:
    """The ways to resolve the branches of a room, each a job to measure."""

    def __init__(self, room: LargeRoom) -> None:
        self.room = room
        self.nodes: dict[bytes, Node] = {}
        self.roots = []
        for state in room.branches:
            updated = state_map.update(self.nodes.get, EMPTY_ROOT, state)
            self.nodes.update(updated.parsed)
            self.roots.append(updated.root)
        self.whole = conflict_of_states(room.branches)
        self.agreed = frozenset(room.branches[0].values()) - self.whole.event_ids
        walked = WalkedAuthChains(auth_edges(room.events.get), self.agreed)
        self.chains = KnownAuthChains(
            frozenset(walked.difference(self.whole.sets)), frozenset(walked.paths_between(self.whole.event_ids))
        )
        self.followers: defaultdict[EventID, list[EventID]] = defaultdict(list)
        for event in room.events.values():
            if event.state_key is not None:
                for auth_id in event.auth_event_ids:
                    self.followers[auth_id].append(event.event_id)

    def from_roots(self) -> dict[StateKey, EventID]:
        """As the server does, with the auth chains given."""
        first, *others = self.roots
        differences = [state_map.difference(self.nodes.get, first, other) for other in others]
        conflict = conflict_of_differences(differences, lambda key: state_map.get(self.nodes.get, first, *key))
        return self._resolved(conflict, self.chains)

    def from_states(self) -> dict[StateKey, EventID]:
        """From states that are at hand whole, with the auth chains given."""
        return self._resolved(conflict_of_states(self.room.branches), self.chains)

    def with_chains(self) -> dict[StateKey, EventID]:
        """With the conflict given and the auth chains searched."""
        edges = auth_edges(self.room.events.get)
        searched = SearchedAuthChains(edges, self.followers.__getitem__, self.agreed.__contains__)
        return self._resolved(self.whole, searched)

    def result(self) -> list[EventID]:
        """The events of the resolved state, whichever way it was resolved."""
        resolved = self.from_roots()
        assert resolved == self.from_states() == self.with_chains()
        agreed = {key: found for key, found in self.room.branches[0].items() if key not in self.whole.candidates}
        return sorted((agreed | resolved).values())

    def _resolved(self, conflict: Conflict, chains: AuthChains) -> dict[StateKey, EventID]:
        history = self.room.scene.history
        return resolve(conflict, self.room.events.get, chains, room_id=history.room_id, version=self.room.scene.version)


@dataclass(frozen=True, slots=True)
class SynapseCost:
    """What Synapse says of the same branches."""

    resolved: list[str]
    cost_ms: float
    peak_bytes: int


def synapse_cost(room: LargeRoom, synapse: SynapseOpinion, times: int = TIMES) -> SynapseCost:
    """Have Synapse resolve the branches of a room, its auth chains given."""
    states = [sorted(state.values()) for state in room.branches]
    questions: list[dict[str, Any]] = [
        {"ask": "resolve", "states": states},
        {"ask": "cost", "states": states, "times": times},
        {"ask": "peak", "states": states},
    ]
    scene = room.scene
    resolved, seconds, peak = synapse.ask(scene.history.room_id, scene.version, room.events.values(), (), questions)
    return SynapseCost(resolved, seconds * 1000, peak)


def measure(version: RoomVersion, synapse: SynapseOpinion | None) -> str:
    """A line about one room version."""
    room = LargeRoom(version, RoomShape())
    ours = Resolutions(room)
    result = ours.result()
    line = (
        f"version {version.name}: {len(room.branches[0])} entries, {len(ours.whole.event_ids)} conflicted events, "
        f"{len(ours.chains.known_difference)} in the auth difference: "
        f"{cost_ms(ours.from_roots):.2f} ms from roots, {cost_ms(ours.from_states):.2f} ms from whole states, "
        f"{cost_ms(ours.with_chains):.2f} ms with the auth chains searched"
    )
    if synapse is None:
        return line
    theirs = synapse_cost(room, synapse)
    same = result == theirs.resolved
    return f"{line}; Synapse {theirs.cost_ms:.2f} ms, with {'the same' if same else 'ANOTHER'} result"


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
