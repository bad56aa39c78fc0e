"""The measures of state resolution still run, with rooms too small to mean anything."""

from tests.bench.resolution import VERSIONS, Resolvers, resolution, state_storage
from tests.oracles.measure_resolution import LargeRoom, RoomShape

FEW = {
    "fork of 3": RoomShape(members=6, branches=3, conflicted_events=18),
    "long room": RoomShape(members=6, conflicted_events=12, power_changes=8, events=40),
}


def test_every_kind_of_room_gives_figures_for_either_algorithm() -> None:
    measured = list(resolution(Resolvers(None, times=1), FEW))

    names = [figure.name for _, figures in measured for figure in figures]
    assert len(set(names)) == len(names) == 4 * len(FEW) * len(VERSIONS)
    assert all(figure.value > 0 for _, figures in measured for figure in figures)


def test_a_room_has_the_shape_that_was_asked_for() -> None:
    room = LargeRoom(VERSIONS["v2.1"], FEW["long room"])

    conflicted = set(room.branches[0].values()) ^ set(room.branches[1].values())
    power_levels = [event for event in room.events.values() if event.type == "m.room.power_levels"]
    assert (len(conflicted), len(power_levels), len(room.events)) == (12, 1 + 8, 40)


def test_a_change_in_a_larger_room_stores_more_but_not_in_proportion() -> None:
    small, large = state_storage([50, 1000], changes=20)

    assert 0 < small.value < large.value < 10 * small.value
