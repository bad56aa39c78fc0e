"""What state resolution costs, and what state takes on disk: the room's rules alone, without a server.

Both resolvers get the same generated rooms, with the auth difference given: what it costs to search that here is a line
of its own, to which the conflict is given instead. Memory is what one resolution allocates at most, beside the events
and the states that are there before. A room is measured in one round alone. How that is done is in
tests/oracles/measure_resolution.py.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from homeserver.core import state_map
from homeserver.core.identifiers import EventID
from homeserver.core.room_versions import V11, V12
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.core.state_nodes import Node
from tests.bench.measures import Figure
from tests.oracles.measure_resolution import (
    LargeRoom,
    Resolutions,
    RoomShape,
    cost_ms,
    peak_bytes,
    synapse_cost,
    user,
)
from tests.oracles.synapse_opinion import SynapseOpinion

VERSIONS: Final = {"v2": V11, "v2.1": V12}
SHAPES: Final = {
    "fork of 2 in 10,000 members": RoomShape(),
    "fork of 20 in 10,000 members": RoomShape(branches=20),
    "1,000 power changes in 100,000 events": RoomShape(members=1_000, power_changes=1_000, events=100_000),
}
MEMBERS: Final = (1_000, 10_000, 100_000)
TIMES: Final = 5
CHANGES: Final = 200


class Disagreement(Exception):  # noqa: N818 - its message says it
    """Synapse resolves a room to another state: then what it costs is no comparison."""


@dataclass(frozen=True, slots=True)
class Resolvers:
    """The interpreter that has Synapse, if there is one, and how often each of the two resolves a room."""

    synapse_python: Path | None
    times: int = TIMES


def resolution(resolvers: Resolvers, shapes: Mapping[str, RoomShape] = SHAPES) -> Iterator[tuple[str, list[Figure]]]:
    """Figures of every kind of room by either algorithm, each with the name of whose they are."""
    for kind, shape in shapes.items():
        for algorithm, version in VERSIONS.items():
            yield from _of_a_room(resolvers, f"resolve {algorithm}, {kind}", LargeRoom(version, shape))


def _of_a_room(resolvers: Resolvers, what: str, room: LargeRoom) -> Iterator[tuple[str, list[Figure]]]:
    ours = Resolutions(room)
    result = ours.result()
    others = {"from whole states, as Synapse does": ours.from_states, "auth chains searched": ours.with_chains}
    figures = _figures(what, cost_ms(ours.from_roots, resolvers.times), peak_bytes(ours.from_roots))
    figures += [Figure(f"{what}, {how}", "CPU ms", cost_ms(job, resolvers.times)) for how, job in others.items()]
    yield "Columba", figures
    if resolvers.synapse_python is None:
        return
    with SynapseOpinion(resolvers.synapse_python) as synapse:
        theirs = synapse_cost(room, synapse, resolvers.times)
    if theirs.resolved != result:
        raise Disagreement(what)
    yield "Synapse", _figures(what, theirs.cost_ms, theirs.peak_bytes)


def _figures(what: str, cpu_ms: float, peak: int) -> list[Figure]:
    return [Figure(what, "CPU ms", cpu_ms), Figure(f"{what}, memory at most", "KiB", peak / 1024)]


def state_storage(members: Sequence[int] = MEMBERS, changes: int = CHANGES) -> list[Figure]:
    """Bytes of the nodes that one change of a member adds to the map of a room's state, their digests included."""
    return [
        Figure(f"state of {count:,} members, stored per change", "bytes", _bytes_per_change(count, changes))
        for count in members
    ]


def _bytes_per_change(members: int, changes: int) -> float:
    nodes: dict[bytes, Node] = {}
    joined: dict[StateKey, EventID] = {("m.room.member", user(number)): _event_id(number) for number in range(members)}
    room = state_map.update(nodes.get, EMPTY_ROOT, joined)
    nodes.update(room.parsed)
    root, stored = room.root, 0
    for number in range(changes):
        changed: dict[StateKey, EventID] = {
            ("m.room.member", user(number * 7919 % members)): _event_id(members + number)
        }
        updated = state_map.update(nodes.get, root, changed)
        nodes.update(updated.parsed)
        root = updated.root
        stored += sum(len(digest) + len(body) for digest, body in updated.new_nodes.items())
    return stored / changes


def _event_id(number: int) -> EventID:
    """One as long as they are."""
    return EventID("$" + urlsafe_b64encode(sha256(str(number).encode()).digest()).decode().rstrip("="))
