"""What a process says of itself."""

from homeserver.runtime.clock import ManualClock
from homeserver.runtime.loops import Loops
from homeserver.runtime.own_figures import Costs, OwnFigures


def test_those_that_cost_most_are_remembered() -> None:
    costs = Costs(most_names=4)

    costs.note("dear", cpu_s=1.0, wall_s=5.0)
    costs.note("cheap", cpu_s=0.1, wall_s=0.2)
    costs.note("dear", cpu_s=1.0, wall_s=5.0)
    for number in range(100):
        costs.note(f"once {number}", cpu_s=0.0, wall_s=0.1)

    first, second = costs.most_costly(2)
    assert (first.name, first.requests, first.cpu_s, first.wall_s) == ("dear", 2, 2.0, 10.0)
    assert second.name == "cheap"
    assert len(costs.most_costly(1_000)) <= 4


def test_the_process_is_told_as_the_system_sees_it() -> None:
    clock = ManualClock()
    figures = OwnFigures(clock, Loops(clock))
    clock.advance(90)

    process = figures.process()

    assert process.uptime_s == 90
    assert process.cpu_s > 0
    assert process.memory_bytes is not None
    assert 0 < process.memory_bytes <= process.most_memory_bytes * 1.1
    assert process.open_files is not None
    assert 0 < process.open_files < process.open_files_limit
    assert figures.count_traffic() == (0, 0)
