"""Leaps of the change log: what is given afterwards was not given before, and what was left out is known."""

from homeserver.storage.database import Transaction
from homeserver.storage.log_leaps import Leap, is_left_out, leap, leaps, sweep_leaps
from homeserver.storage.streams import visible_position
from tests.databases import SyncDatabase
from tests.storage.bare_rows import empty

NOW_MS = 1_700_000_000_000
SET_POSITION = "UPDATE log_position SET value = :value"
SET_HORIZON = "UPDATE sync_horizon SET log_position = :value"


def begin_at(db: SyncDatabase, position: int) -> None:
    db.write(empty, ("log_leaps",))
    db.write(lambda tx: tx.run(SET_POSITION, value=position))


def give(db: SyncDatabase) -> int:
    """The next position."""
    given: list[int] = []

    def write(tx: Transaction) -> None:
        tx.at_position((), lambda _, position: given.append(position))

    db.write(write)
    return given[0]


def test_the_log_goes_on_at_the_present(db: SyncDatabase) -> None:
    begin_at(db, 7)

    db.write(leap, now_ms=NOW_MS)

    assert db.read(visible_position) == NOW_MS
    assert db.database.position == NOW_MS
    assert give(db) == NOW_MS + 1
    assert db.read(leaps) == [Leap(7, NOW_MS)]


def test_what_was_left_out_is_between_what_was_given(db: SyncDatabase) -> None:
    begin_at(db, 7)

    db.write(leap, now_ms=NOW_MS)

    left_out = [position for position in (6, 7, 8, NOW_MS - 1, NOW_MS, NOW_MS + 1) if db.read(is_left_out, position)]
    assert left_out == [8, NOW_MS - 1]
    assert [position for position in (7, 8, NOW_MS - 1, NOW_MS) if Leap(7, NOW_MS).holds(position)] == left_out


def test_a_log_that_is_ahead_of_the_clock_does_not_leap(db: SyncDatabase) -> None:
    begin_at(db, NOW_MS + 5)

    db.write(leap, now_ms=NOW_MS)

    assert give(db) == NOW_MS + 6
    assert db.read(leaps) == []


def test_leaps_between_which_nothing_was_written_are_one(db: SyncDatabase) -> None:
    begin_at(db, 7)

    db.write(leap, now_ms=NOW_MS)
    db.write(leap, now_ms=NOW_MS + 100)
    last = give(db)
    db.write(leap, now_ms=NOW_MS + 500)

    assert db.read(leaps) == [Leap(7, NOW_MS + 100), Leap(last, NOW_MS + 500)]


def test_leaps_beyond_the_horizon_of_syncs_are_forgotten(db: SyncDatabase) -> None:
    begin_at(db, 7)
    for number in range(3):
        db.write(leap, now_ms=NOW_MS + 1000 * number)
        give(db)
    db.write(lambda tx: tx.run(SET_HORIZON, value=NOW_MS + 1500))

    gone = db.write(sweep_leaps, 0, 10)

    assert gone == 2
    assert [one.upto for one in db.read(leaps)] == [NOW_MS + 2000]
