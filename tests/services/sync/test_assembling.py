"""Whatever happens, and however a client asks: what its syncs told it is what is the case."""

from itertools import count

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from homeserver.storage.database import Backend
from tests.conftest import LargeRun
from tests.services.sync.replay import WEIGHTED, Stage
from tests.services.world import World

EVERYDAY = 20
SAMPLE = 100
WHOLE = 5_000

Act = tuple[str, int, int, int]
NUMBERS = st.integers(0, 11)


def replay(world: World, examples: int, number: int, *, is_late: bool) -> None:
    """Play so many histories on one server, each with users of its own, and close it."""
    numbers, worlds = count(), [world]

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(st.lists(st.tuples(st.sampled_from(WEIGHTED), NUMBERS, NUMBERS, NUMBERS), min_size=10, max_size=60))
    def play(history: list[Act]) -> None:
        stage = Stage(worlds[-1], next(numbers), is_late=is_late)
        try:
            stage.do("create", 0, 0, 1)
            for act in history:
                stage.do(*act)
            stage.check()
        finally:
            stage.close()
            worlds.append(stage.world)  # another one when the server was started again

    try:
        play()
    finally:
        worlds[-1].close()


def test_what_clients_know_by_their_syncs_is_what_a_fresh_client_is_told(backend: Backend) -> None:
    replay(World(backend), EVERYDAY, 1, is_late=False)


def test_answers_may_be_read_and_arrive_at_any_time(backend: Backend) -> None:
    replay(World(backend), EVERYDAY, 2, is_late=True)


def test_memory_that_reaches_back_only_a_little_leads_to_the_database(backend: Backend) -> None:
    replay(World(backend, changes_per_user=3), EVERYDAY, 3, is_late=True)


@pytest.mark.large
@pytest.mark.parametrize("is_late", [False, True])
def test_what_clients_know_is_true_after_many_histories(backend: Backend, large_run: LargeRun, is_late: bool) -> None:
    replay(World(backend), WHOLE if large_run.whole else SAMPLE, large_run.seed, is_late=is_late)
