"""What the states of a room disagree on: the part of them that state resolution touches.

How the disagreement ends is in state_resolution.py, what is asked about auth chains in auth_chains.py. A conflict is
made from whole states, or from the differences of a state map's roots, which cost what differs and not the room.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from homeserver.core.identifiers import EventID
from homeserver.core.state_map import StateKey, StateMap

Candidates = tuple[EventID | None, ...]  # of one key: an entry per state, None where the state has none
Difference = Mapping[StateKey, tuple[EventID | None, EventID | None]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The keys under which some states of a room differ, and a way to ask for what they have in common.

    `find_agreed` gives the event that all of the states have under a key that is not in `candidates`, or None.
    """

    candidates: Mapping[StateKey, Candidates]
    find_agreed: Callable[[StateKey], EventID | None]

    @property
    def event_ids(self) -> set[EventID]:
        """The conflicted state set. Spec: rooms/v2/#definitions"""
        return {event_id for row in self.candidates.values() for event_id in row if event_id is not None}

    @property
    def sets(self) -> list[set[EventID]]:
        """The same, state by state."""
        columns = zip(*self.candidates.values(), strict=True)
        return [{event_id for event_id in column if event_id is not None} for column in columns]

    def agreed(self, key: StateKey) -> EventID | None:
        """The event of a key in the unconflicted state map."""
        return None if key in self.candidates else self.find_agreed(key)


def conflict_of_states(states: Sequence[StateMap]) -> Conflict:
    """The conflict of states that are at hand whole. Their order is that of the candidates."""
    keys = {key for state in states[1:] for key, _ in states[0].items() ^ state.items()}
    candidates = {key: tuple(state.get(key) for state in states) for key in keys}
    return Conflict(candidates, lambda key: states[0].get(key) if states else None)


def conflict_of_differences(
    differences: Sequence[Difference], find_agreed: Callable[[StateKey], EventID | None]
) -> Conflict:
    """The conflict of a first state and others, from what differs between the first and each of the others.

    `find_agreed` looks into any of them. A key that no difference names is in no conflict.
    """
    first = {key: pair[0] for difference in differences for key, pair in difference.items()}
    candidates = {
        key: (own, *(difference[key][1] if key in difference else own for difference in differences))
        for key, own in first.items()
    }
    return Conflict(candidates, find_agreed)
