"""A second opinion on authorisation and state resolution: Synapse's own code, asked about rooms that tests made up.

Runs by itself in an environment that has Synapse, and imports nothing of this project: a room per line of JSON on
standard input, a line of answers on standard output. Who asks is synapse_opinion.py, where the questions are described.
"""

import itertools
import json
import sys
import time
import tracemalloc
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any

# Any: JSON, and Synapse, which is not there where types are checked.
from synapse import event_auth  # type: ignore[import-not-found]
from synapse.api.errors import SynapseError  # type: ignore[import-not-found]
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS, StateResolutionVersions  # type: ignore[import-not-found]
from synapse.events import make_event_from_dict  # type: ignore[import-not-found]
from synapse.state import v1, v2  # type: ignore[import-not-found]
from synapse.storage.databases.main.event_federation import StateDifference  # type: ignore[import-not-found]


class Store:
    """The events of one room, and their auth chains, where Synapse expects its database."""

    def __init__(self, events: Mapping[str, Any]) -> None:
        self.events = events
        self.states_are_in_their_chains = True
        self.given: Any = None  # a difference that is known already

    async def get_events(self, event_ids: Collection[str], *_: object, **__: object) -> dict[str, Any]:
        """Give events by ID."""
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    async def get_auth_chain_difference(
        self, room_id: str, state_sets: list[set[str]], conflicted: set[str] | None, additional: set[str] | None
    ) -> Any:
        """Give the auth difference, and for v2.1 the conflicted subgraph.

        Synapse's database counts the events of a state to its auth chain, the text of the specification does not.
        """
        if self.given is not None:
            return StateDifference(set(self.given.auth_difference), self.given.conflicted_subgraph)
        chains = [self.chain(ids) | (ids if self.states_are_in_their_chains else set()) for ids in state_sets]
        difference = chains[0].union(*chains[1:]) - chains[0].intersection(*chains[1:])
        if conflicted is None:
            return StateDifference(auth_difference=difference, conflicted_subgraph=None)
        reached = self.chain(conflicted) | conflicted
        subgraph = {event_id for event_id in reached if event_id in conflicted or self.chain({event_id}) & conflicted}
        return StateDifference(auth_difference=difference, conflicted_subgraph=subgraph)

    def chain(self, event_ids: Iterable[str]) -> set[str]:
        """All that these events lead to."""
        found: set[str] = set()
        to_visit = list(event_ids)
        while to_visit:
            for auth_id in self.events[to_visit.pop()].auth_event_ids():
                if auth_id not in found:
                    found.add(auth_id)
                    to_visit.append(auth_id)
        return found


class Clock:
    """Never sleeps."""

    async def sleep(self, duration: object) -> None:
        """Return at once."""


class Room:
    """One line's room, and the questions about it."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self.version = KNOWN_ROOM_VERSIONS[line["version"]]
        self.room_id = line["room_id"]
        rejected = set(line["rejected"])
        self.events = {
            event_id: make_event_from_dict(
                pdu, self.version, rejected_reason="auth_error" if event_id in rejected else None
            )
            for event_id, pdu in line["pdus"].items()
        }
        self.store = Store(self.events)

    def answer(self, question: Mapping[str, Any]) -> Any:
        """Answer one question."""
        return getattr(self, "answer_" + question["ask"])(**{key: question[key] for key in question if key != "ask"})

    def answer_ids(self) -> list[str]:
        """Tell which events have, by Synapse's reckoning, another ID or room."""
        return [
            event_id
            for event_id, event in self.events.items()
            if event.event_id != event_id or event.room_id != self.room_id
        ]

    def answer_allows(self, event: str, state: list[str]) -> bool:
        """Tell whether a state allows an event."""
        try:
            event_auth.check_state_dependent_auth_rules(
                self.events[event], [self.events[event_id] for event_id in state]
            )
        except SynapseError:
            return False
        return True

    def answer_auth_events(self, event: str) -> bool:
        """Tell whether the list of an event's auth events is as it should be."""
        try:
            run(event_auth.check_state_independent_auth_rules(self.store, self.events[event]))
        except SynapseError:
            return False
        return True

    def answer_selection(self, event: str) -> list[list[str]]:
        """Tell which entries of the state authorise an event."""
        return sorted(map(list, event_auth.auth_types_for_event(self.version, self.events[event])))

    def answer_resolve(self, states: list[list[str]], *, by_the_text: bool = False) -> list[str]:
        """Resolve states, given and answered as the IDs of their events."""
        return sorted(self.resolve(self.state_maps(states), by_the_text=by_the_text).values())

    def answer_cost(self, states: list[list[str]], times: int) -> float:
        """Measure the CPU seconds of a resolution, the auth chains apart."""
        maps = self.maps_with_their_chains(states)
        self.resolve(maps)
        before = time.process_time()
        for _ in range(times):
            self.resolve(maps)
        return (time.process_time() - before) / times

    def answer_peak(self, states: list[list[str]]) -> int:
        """Measure the most bytes that a resolution has of its own at any time, the auth chains apart."""
        maps = self.maps_with_their_chains(states)
        self.resolve(maps)
        tracemalloc.start()
        self.resolve(maps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    def maps_with_their_chains(self, states: list[list[str]]) -> list[dict[tuple[str, str], str]]:
        """Sort the events of states likewise, and have their auth difference known from here on."""
        ids = [set(state) for state in states]
        conflicted = set().union(*ids) - ids[0].intersection(*ids[1:])
        is_v2_1 = self.version.state_res == StateResolutionVersions.V2_1
        self.store.given = run(
            self.store.get_auth_chain_difference(self.room_id, ids, conflicted if is_v2_1 else None, None)
        )
        return self.state_maps(states)

    def state_maps(self, states: list[list[str]]) -> list[dict[tuple[str, str], str]]:
        """Sort the events of states by what they are the state of."""
        return [
            {(self.events[event_id].type, self.events[event_id].state_key): event_id for event_id in state}
            for state in states
        ]

    def resolve(self, maps: list[dict[tuple[str, str], str]], *, by_the_text: bool = False) -> Mapping[Any, str]:
        """Resolve states by the algorithm of the room's version."""
        self.store.states_are_in_their_chains = not by_the_text
        if self.version.identifier == "1":
            resolution = v1.resolve_events_with_store(self.room_id, self.version, maps, None, self.store.get_events)
        else:
            resolution = v2.resolve_events_with_store(Clock(), self.room_id, self.version, maps, None, self.store)
        return dict(run(resolution))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    for _ in itertools.count():
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value
    raise AssertionError


def main() -> None:
    """Answer line by line until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        room = Room(asked)
        print(json.dumps([room.answer(question) for question in asked["questions"]]), flush=True)


if __name__ == "__main__":
    main()
