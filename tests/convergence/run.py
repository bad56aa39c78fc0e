"""Many rooms, each given to several servers in different ways: what these rooms were about, and what was wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.core.slices import slices
from tests.convergence.deliveries import WAYS
from tests.convergence.servers import Agreement, check_agreement, sqlite_servers
from tests.forked_rooms import ForkedRoom, Statistics, grow_room
from tests.services.world import World

VERSIONS: Final = tuple(ROOM_VERSIONS.values())
FEW_WAYS: Final = 2  # by which most rooms come, drawn for each; the others come by all
SHARE_OF_ALL_WAYS: Final = 0.1
ENOUGH_ROOMS: Final = 300  # to judge shares by

# What the servers went through with a room, and the least share of the rooms of a run that must have it.
MINIMUM_SHARES: Final[Mapping[str, tuple[Callable[[Agreement], bool], float]]] = {
    "an event that waited": (lambda agreement: agreement.has_waited, 0.85),
    "an event soft-failed by a server": (lambda agreement: agreement.has_soft_failure, 0.25),
    "one soft-failed by some servers only": (lambda agreement: agreement.soft_failures_differ, 0.14),
    "heads that differed": (lambda agreement: agreement.heads_differ, 0.07),
    "heads joined by an event that all accept": (lambda agreement: agreement.is_joined, 0.90),
}


@dataclass(slots=True)
class Report:
    """What a run was about, or a part of it."""

    rooms: Statistics = field(default_factory=Statistics)
    all_ways: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MINIMUM_SHARES, 0))
    failures: list[str] = field(default_factory=list)

    def count(self, room: ForkedRoom, agreement: Agreement) -> None:
        """Count a room about which the servers agree."""
        self.rooms.count(room)
        for name, (holds, _) in MINIMUM_SHARES.items():
            self.counts[name] += holds(agreement)

    def add(self, other: "Report") -> None:
        """Count what another part of the same run was about."""
        self.rooms.add(other.rooms)
        self.all_ways += other.all_ways
        for name, count in other.counts.items():
            self.counts[name] += count
        self.failures += other.failures

    def __str__(self) -> str:
        rooms = max(self.rooms.rooms, 1)
        shares = ", ".join(f"{count / rooms:.1%} with {name}" for name, count in self.counts.items())
        return f"{self.rooms}, {shares}; {self.all_ways} in all ways; {len(self.failures)} failures"

    def check(self) -> None:
        """Fail unless the rooms were about what they are for."""
        self.rooms.check()
        low = {name for name, count in self.counts.items() if count < MINIMUM_SHARES[name][1] * self.rooms.rooms}
        assert not low, f"too few of {', '.join(low)}; {self}"


@dataclass(frozen=True, slots=True)
class Part:
    """Rooms of a run: its seed, and their numbers."""

    seed: int
    numbers: Sequence[int]


def check_part(part: Part) -> Report:
    """Check rooms on servers that have nothing else; what is wrong stands in the report."""
    report = Report()
    with sqlite_servers() as worlds:
        for number in part.numbers:
            seed, version = f"{part.seed}-{number}", VERSIONS[number % len(VERSIONS)]
            try:
                check_room(worlds, seed, version, report)
            except Exception as error:  # noqa: BLE001 - whatever goes wrong, the other rooms are to be tried as well
                report.failures.append(f'("{seed}", "{version.name}"): {type(error).__name__}: {str(error)[:500]}')
    return report


def room_of(seed: str, version: RoomVersion) -> tuple[Random, ForkedRoom]:
    """The room of a seed, and what decides about the rest."""
    random = Random(seed)
    return random, grow_room(random, version, name=f"room{seed}")


def check_room(worlds: Sequence[World], seed: str, version: RoomVersion, report: Report) -> None:
    """Grow the room of a seed, and fail unless the servers agree about it."""
    random, room = room_of(seed, version)
    ways = WAYS if random.random() < SHARE_OF_ALL_WAYS else FEW_WAYS
    report.count(room, check_agreement(worlds, room, random, ways))
    report.all_ways += ways == WAYS


def parts_of(seed: int, numbers: Iterable[int], size: int) -> list[Part]:
    """Rooms in parts of so many."""
    return [Part(seed, some) for some in slices(list(numbers), size)]
