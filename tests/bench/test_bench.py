"""The bench still runs: every measure, with numbers too small to mean anything."""

import asyncio
import json
import os

from tests.bench.contestants import columba
from tests.bench.measures import MEASURES, Arena, Counts, Figure
from tests.bench.processes import cpu_s
from tests.bench.report import Results, shown

FEW = Counts(
    sends=2,
    sends_at_once=2,
    at_once=2,
    syncs=2,
    members=3,
    deliveries=2,
    rooms=2,
    members_of_rooms=2,
    messages_of_rooms=1,
    creations=1,
)


async def every_figure() -> list[Figure]:
    contestant = columba()
    try:
        await contestant.start()
        arena = Arena(contestant, FEW)
        return [figure for measure in MEASURES for figure in await measure(arena)]
    finally:
        contestant.close()


def test_every_measure_gives_figures() -> None:
    figures = asyncio.run(every_figure())

    assert len({(figure.name, figure.unit) for figure in figures}) == len(figures) > len(MEASURES)
    assert all(figure.value > 0 for figure in figures if figure.unit != "CPU ms")


def test_a_table_has_the_medians_and_the_ratio_of_two_servers() -> None:
    results = Results()
    for ours, theirs in ((1, 30), (2, 40), (9, 90)):
        results.add("Ours", [Figure("send", "CPU ms", ours)])
        results.add("Theirs", [Figure("send", "CPU ms", theirs), Figure("create", "CPU ms", 1000)])

    head, send, create = results.table().splitlines()

    assert head.split() == ["Ours", "Theirs", "Theirs", "/", "Ours"]
    assert send.split() == ["send", "CPU", "ms", "2.00", "40.0", "20.0"]
    assert create.split() == ["create", "CPU", "ms", "1,000"]
    assert json.loads(results.to_json({}))["servers"]["Ours"][0]["rounds"] == [1, 2, 9]


def test_numbers_are_shown_with_the_digits_that_mean_something() -> None:
    assert [shown(value) for value in (0.1234, 12.34, 1234.5)] == ["0.12", "12.3", "1,234"]


def test_the_cpu_time_of_a_process_grows() -> None:
    before = cpu_s(os.getpid())

    assert cpu_s(os.getpid()) > before > 0
