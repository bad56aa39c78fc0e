"""The attacks still attack, with numbers too small to mean anything."""

import pytest

from tests.bench.attack import ATTACKS, AttackCounts, attacked

FEW = AttackCounts(
    forged=2,
    ancestors=2,
    deep=2,
    replays=2,
    bombs=1,
    branches=2,
    edus=5,
    receipts=50,
    powers=2,
    invites=2,
    keys=2,
    messages=2,
)


@pytest.mark.large
def test_a_round_gives_figures_of_each_attack() -> None:
    told: list[str] = []

    (figures,) = attacked(1, FEW, told.append)

    assert [line.rpartition(" ")[2] for line in told] == [attack.__name__ for attack in ATTACKS]
    assert len({(figure.name, figure.unit) for figure in figures}) == len(figures) == 1 + 4 * len(ATTACKS)
    assert all(figure.value > 0 for figure in figures if figure.unit in ("CPU s", "ms"))
