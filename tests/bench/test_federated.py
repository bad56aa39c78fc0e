"""The measures of federation still run, with numbers too small to mean anything."""

import pytest

from tests.bench.federated import FederatedCounts, federated
from tests.federation.peers import COLUMBA

FEW = FederatedCounts(members=20, inbound_members=5, transactions=2, pdus=3, destinations=3, messages=2)


@pytest.mark.large
def test_a_round_gives_figures_of_each_measure() -> None:
    told: list[str] = []

    found = federated([COLUMBA], 1, FEW, told.append)

    assert [line.rpartition(" ")[2] for line in told] == ["join", "inbound", "fan_out"]
    assert {server for server, _ in found} == {"Columba"}
    figures = [figure for _, some in found for figure in some]
    assert len({(figure.name, figure.unit) for figure in figures}) == len(figures) == 10
    assert all(figure.value > 0 for figure in figures)
