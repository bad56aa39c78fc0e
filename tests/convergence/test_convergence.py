"""Servers that hold the same events are in the same room, however the events came to them.

On every server: the same state before each event and after it, the same rejections, the same current state for the same
heads, and after one more event that is built on all heads. They are held against each other and against a naive history
(tests/replicas.py). Whether an event soft-fails depends on when it arrived, so there they may differ.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.core.room_versions import ROOM_VERSIONS
from tests.conftest import LargeRun, examples
from tests.convergence.kept_rooms import kept_names, kept_room
from tests.convergence.run import (
    ENOUGH_ROOMS,
    FEW_WAYS,
    VERSIONS,
    Part,
    Report,
    check_part,
    check_room,
    parts_of,
    room_of,
)
from tests.convergence.servers import check_agreement, postgresql_servers, sqlite_servers
from tests.forked_rooms import ForkedRoom, forked_rooms
from tests.postgres import Postgres
from tests.storage.conftest import postgres

__all__ = ["postgres"]

SAMPLE_ROOMS: Final = 360
WHOLE_ROOMS: Final = 50_000
ROOMS_PER_TEST: Final = 60  # a test has minutes, not hours, on a busy machine too
ROOMS_PER_SERVERS: Final = 30  # then servers with empty databases take their place
POSTGRESQL_SAMPLE: Final = 12
POSTGRESQL_WHOLE: Final = 600
POSTGRESQL_PER_TEST: Final = 20
PROCESSES: Final = 2
KEPT_VERSIONS: Final = ("1", "6", "12")  # one of each state resolution


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(forked_rooms(), st.randoms(use_true_random=False))
def test_servers_agree_about_a_room_however_it_came_to_them(room: ForkedRoom, random: Random) -> None:
    with sqlite_servers() as worlds:
        check_agreement(worlds, room, random)


def test_servers_with_postgresql_agree_about_rooms_however_they_came_to_them(postgres: Postgres) -> None:
    with postgresql_servers(postgres, FEW_WAYS) as worlds:
        for name in KEPT_VERSIONS:
            random, room = room_of(f"postgresql-{name}", ROOM_VERSIONS[name])
            check_agreement(worlds, room, random, FEW_WAYS)


@pytest.mark.parametrize("name", kept_names())
def test_servers_agree_about_a_room_that_is_kept(name: str) -> None:
    room, random = kept_room(name)

    with sqlite_servers() as worlds:
        check_agreement(worlds, room, random)


def test_a_room_that_is_kept_has_all_that_servers_could_disagree_about() -> None:
    kept = [kept_room(name)[0] for name in kept_names()]

    for version in KEPT_VERSIONS:
        assert any(is_eventful(room) for room in kept if room.version.name == version)


def is_eventful(room: ForkedRoom) -> bool:
    """Whether servers that are wrong about anything should disagree about a room."""
    return all(
        (
            room.has_power_fight,
            room.has_rejection_by_state,
            room.has_ban_race,
            room.has_redaction_of_rules,
        )
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Share the rooms of a run among tests."""
    seed, whole = metafunc.config.option.large_seed, metafunc.config.option.large == "whole"
    for name, rooms, size in (
        ("part", WHOLE_ROOMS if whole else SAMPLE_ROOMS, ROOMS_PER_TEST),
        ("postgresql_part", POSTGRESQL_WHOLE if whole else POSTGRESQL_SAMPLE, POSTGRESQL_PER_TEST),
    ):
        if name in metafunc.fixturenames:
            parts = parts_of(seed, range(rooms), size)
            metafunc.parametrize(name, parts, ids=[f"from-{part.numbers[0]}" for part in parts])


@pytest.fixture(scope="module")
def processes(large_run: LargeRun) -> Iterator[ProcessPoolExecutor]:
    """Processes for the rooms of a run: a sample contents itself with one."""
    count = min(PROCESSES, len(os.sched_getaffinity(0))) if large_run.whole else 1
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    """What comes of the whole run: printed in the end, when the rooms must have been about what they are for."""
    report = Report()
    yield report
    print(report)
    if report.rooms.rooms >= ENOUGH_ROOMS:  # not where single tests were asked for
        report.check()


@pytest.mark.large
def test_servers_agree_about_many_rooms(part: Part, processes: ProcessPoolExecutor, report: Report) -> None:
    failed_before = len(report.failures)

    for checked in processes.map(check_part, parts_of(part.seed, part.numbers, ROOMS_PER_SERVERS)):
        report.add(checked)
    print(report)

    assert report.failures[failed_before:] == []


@pytest.mark.large
def test_servers_with_postgresql_agree_about_many_rooms(postgres: Postgres, postgresql_part: Part) -> None:
    report = Report()

    with postgresql_servers(postgres) as worlds:
        for number in postgresql_part.numbers:
            seed = f"{postgresql_part.seed}-postgresql-{number}"
            check_room(worlds, seed, VERSIONS[number % len(VERSIONS)], report)

    print(report)
