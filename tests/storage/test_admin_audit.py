"""What administrators did, as stored."""

from dataclasses import replace

import apsw
import psycopg2
import pytest

from homeserver.storage.admin_audit import Act, End, NotedAct, Wanted, insert_act, insert_end, newest_acts
from homeserver.storage.database import Transaction
from tests.databases import SyncDatabase

LOCK = Act("@root:example.org", "PUT /lock/{userId}", "@eve:example.org", '{"body":{"locked":true}}')
BLOCK = Act("owner", "PUT /block/{roomId}", "!room", "{}")
FORCED = [
    "UPDATE admin_audit SET actor = '@eve:example.org'",
    "DELETE FROM admin_audit",
    "DELETE FROM admin_audit WHERE position = 1",
]
REPLACE = {
    "sqlite": "INSERT OR REPLACE INTO admin_audit (position, at_ms, actor, act, details) VALUES (1, 0, '', '', '')",
    "postgresql": "TRUNCATE admin_audit",
}


def acts(db: SyncDatabase, wanted: Wanted = Wanted(), before: int | None = None, limit: int = 9) -> list[NotedAct]:
    return list(db.read(newest_acts, wanted, before=before, limit=limit))


def test_acts_are_read_with_their_ends_the_newest_first_a_page_at_a_time(db: SyncDatabase) -> None:
    first = db.write(insert_act, LOCK, at_ms=10)
    second = db.write(insert_act, BLOCK, at_ms=20)
    db.write(insert_end, first, LOCK, End(403, "M_FORBIDDEN"), at_ms=30)

    locked = NotedAct(first, 10, LOCK, End(403, "M_FORBIDDEN"), 30)
    blocked = NotedAct(second, 20, BLOCK, None, None)
    assert (first, second) == (1, 2)
    assert acts(db) == [blocked, locked]
    assert acts(db, limit=1) == [blocked]
    assert acts(db, before=second) == [locked]
    assert acts(db, before=first) == []


def test_acts_are_found_by_who_did_what_to_whom_and_when(db: SyncDatabase) -> None:
    for at_ms, act in ((10, LOCK), (20, BLOCK), (30, replace(LOCK, act="PUT /suspend/{userId}"))):
        position = db.write(insert_act, act, at_ms=at_ms)
        db.write(insert_end, position, act, End(200, None), at_ms=at_ms + 1)

    def found(wanted: Wanted) -> list[int]:
        return [noted.at_ms for noted in acts(db, wanted)]

    assert found(Wanted(actor="@root:example.org")) == [30, 10]
    assert found(Wanted(target="!room")) == [20]
    assert found(Wanted(act="PUT /lock/{userId}")) == [10]
    assert found(Wanted(since_ms=20)) == [30, 20]
    assert found(Wanted(until_ms=20)) == [20, 10]
    assert found(Wanted(actor="@root:example.org", target="!room")) == []


def test_an_act_has_one_end(db: SyncDatabase) -> None:
    position = db.write(insert_act, LOCK, at_ms=10)
    db.write(insert_end, position, LOCK, End(200, None), at_ms=11)

    with pytest.raises((apsw.ConstraintError, psycopg2.errors.UniqueViolation)):
        db.write(insert_end, position, LOCK, End(403, "M_FORBIDDEN"), at_ms=12)


@pytest.mark.parametrize("number", range(len(FORCED) + 1))
def test_the_database_refuses_to_change_what_is_written(db: SyncDatabase, number: int) -> None:
    db.write(insert_act, LOCK, at_ms=10)
    written = acts(db)

    def force(tx: Transaction) -> None:
        tx.run([*FORCED, REPLACE[tx.dialect.name]][number])

    with pytest.raises((apsw.ConstraintError, psycopg2.errors.RaiseException), match="is only added to"):
        db.write(force)
    assert acts(db) == written
