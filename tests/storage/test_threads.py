"""Threads: which a room has, those with the newest events first."""

from typing import Any

from homeserver.core.identifiers import EventID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid
from homeserver.storage.migrations.runner import REVISIONS, statements_for
from homeserver.storage.relations import RelatedWish, related_events, remove_relation
from homeserver.storage.threads import ThreadWish, latest_threads, renew_thread
from tests.databases import SyncDatabase
from tests.storage.related_rows import ALICE, BOB, OTHER, ROOM, Child, insert_children, insert_event

FIRST, SECOND, THIRD = (EventID(name) for name in ("$first", "$second", "$third"))


def listed(
    db: SyncDatabase, *, participant: UserID | None = None, before: int = 99, limit: int = 99, **hidden: Any
) -> list[tuple[str, int]]:
    """The threads of the room; `upto` and `ignored` hide something of it."""
    wish = ThreadWish(ROOM, participant, hidden.get("upto", 99), hidden.get("ignored", ()))
    return list(db.read(latest_threads, wish, before=before, limit=limit, sees_all=not hidden))


def test_threads_are_listed_by_their_newest_events(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, FIRST), Child(4, FIRST), Child(2, SECOND), Child(3, THIRD))
    db.write(insert_children, Child(5, FIRST, "m.reference"), Child(6, SECOND, room_id=OTHER))

    assert listed(db) == [(FIRST, 4), (THIRD, 3), (SECOND, 2)]
    assert listed(db, limit=2) == [(FIRST, 4), (THIRD, 3)]
    assert listed(db, before=2) == [(SECOND, 2)]


def test_an_event_from_the_past_does_not_move_its_thread(db: SyncDatabase) -> None:
    db.write(insert_children, Child(4, FIRST), Child(3, SECOND))

    db.write(insert_children, Child(1, FIRST))

    assert listed(db) == [(FIRST, 4), (SECOND, 3)]


def test_what_is_hidden_from_the_reader_does_not_move_threads(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, FIRST), Child(2, SECOND), Child(3, THIRD, sender=BOB), Child(4, FIRST))

    assert listed(db, upto=3) == [(THIRD, 3), (SECOND, 2), (FIRST, 1)]
    assert listed(db, ignored=(BOB,)) == [(FIRST, 4), (SECOND, 2)]
    assert listed(db, ignored=(BOB,), before=3, limit=1) == [(SECOND, 2)]


def test_those_are_listed_apart_that_somebody_began_or_answered_in(db: SyncDatabase) -> None:
    db.write(insert_event, 90, FIRST, sender=BOB)
    db.write(insert_event, 91, SECOND)
    db.write(insert_children, Child(1, FIRST), Child(2, SECOND, sender=BOB), Child(3, THIRD), Child(4, SECOND))
    db.write(insert_children, Child(5, THIRD, "m.reference", sender=BOB))

    assert listed(db, participant=BOB) == [(SECOND, 4), (FIRST, 1)]
    assert listed(db, participant=BOB, upto=3) == [(SECOND, 2), (FIRST, 1)]
    assert listed(db, participant=ALICE, before=3) == [(THIRD, 3), (FIRST, 1)]


def test_a_thread_goes_with_its_last_event(db: SyncDatabase) -> None:
    db.write(insert_children, Child(1, FIRST), Child(2, SECOND), Child(3, FIRST))

    for nid, expected in ((3, [(SECOND, 2), (FIRST, 1)]), (1, [(SECOND, 2)])):
        db.write(remove_relation, EventNid(nid))
        db.write(renew_thread, ROOM, FIRST)

        assert listed(db) == expected


def test_the_revision_fills_places_and_threads_from_what_was_there(db: SyncDatabase) -> None:
    revision = next(one for one in REVISIONS if one.name == "threads")
    fills = [sql for sql in statements_for(revision.sql, db.dialect) if sql.startswith(("UPDATE", "INSERT"))]
    db.write(insert_children, Child(1, FIRST), Child(4, FIRST), Child(2, SECOND), Child(3, THIRD, "m.reference"))

    def forget(tx: Transaction) -> None:
        tx.run("UPDATE events SET place = event_nid + 10")
        tx.run("UPDATE relations SET place = 0")
        tx.run("DELETE FROM threads")

    def fill(tx: Transaction) -> None:
        for sql in fills:
            tx.run(sql)

    db.write(forget)
    db.write(fill)

    assert listed(db) == [(FIRST, 14), (SECOND, 12)]
    wish = RelatedWish(ROOM, FIRST, None, None, 1)
    found = db.read(related_events, wish, after=0, upto=99, limit=9, backwards=True)
    assert found == [("$4", 14), ("$1", 11)]
