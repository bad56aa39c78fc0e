"""The flood of resolutions still floods, and the server ends well in the middle of it."""

import asyncio

import pytest

from homeserver.services.events.state_merging import INLINE_LIMIT
from tests.bench.contestants import columba
from tests.bench.flood import FloodCounts, flood
from tests.bench.forked import ForkShape

LARGE = ForkShape(members=INLINE_LIMIT + 1, changes=INLINE_LIMIT + 1)


@pytest.mark.large
def test_a_round_gives_figures_of_a_quiet_server_and_of_a_flooded_one() -> None:
    (figures,) = asyncio.run(flood(columba(), 1, FloodCounts(LARGE, joins=100, requests=3)))

    values = {figure.name: figure.value for figure in figures}
    assert len({(figure.name, figure.unit) for figure in figures}) == len(figures)
    assert values["memory of the process beside in a flood of resolutions"] > 0
    assert all(value > 0 for name, value in values.items() if not name.startswith("events judged"))
