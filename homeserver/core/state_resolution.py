"""State resolution: forked room states merged into one, by the algorithm of the room's version.

The algorithms are in state_resolution_v1.py and state_resolution_v2.py, what they start from is in state_conflicts.py.
"""

from collections.abc import Container, Sequence

from homeserver.core.auth_chains import AuthChains, WalkedAuthChains
from homeserver.core.event_graph import FindEvent, auth_edges
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import RoomVersion, StateResolution
from homeserver.core.state_conflicts import Conflict, conflict_of_states
from homeserver.core.state_map import StateKey, StateMap
from homeserver.core.state_resolution_v1 import resolve_v1
from homeserver.core.state_resolution_v2 import resolve_v2


def resolve(
    conflict: Conflict,
    find_event: FindEvent,
    auth_chains: AuthChains,
    *,
    room_id: RoomID,
    version: RoomVersion,
    rejected: Container[EventID] = frozenset(),
) -> dict[StateKey, EventID]:
    """What the resolved state has beside what the states agree on: the whole of it costs the conflict, not the room.

    A conflicted key that is not in the result has no event in the resolved state. A key that is in it can be one that
    no state has: events that only authorised others may come back.

    `find_event` gives an event, or None where it has to be loaded. `rejected` tells which events were rejected: they
    are never taken, and authorise nothing. The result does not depend on the order of the states.

    Raises MissingEvents(ids) when it needs more: load those and call again. A lookup that loads what it lacks by
    itself saves these rounds.
    """
    if version.state_resolution is StateResolution.V1:
        return resolve_v1(conflict, find_event, room_id=room_id, rejected=rejected)
    return resolve_v2(conflict, find_event, auth_chains, room_id=room_id, version=version, rejected=rejected)


def resolve_states(
    states: Sequence[StateMap],
    find_event: FindEvent,
    *,
    room_id: RoomID,
    version: RoomVersion,
    rejected: Container[EventID] = frozenset(),
) -> dict[StateKey, EventID]:
    """The resolved state, whole, of states that are at hand whole, with auth chains walked to their ends.

    Raises MissingEvents, as `resolve`.
    """
    conflict = conflict_of_states(states)
    agreed = {key: event_id for key, event_id in states[0].items() if key not in conflict.candidates} if states else {}
    chains = WalkedAuthChains(auth_edges(find_event), frozenset(agreed.values()))
    return agreed | resolve(conflict, find_event, chains, room_id=room_id, version=version, rejected=rejected)
