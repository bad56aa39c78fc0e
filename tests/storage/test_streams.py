"""Positions of the change log: a reader that saw position N never later finds a new row at or below N."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.storage.database import Job, Transaction, WriteConnection
from homeserver.storage.streams import LogPosition, Span, span_since, visible_position
from tests.conftest import examples
from tests.databases import SyncDatabase

ADD = "INSERT INTO counters (name, value) VALUES (:name, :value)"
AT_MOST = "SELECT value FROM counters WHERE value <= :upto AND value > :after ORDER BY value"
CLEAR = "DELETE FROM counters"
REWIND = "UPDATE log_position SET value = 0"


class GivenUpError(Exception):
    """What a job of these tests fails with."""


def write_rows(tx: Transaction, count: int, looks: bool, fails: bool) -> None:
    """Write `count` rows, each at a position; perhaps look at them at once; perhaps fail."""
    for _ in range(count):
        tx.at_position(
            ("counters",), lambda tx, position: tx.insert_many(ADD, [{"name": f"row {position}", "value": position}])
        )
    if looks:
        tx.all(AT_MOST, after=0, upto=0)
    if fails:
        raise GivenUpError


def rows_seen(tx: Transaction) -> tuple[int, list[int]]:
    upto = visible_position(tx)
    return upto, [int(row[0]) for row in tx.all(AT_MOST, after=0, upto=2**62)]


@st.composite
def jobs(draw: st.DrawFn) -> tuple[int, bool, bool]:
    return draw(st.integers(0, 3)), draw(st.booleans()), draw(st.booleans())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 1), st.just((0, False, False))),
        st.tuples(st.just("job"), st.integers(0, 1), jobs()),
        st.tuples(st.just("commit"), st.integers(0, 1), st.just((0, False, False))),
        st.tuples(st.just("rollback"), st.integers(0, 1), st.just((0, False, False))),
    ),
    max_size=25,
)


class Writers:
    """Two processes' writers, taken step by step by one thread; a step that would wait for the other is left out."""

    def __init__(self, connections: list[WriteConnection], can_overlap: bool) -> None:
        self.connections = connections
        self.can_overlap = can_overlap
        self.open: set[int] = set()
        self.holds: int | None = None  # who holds the log's position until its commit

    def step(self, action: str, number: int, job: tuple[int, bool, bool]) -> None:
        connection = self.connections[number % len(self.connections)]
        number %= len(self.connections)
        if action == "begin" and number not in self.open and (self.can_overlap or not self.open):
            connection.begin()
            self.open.add(number)
        if number not in self.open:
            return
        count, looks, fails = job
        if action == "job" and not (count and looks and self.holds not in (None, number)):
            connection.begin_job()
            try:
                Job(write_rows, (count, looks, fails), {}).run(connection.transaction)
            except GivenUpError:
                if not connection.undo_job():
                    self.end(number, connection)
                    return
            else:
                connection.end_job()
            if count and looks:
                self.holds = number
        if action == "commit" and self.holds in (None, number):
            connection.commit()
            self.open.discard(number)
            self.holds = None
        if action == "rollback":
            self.end(number, connection)

    def end(self, number: int, connection: WriteConnection) -> None:
        connection.rollback()
        self.open.discard(number)
        if self.holds == number:
            self.holds = None


@pytest.fixture
def writers(db: SyncDatabase) -> Iterator[list[WriteConnection]]:
    count = 1 if db.dialect.name == "sqlite" else 2
    connections = [db.backend.open_writer() for _ in range(count)]
    yield connections
    for connection in connections:
        connection.close()


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_whatever_the_interleaving_what_was_seen_is_complete(
    db: SyncDatabase, writers: list[WriteConnection], steps: list[tuple[str, int, tuple[int, bool, bool]]]
) -> None:
    db.write(lambda tx: (tx.run(CLEAR), tx.run(REWIND)))
    interleaved = Writers(writers, can_overlap=db.dialect.name == "postgresql")

    for step in steps:
        interleaved.step(*step)

        upto, rows = db.read(rows_seen)
        assert rows == list(range(1, upto + 1))

    for number in list(interleaved.open):
        interleaved.end(number, writers[number])


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(jobs(), min_size=1, max_size=5), max_size=5))
def test_whichever_jobs_fail_positions_have_no_gaps(
    db: SyncDatabase, batches: list[list[tuple[int, bool, bool]]]
) -> None:
    db.write(lambda tx: (tx.run(CLEAR), tx.run(REWIND)))
    expected = sum(count for batch in batches for count, _, fails in batch if not fails)

    for batch in batches:
        db.database.run_batch([Job(write_rows, job, {}) for job in batch])

    assert db.read(rows_seen) == (expected, list(range(1, expected + 1)))


def test_a_span_ends_at_what_is_visible(db: SyncDatabase) -> None:
    db.write(write_rows, 3, looks=False, fails=False)

    assert db.read(span_since, LogPosition(1)) == Span(LogPosition(1), LogPosition(3))
    assert db.read(span_since, LogPosition(3)).is_empty
    assert db.read(span_since, LogPosition(99)) == Span(LogPosition(3), LogPosition(3))
