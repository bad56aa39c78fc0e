"""Which servers may be asked: back-off, and the lists of blocked and allowed servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.outbound.errors import NotAsked
from homeserver.runtime.clock import ManualClock
from homeserver.runtime.randomness import SeededRandomness
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.federation.destinations import Destinations, RetryPolicy
from homeserver.storage.database import DatabaseUnavailable
from homeserver.storage.destinations import failing_destinations
from tests.databases import SyncDatabase, fresh_sqlite
from tests.services.world import now

FAR, NEAR, DOWN = (ServerName(f"{name}.example") for name in ("far", "near", "down"))
POLICY = RetryPolicy(first_s=60.0, factor=2.0, max_s=3_600.0)


class Place:
    """Destinations on a database, and a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.database = SyncDatabase(fresh_sqlite(path))
        self.clock = ManualClock()
        self.told: list[ServerName | None] = []
        self.destinations = self.open()

    def open(self, seed: int = 0, most_failing: int = 100) -> Destinations:
        """What a server knows that starts now."""
        opened = Destinations(
            self.database.database, POLICY, self.clock, SeededRandomness(seed), most_failing=most_failing
        )
        now(opened.load())
        opened.listen(self.told.append)
        return opened

    def wait_s(self, server: ServerName = FAR) -> float:
        """For how long a server is left alone."""
        return self.destinations.wait_ms(server) / 1000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "homeserver.db")
    yield made
    made.database.close()


def fail(place: Place, times: int = 1, server: ServerName = FAR) -> None:
    """Let a server fail each time that it is asked."""
    for _ in range(times):
        place.clock.advance(place.wait_s(server))
        place.destinations.check(server)
        place.destinations.failed(server)


def test_a_server_that_did_not_answer_is_left_alone_until_its_time_has_come(place: Place) -> None:
    place.destinations.check(FAR)
    place.destinations.failed(FAR)

    with pytest.raises(NotAsked):
        place.destinations.check(FAR)
    place.destinations.check(FAR, ignores_backoff=True)
    place.destinations.check(NEAR)
    assert 0 < place.wait_s() <= POLICY.first_s
    place.clock.advance(place.wait_s())
    place.destinations.check(FAR)


def test_the_interval_grows_to_its_limit_and_begins_anew_after_an_answer(place: Place) -> None:
    intervals = [POLICY.interval_s(failures) for failures in range(1, 9)]
    assert intervals == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    fail(place, 6)
    failing = place.destinations.find_failing(FAR)
    assert failing is not None
    assert failing.failures == 6

    place.destinations.succeeded(FAR)
    place.destinations.check(FAR)
    fail(place)

    failing = place.destinations.find_failing(FAR)
    assert failing is not None
    assert (failing.failures, failing.failing_since_ms) == (1, place.clock.now_ms())


def test_what_fails_while_a_server_is_left_alone_counts_once(place: Place) -> None:
    place.destinations.failed(FAR)
    before = place.destinations.find_failing(FAR)

    for _ in range(5):
        place.destinations.failed(FAR)

    assert place.destinations.find_failing(FAR) == before


def test_servers_that_failed_together_are_asked_at_moments_all_over_the_interval(place: Place) -> None:
    servers = [ServerName(f"s{number}.example") for number in range(90)]
    for server in servers:
        place.destinations.failed(server)

    waits = sorted(place.wait_s(server) for server in servers)

    parts = [sum(part * 20 < wait <= part * 20 + 20 for wait in waits) for part in range(3)]
    assert sum(parts) == len(servers)
    assert min(parts) > 15


def test_back_off_outlives_a_restart(place: Place) -> None:
    fail(place, 3)
    fail(place, 1, DOWN)
    now(place.destinations.flush())
    place.destinations.succeeded(DOWN)
    now(place.destinations.flush())
    before = place.destinations.find_failing(FAR)

    place.destinations = place.open(1)

    assert place.destinations.find_failing(FAR) == before
    assert place.destinations.find_failing(DOWN) is None
    with pytest.raises(NotAsked):
        place.destinations.check(FAR)


def test_what_could_not_be_written_is_written_later(place: Place) -> None:
    fail(place)
    place.database.close()
    with pytest.raises(DatabaseUnavailable):
        now(place.destinations.flush())
    place.database.database.start()

    now(place.destinations.flush())

    assert [row.destination for row in place.database.read(failing_destinations)] == [FAR]


