"""What PostgreSQL alone has: several processes that write, connections that are lost, deadlocks."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg2
import pytest

from homeserver.storage.database import Conflict, DatabaseRefused, DatabaseUnavailable, OutcomeUnknown, Transaction
from homeserver.storage.postgresql import PostgreSQLBackend, open_postgresql
from tests.databases import SyncDatabase
from tests.postgres import Postgres

ADD = "INSERT INTO counters (name, value) VALUES (:name, :value)"
VALUE = "SELECT value FROM counters WHERE name = :name"
SWAP = "UPDATE counters SET value = :new WHERE name = :name AND value = :old"
ROWS = "SELECT name, value FROM counters ORDER BY value, name"
SET = "UPDATE counters SET value = value + 1 WHERE name = :name"
BROKEN = "SELECT nothing FROM nowhere"
OWN_BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    url = postgres.url_of_new_database()
    yield url
    postgres.give_back(url)


@pytest.fixture
def processes(url: str) -> Iterator[tuple[SyncDatabase, SyncDatabase]]:
    """Two databases as two processes would open them."""
    pair = SyncDatabase(PostgreSQLBackend(url)), SyncDatabase(PostgreSQLBackend(url))
    yield pair
    for database in pair:
        database.close()


def end_connection(url: str, process: int) -> None:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", (process,))
    connection.close()


def add_at_position(tx: Transaction, name: str) -> None:
    tx.at_position(("counters",), lambda tx, position: tx.insert_many(ADD, [{"name": name, "value": position}]))


def increment(tx: Transaction, name: str) -> int:
    """A compare-and-swap, as a change of a room's heads is."""
    row = tx.one(VALUE, name=name)
    assert row is not None
    if tx.run(SWAP, name=name, old=row[0], new=row[0] + 1) == 0:
        raise Conflict
    return int(row[0]) + 1


