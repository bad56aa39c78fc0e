"""The measures of clients still run, with numbers too small to mean anything."""

import asyncio

import pytest

from tests.bench.contestants import columba
from tests.bench.encrypted import keys
from tests.bench.measures import Arena, Counts, Figure
from tests.bench.syncing import SYNCING

FEW = Counts(
    some_rooms=1,
    many_rooms=2,
    restarts=1,
    repetitions=1,
    listeners=2,
    deliveries_to_many=1,
    history=3,
    devices=2,
    one_time_keys=2,
    sends=1,
)


async def every_figure() -> list[Figure]:
    contestant = columba()
    try:
        await contestant.start()
        arena = Arena(contestant, FEW)
        return [figure for measure in (*SYNCING, keys) for figure in await measure(arena)]
    finally:
        contestant.close()


@pytest.mark.large
def test_every_measure_of_clients_gives_figures() -> None:
    figures = asyncio.run(every_figure())

    assert len({(figure.name, figure.unit) for figure in figures}) == len(figures) > len(SYNCING) + 1
    assert all(figure.value > 0 for figure in figures if not figure.name.startswith(("delivery", "send")))
