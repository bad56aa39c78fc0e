"""Islands for the tests of this folder, the seed of each story, and what a sample leaves out."""

from collections.abc import Iterator
from random import Random
from typing import Final

import pytest

from tests.conftest import LargeRun
from tests.federation.apart.islands import Islands, running
from tests.tls import CertificateAuthority

IN_TIME: Final = (0, 0, 0)


@pytest.fixture(scope="session")
def three(authority: CertificateAuthority) -> Iterator[Islands]:
    """Start three servers, which find each other once links are there."""
    with running(authority, IN_TIME) as made:
        yield made


@pytest.fixture
def chance(request: pytest.FixtureRequest, large_run: LargeRun) -> Random:
    """Return what a story is drawn with: another one for each test, repeatable by the seed of the run."""
    return Random(f"{large_run.seed} {request.node.name}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell as many stories as are wanted."""
    if "story_number" in metafunc.fixturenames:
        counts = metafunc.module.STORIES
        metafunc.parametrize("story_number", range(counts[metafunc.config.option.large]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of a sample the tests that their file names as the rest."""
    if config.option.large == "whole":
        return
    left_out = [item for item in items if _name(item) in getattr(_module(item), "NOT_IN_A_SAMPLE", ())]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _name(item: pytest.Item) -> str:
    return item.originalname if isinstance(item, pytest.Function) else item.name


def _module(item: pytest.Item) -> object:
    return item.module if isinstance(item, pytest.Function) else None
