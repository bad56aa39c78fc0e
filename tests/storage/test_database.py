"""The database's door, without its threads."""

from homeserver.storage.database import Transaction
from tests.databases import SyncDatabase


def take(tx: Transaction) -> int:
    return tx.next_ids("anything", 3)


def test_numbers_of_a_counter_are_never_given_twice(db: SyncDatabase) -> None:
    first = db.write(take)
    second = db.write(take)

    assert second >= first + 3


def test_positions_follow_one_another(db: SyncDatabase) -> None:
    given: list[int] = []

    db.write(lambda tx: tx.at_position((), lambda _, position: given.append(position)))
    db.write(lambda tx: tx.at_position((), lambda _, position: given.append(position)))

    assert given == [1, 2]
    assert db.position == 2
    assert db.read(lambda tx: tx.log_position) == 2