def run_at_once(*fns: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(len(fns)) as pool:
        for future in [pool.submit(fn) for fn in fns]:
            future.result()


def test_positions_of_two_processes_follow_their_commits_without_gaps(
    processes: tuple[SyncDatabase, SyncDatabase], url: str
) -> None:
    reader = SyncDatabase(PostgreSQLBackend(url))
    seen: list[tuple[int, list[int]]] = []
    done = threading.Event()

    def write(database: SyncDatabase, name: str) -> None:
        for number in range(25):
            answers = database.write_batch(
                [partial(add_at_position, name=f"{name}{number}.{each}") for each in range(3)]
            )
            assert answers == [None, None, None]

    def watch() -> None:
        while not done.is_set():
            seen.append(reader.read(lambda tx: (tx.log_position, [int(row[1]) for row in tx.all(ROWS)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run_at_once(lambda: write(processes[0], "a"), lambda: write(processes[1], "b"))
    done.set()
    watcher.join()

    rows = reader.read(lambda tx: tx.all(ROWS))
    reader.close()
    assert [row[1] for row in rows] == list(range(1, 151))
    for name in "ab":
        own = [str(row[0]) for row in rows if str(row[0]).startswith(name)]
        assert own == [f"{name}{number}.{each}" for number in range(25) for each in range(3)]
    assert all(positions == list(range(1, upto + 1)) for upto, positions in seen)


def test_numbers_are_given_to_one_process_alone(processes: tuple[SyncDatabase, SyncDatabase]) -> None:
    given: list[int] = []

    for number in range(300):
        first = processes[number % 2].write(lambda tx: tx.next_ids("thing", 2))
        given += [first, first + 1]

    assert len(set(given)) == 600


def test_a_compare_and_swap_that_loses_is_tried_again(processes: tuple[SyncDatabase, SyncDatabase]) -> None:
    processes[0].write(lambda tx: tx.run(ADD, name="heads", value=0))
    interfered: list[int] = []

    def interfere(tx: Transaction) -> int:
        row = tx.one(VALUE, name="heads")
        assert row is not None
        if not interfered:
            interfered.append(processes[1].write(increment, "heads"))
        if tx.run(SWAP, name="heads", old=row[0], new=row[0] + 1) == 0:
            raise Conflict
        return int(row[0]) + 1

    assert processes[0].write(interfere) == 2
    assert interfered == [1]


def test_compare_and_swaps_of_two_processes_lose_nothing(processes: tuple[SyncDatabase, SyncDatabase]) -> None:
    processes[0].write(lambda tx: tx.run(ADD, name="heads", value=0))
    conflicts: list[int] = []

    def write(database: SyncDatabase) -> None:
        for _ in range(30):
            while True:
                try:
                    database.write(increment, "heads")
                    break
                except Conflict:
                    conflicts.append(1)

    run_at_once(lambda: write(processes[0]), lambda: write(processes[1]))

    assert processes[0].read(lambda tx: tx.one(VALUE, name="heads")) == (60,)


def test_a_deadlock_is_tried_again(processes: tuple[SyncDatabase, SyncDatabase]) -> None:
    processes[0].write(lambda tx: tx.run_many(ADD, [{"name": "x", "value": 0}, {"name": "y", "value": 0}]))
    both_have_one = threading.Barrier(2)

    def crossing(first: str, second: str) -> Callable[[Transaction], None]:
        runs: list[int] = []

        def fn(tx: Transaction) -> None:
            tx.run(SET, name=first)
            if not runs:
                runs.append(1)
                both_have_one.wait()
            tx.run(SET, name=second)

        return fn

    run_at_once(
        lambda: processes[0].write(crossing("x", "y")),
        lambda: processes[1].write(crossing("y", "x")),
    )

    assert processes[0].read(lambda tx: tx.all(ROWS)) == [("x", 2), ("y", 2)]


def test_a_write_survives_the_loss_of_its_connection(processes: tuple[SyncDatabase, SyncDatabase], url: str) -> None:
    runs: list[int] = []

    def fn(tx: Transaction) -> int:
        tx.run(ADD, name="a", value=1)
        row = tx.one(OWN_BACKEND)
        runs.append(1)
        if len(runs) == 1 and row is not None:
            end_connection(url, int(row[0]))
        tx.run(ADD, name="b", value=2)
        return len(runs)

    assert processes[0].write(fn) == 2
    assert processes[0].read(lambda tx: tx.all(ROWS)) == [("a", 1), ("b", 2)]


def test_a_connection_lost_while_idle_is_made_anew(processes: tuple[SyncDatabase, SyncDatabase], url: str) -> None:
    for database in processes:
        row = database.write(lambda tx: tx.one(OWN_BACKEND))
        assert row is not None
        end_connection(url, int(row[0]))
        row = database.read(lambda tx: tx.one(OWN_BACKEND))
        assert row is not None
        end_connection(url, int(row[0]))

    processes[0].write(lambda tx: add_at_position(tx, "a"))
    processes[1].write(lambda tx: add_at_position(tx, "b"))

    assert processes[0].read(lambda tx: tx.all(ROWS)) == [("a", 1), ("b", 2)]


def test_a_connection_lost_while_committing_leaves_the_outcome_unknown(
    processes: tuple[SyncDatabase, SyncDatabase], url: str
) -> None:
    # A deferred constraint is checked by COMMIT: there the connection ends itself.
    processes[1].write(lambda tx: tx.run(END_WITHIN_COMMIT))
    processes[1].write(lambda tx: tx.run(FIRE_AT_COMMIT))

    with pytest.raises(OutcomeUnknown):
        processes[0].write(lambda tx: tx.run(ADD, name="a", value=1))

    processes[1].write(lambda tx: tx.run("DROP TRIGGER ending ON counters"))
    processes[1].write(lambda tx: tx.run("DROP FUNCTION end_connection"))
    assert processes[0].write(lambda tx: tx.run(ADD, name="b", value=2)) == 1


END_WITHIN_COMMIT = """
    CREATE FUNCTION end_connection() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"""
FIRE_AT_COMMIT = """
    CREATE CONSTRAINT TRIGGER ending AFTER INSERT ON counters DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION end_connection()"""


def test_a_statement_that_failed_cannot_be_passed_over(processes: tuple[SyncDatabase, SyncDatabase]) -> None:
    def fn(tx: Transaction) -> None:
        tx.run(ADD, name="a", value=1)
        try:
            tx.one(BROKEN)
        except psycopg2.Error:
            return

    answers = processes[0].write_batch([lambda tx: tx.run(ADD, name="b", value=2), fn])

    assert answers[0] == 1
    assert isinstance(answers[1], psycopg2.Error)
    assert processes[0].read(lambda tx: tx.all(ROWS)) == [("b", 2)]


def test_a_database_that_cannot_be_reached_is_refused(postgres: Postgres) -> None:
    with pytest.raises(DatabaseRefused, match="cannot be reached"):
        open_postgresql(postgres.url("no_such_database"))


def test_a_database_that_goes_away_is_unavailable(postgres: Postgres) -> None:
    url = postgres.url_of_empty_database()
    database = SyncDatabase(open_postgresql(url))
    postgres.drop(url)

    with pytest.raises(DatabaseUnavailable):
        database.write(lambda tx: tx.run(ADD, name="a", value=1))
    with pytest.raises(DatabaseUnavailable):
        database.read(lambda tx: tx.all(ROWS))

    database.close()


def test_a_database_that_is_not_utf8_is_refused(postgres: Postgres) -> None:
    with pytest.raises(DatabaseRefused, match="LATIN1"):
        open_postgresql(postgres.url_of_empty_database(encoding="LATIN1"))


def test_the_password_is_not_printed() -> None:
    assert "secret" not in repr(PostgreSQLBackend("postgresql://columba:secret@db/columba"))
