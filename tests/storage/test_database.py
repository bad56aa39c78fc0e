"""The database's door: what is visible when, and whom a failure concerns. Both databases, without threads."""

from collections.abc import Callable
from typing import Any

import apsw
import psycopg2
import pytest

from homeserver.storage.database import ATTEMPTS_ALONE, Conflict, DatabaseUnavailable, Transaction
from tests.databases import SyncDatabase

SET = (
    "INSERT INTO counters (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
ADD = "INSERT INTO counters (name, value) VALUES (:name, :value)"
ADD_AND_TELL = "INSERT INTO counters (name, value) VALUES (:name, :value) RETURNING value"
SWAP = "UPDATE counters SET value = :new WHERE name = :name AND value = :old"
VALUE = "SELECT value FROM counters WHERE name = :name"
NAMES = "SELECT name FROM counters ORDER BY name"
BROKEN = "SELECT nothing FROM nowhere"
DATABASE_ERRORS = (apsw.Error, psycopg2.Error)


class StorageFailedError(Exception):
    """What a storage function raises in these tests."""


def add(name: str, value: int = 0) -> Callable[[Transaction], None]:
    def fn(tx: Transaction) -> None:
        tx.run(ADD, name=name, value=value)

    return fn


def add_then_fail(name: str) -> Callable[[Transaction], None]:
    def fn(tx: Transaction) -> None:
        tx.run(ADD, name=name, value=0)
        raise StorageFailedError

    return fn


def fail(tx: Transaction) -> None:
    raise StorageFailedError


def names(tx: Transaction) -> list[str]:
    return [str(row[0]) for row in tx.all(NAMES)]


def value(tx: Transaction, name: str) -> Any:
    row = tx.one(VALUE, name=name)
    return None if row is None else row[0]


def test_what_is_written_can_be_read(db: SyncDatabase) -> None:
    db.write(add("a", 1))

    assert db.read(value, "a") == 1
    assert db.read(value, name="b") is None


def test_a_write_returns_what_its_function_returned(db: SyncDatabase) -> None:
    assert db.write(lambda tx: tx.one(ADD_AND_TELL, name="a", value=7)) == (7,)
    assert db.write(lambda tx: tx.run(SWAP, name="a", old=7, new=8)) == 1
    assert db.write(lambda tx: tx.run(SWAP, name="a", old=7, new=8)) == 0


def test_a_job_that_fails_concerns_nobody_else_in_its_batch(db: SyncDatabase) -> None:
    answers = db.write_batch([add("a"), add_then_fail("b"), fail, add("c")])

    assert [type(answer) for answer in answers] == [type(None), StorageFailedError, StorageFailedError, type(None)]
    assert db.read(names) == ["a", "c"]


def test_a_statement_that_fails_concerns_nobody_else_in_its_batch(db: SyncDatabase) -> None:
    answers = db.write_batch([add("a"), lambda tx: tx.one(BROKEN), add("a"), add("c")])

    assert answers[0] is None
    assert isinstance(answers[1], DATABASE_ERRORS)
    assert isinstance(answers[2], DATABASE_ERRORS)
    assert answers[3] is None
    assert db.read(names) == ["a", "c"]


def test_given_a_failure_before_it_wrote_anything_a_job_costs_the_batch_nothing(db: SyncDatabase) -> None:
    runs: list[str] = []

    def counted(tx: Transaction) -> None:
        runs.append("run")

    db.write_batch([counted, fail, counted])

    assert runs == ["run", "run"]


def test_jobs_of_a_batch_see_what_those_before_them_wrote(db: SyncDatabase) -> None:
    answers = db.write_batch([add("a"), names])

    assert answers[1] == ["a"]


def test_what_follows_a_commit_runs_in_order_and_only_for_what_was_committed(db: SyncDatabase) -> None:
    heard: list[str] = []

    def told(name: str, fails: bool = False) -> Callable[[Transaction], None]:
        def fn(tx: Transaction) -> None:
            tx.after_commit(lambda: heard.append(name))
            tx.at_position((), lambda tx, _: tx.after_commit(lambda: heard.append(f"{name} at its position")))
            tx.run(ADD, name=name, value=0)
            if fails:
                raise StorageFailedError

        return fn

    db.write_batch([told("a"), told("b", fails=True), told("c")])

    assert heard == ["a", "a at its position", "c", "c at its position"]


def test_a_failure_after_the_commit_does_not_undo_it(db: SyncDatabase) -> None:
    heard: list[str] = []

    def fn(tx: Transaction) -> None:
        tx.run(ADD, name="a", value=0)
        tx.after_commit(lambda: heard.append(str(1 // 0)))
        tx.after_commit(lambda: heard.append("still"))

    db.write(fn)

    assert heard == ["still"]
    assert db.read(names) == ["a"]


def test_a_conflict_is_tried_again_alone(db: SyncDatabase) -> None:
    runs: list[int] = []

    def swap(tx: Transaction) -> int:
        runs.append(1)
        tx.run(ADD, name="a", value=len(runs))
        if len(runs) < 3:
            raise Conflict
        return len(runs)

    answers = db.write_batch([add("b"), swap, add("c")])

    assert answers == [None, 3, None]
    assert db.read(value, "a") == 3


def test_a_conflict_that_stays_is_told(db: SyncDatabase) -> None:
    runs: list[int] = []

    def swap(tx: Transaction) -> None:
        runs.append(1)
        raise Conflict

    with pytest.raises(Conflict):
        db.write(swap)

    assert len(runs) == ATTEMPTS_ALONE + 1
    db.write(add("a"))


def test_jobs_tried_again_are_answered_in_the_order_of_their_commits(db: SyncDatabase) -> None:
    heard: list[tuple[str, int]] = []
    first = [True]

    def positioned(name: str) -> Callable[[Transaction], None]:
        def fn(tx: Transaction) -> None:
            if name == "a" and first:
                first.clear()
                raise Conflict
            tx.at_position((), lambda tx, position: tx.after_commit(lambda: heard.append((name, position))))

        return fn

    db.write_batch([positioned("a"), positioned("b"), positioned("c")])

    assert heard == [("b", 1), ("c", 2), ("a", 3)]


def test_positions_have_no_gaps_whoever_fails(db: SyncDatabase) -> None:
    given: list[int] = []

    def positioned(tx: Transaction) -> None:
        tx.at_position((), lambda tx, position: tx.after_commit(lambda: given.append(position)))

    def positioned_then_failed(tx: Transaction) -> None:
        positioned(tx)
        positioned(tx)
        raise StorageFailedError

    db.write_batch([positioned, positioned_then_failed, positioned])
    assert db.position == 2
    db.write_batch([positioned_then_failed])
    db.write(positioned)

    assert given == [1, 2, 3]
    assert db.position == 3
    assert db.read(lambda tx: tx.log_position) == 3


def test_what_waits_for_its_position_is_seen_by_who_asks_for_its_table(db: SyncDatabase) -> None:
    def fn(tx: Transaction) -> list[str]:
        tx.at_position(
            ("counters",), lambda tx, position: tx.insert_many(ADD, [{"name": f"at {position}", "value": 0}])
        )
        tx.at_position(
            ("counters",), lambda tx, position: tx.insert_many(ADD, [{"name": f"at {position}", "value": 0}])
        )
        return names(tx)

    assert db.write(fn) == ["at 1", "at 2"]
    assert db.position == 2


def test_a_position_may_be_asked_for_within_another(db: SyncDatabase) -> None:
    given: list[int] = []

    def outer(tx: Transaction, position: int) -> None:
        given.append(position)
        tx.at_position((), lambda _, inner: given.append(inner))

    db.write(lambda tx: tx.at_position((), outer))

    assert given == [1, 2]
    assert db.read(lambda tx: tx.log_position) == 2


def test_a_failure_at_its_position_fails_its_own_job_alone(db: SyncDatabase) -> None:
    def fail_late(tx: Transaction) -> None:
        tx.at_position(("counters",), lambda tx, _: fail(tx))

    answers = db.write_batch([add("a"), fail_late, names, add("b")])

    assert answers[0] is None
    assert isinstance(answers[1], StorageFailedError)
    assert answers[2] == ["a"]
    assert answers[3] is None
    assert db.read(names) == ["a", "b"]
    assert db.position == 0


def test_rows_inserted_together_are_seen_by_who_asks_for_their_table(db: SyncDatabase) -> None:
    def fn(tx: Transaction) -> list[str]:
        tx.insert_many(ADD, [{"name": "b", "value": 1}, {"name": "a", "value": 2}])
        return names(tx)

    assert db.write(fn) == ["a", "b"]


def test_rows_inserted_together_may_meet_themselves(db: SyncDatabase) -> None:
    rows = [{"name": "a", "value": number} for number in range(5)]

    db.write_batch([lambda tx: tx.insert_many(SET, rows), lambda tx: tx.insert_many(SET, rows[:2])])

    assert db.read(value, "a") == 1


def test_two_ways_to_insert_into_one_table_keep_their_order(db: SyncDatabase) -> None:
    def fn(tx: Transaction) -> None:
        tx.insert_many(SET, [{"name": "a", "value": 1}])
        tx.insert_many(SET + " ", [{"name": "a", "value": 2}])
        tx.insert_many(SET, [{"name": "a", "value": 3}])

    db.write(fn)

    assert db.read(value, "a") == 3


def test_more_rows_than_one_statement_takes_are_inserted(db: SyncDatabase) -> None:
    db.write(lambda tx: tx.insert_many(ADD, [{"name": str(number), "value": number} for number in range(1201)]))

    assert len(db.read(names)) == 1201


def test_a_statement_may_be_run_for_many_rows(db: SyncDatabase) -> None:
    db.write_batch([add("a", 1), add("b", 2)])

    db.write(lambda tx: tx.run_many(SWAP, [{"name": "a", "old": 1, "new": 5}, {"name": "a", "old": 5, "new": 6}]))

    assert db.read(value, "a") == 6


def test_a_read_cannot_write(db: SyncDatabase) -> None:
    attempts: list[Callable[[Transaction], object]] = [
        add("a"),
        lambda tx: tx.insert_many(ADD, [{"name": "a", "value": 0}]),
        lambda tx: tx.next_ids("a"),
        lambda tx: tx.at_position((), lambda *_: None),
    ]

    for attempt in attempts:
        with pytest.raises(DATABASE_ERRORS):
            db.read(attempt)

    assert db.read(names) == []


def test_a_read_sees_one_snapshot(db: SyncDatabase) -> None:
    def reading(tx: Transaction) -> tuple[list[str], list[str], int]:
        before = names(tx)
        db.write(lambda tx: tx.at_position((), lambda tx, _: add("a")(tx)))
        return before, names(tx), tx.log_position

    assert db.read(reading) == ([], [], 0)
    assert db.read(names) == ["a"]


def take(tx: Transaction, count: int) -> int:
    return tx.next_ids("thing", count)


def test_numbers_of_a_counter_are_never_given_twice(db: SyncDatabase) -> None:
    given: set[int] = set()

    for count in (1, 3, 1000, 1, 2):
        first = db.write(take, count)
        assert given.isdisjoint(range(first, first + count))
        given.update(range(first, first + count))

    assert len(given) == 1007
    assert min(given) >= 1


def test_a_number_that_was_stored_is_not_given_again_after_a_restart(db: SyncDatabase) -> None:
    first = db.write(lambda tx: tx.next_ids("thing"))
    again = SyncDatabase(db.backend)

    second = again.write(lambda tx: tx.next_ids("thing"))
    again.close()

    assert second > first


def test_what_leaves_a_thread_is_an_answer(db: SyncDatabase) -> None:
    def leave(tx: Transaction) -> None:
        raise SystemExit

    answers = db.write_batch([leave, add("a")])

    assert isinstance(answers[0], RuntimeError)
    assert db.read(names) == ["a"]


def test_work_is_counted(db: SyncDatabase) -> None:
    db.write_batch([add("a"), add("b")])
    db.read(names)

    counts = db.counts
    assert (counts.writes, counts.batches, counts.reads, counts.hops) == (2, 1, 1, 2)


def test_a_closed_database_refuses(db: SyncDatabase) -> None:
    db.close()

    with pytest.raises(DatabaseUnavailable):
        db.write(add("a"))
    with pytest.raises(DatabaseUnavailable):
        db.read(names)