def test_nothing_is_written_when_nothing_changed(place: Place) -> None:
    fail(place)
    now(place.destinations.flush())
    writes = place.database.counts.writes

    now(place.destinations.flush())

    assert place.database.counts.writes == writes


def test_no_more_servers_are_remembered_than_may_be(place: Place) -> None:
    place.destinations = place.open(0, most_failing=3)
    for number in range(10):
        place.destinations.failed(ServerName(f"s{number}.example"))
        now(place.destinations.flush())

    rows = place.database.read(failing_destinations)
    assert {row.destination for row in rows} == {"s7.example", "s8.example", "s9.example"}
    assert place.destinations.failing_count == 3


def test_a_request_of_a_server_ends_its_wait_and_further_ones_do_not(place: Place) -> None:
    fail(place, 5)
    place.destinations.heard_from(FAR)
    place.destinations.check(FAR)
    assert place.told == [FAR]
    place.destinations.failed(FAR)
    waits = place.wait_s()

    place.destinations.heard_from(FAR)
    place.destinations.heard_from(NEAR)

    assert place.wait_s() == waits
    assert place.told == [FAR]


def test_an_administrator_ends_a_wait_as_often_as_they_like(place: Place) -> None:
    for _ in range(2):
        fail(place)
        assert place.destinations.retry_now(FAR)
        place.destinations.check(FAR)
        assert place.wait_s() == 0
    assert not place.destinations.retry_now(NEAR)


def test_an_answer_of_a_server_that_failed_is_told(place: Place) -> None:
    place.destinations.succeeded(FAR)
    assert place.told == []
    place.destinations.failed(FAR)

    place.destinations.succeeded(FAR)

    assert place.told == [FAR]


@pytest.mark.parametrize(
    ("pattern", "blocked", "open_"),
    [
        ("bad.example", ("bad.example", "BAD.example", "bad.example:8448"), ("sub.bad.example", "worse.example")),
        ("*.bad.example", ("sub.bad.example", "a.b.bad.example:1"), ("bad.example",)),
        ("b?d.example:8448", ("bad.example:8448", "bid.example:8448"), ("bad.example",)),
        ("[::1]", ("[::1]", "[::1]:8448"), ("[::2]",)),
    ],
)
def test_a_blocked_server_is_not_asked_from_then_on(
    place: Place, pattern: str, blocked: tuple[str, ...], open_: tuple[str, ...]
) -> None:
    now(place.destinations.set_rule(pattern, is_blocked=True))

    for name in blocked:
        with pytest.raises(NotAsked, match="blocked"):
            place.destinations.check(ServerName(name), ignores_backoff=True)
    for name in open_:
        place.destinations.check(ServerName(name))
    now(place.destinations.remove_rule(pattern.upper()))
    for name in blocked:
        place.destinations.check(ServerName(name))
    assert place.told == [None, None]


def test_once_a_server_is_allowed_no_others_are_asked(place: Place) -> None:
    now(place.destinations.set_rule("*.example", is_blocked=False))
    now(place.destinations.set_rule("far.example", is_blocked=True))

    place.destinations.check(NEAR)
    for name in ("far.example", "near.test"):
        with pytest.raises(NotAsked):
            place.destinations.check(ServerName(name))


def test_rules_outlive_a_restart(place: Place) -> None:
    now(place.destinations.set_rule("far.example", is_blocked=True))

    place.destinations = place.open()

    assert [(rule.pattern, rule.is_blocked) for rule in place.destinations.rules] == [("far.example", True)]
    assert place.destinations.is_blocked(FAR)


@pytest.mark.parametrize("pattern", ["", "two names", "a,b", "ä.example", "x" * 256, "a\nb"])
def test_what_is_no_pattern_is_refused(place: Place, pattern: str) -> None:
    with pytest.raises(InvalidParameter):
        now(place.destinations.set_rule(pattern, is_blocked=True))

    assert place.destinations.rules == ()


def test_a_rule_that_is_not_there_cannot_be_removed(place: Place) -> None:
    with pytest.raises(NotFound):
        now(place.destinations.remove_rule("far.example"))


def test_a_database_that_holds_more_than_may_be_remembered_is_emptied_to_that(place: Place) -> None:
    for number in range(5):
        place.destinations.failed(ServerName(f"s{number}.example"))
    now(place.destinations.flush())

    place.destinations = place.open(0, most_failing=2)
    now(place.destinations.flush())

    assert place.destinations.failing_count == 2
    assert len(place.database.read(failing_destinations)) == 2
