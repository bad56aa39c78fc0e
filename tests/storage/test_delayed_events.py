"""Delayed events, as stored."""

from dataclasses import replace

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.storage.delayed_events import (
    FINALISED_KEPT_MS,
    Delayed,
    Finalised,
    Outcome,
    Reason,
    count_scheduled,
    delayed_contents,
    delayed_events_of_user,
    due_events,
    finalise_delayed_event,
    find_delayed_event,
    forget_finalised,
    insert_delayed_event,
    next_due_ms,
    restart_delayed_event,
    sweep,
)
from tests.databases import SyncDatabase

ALICE = UserID("@alice:example.org")
BOB = UserID("@bob:example.org")
ONE = Delayed("one", ALICE, RoomID("!room"), "m.room.message", None, 100, 1_000)
TWO = replace(ONE, delay_id="two", state_key="", delay_ms=50)
OF_BOB = replace(ONE, delay_id="three", user_id=BOB, delay_ms=200)
SENT = Finalised(1_060, Outcome.SENT, Reason.DELAY, event_id=EventID("$event"))
FAILED = Finalised(1_070, Outcome.FAILED, Reason.DELAY, error={"errcode": "M_FORBIDDEN", "error": "no"})


def keep(db: SyncDatabase, *events: Delayed) -> None:
    for event in events:
        db.write(insert_delayed_event, event, b'{"n":1}')


def test_what_is_due_is_found_in_order_until_it_is_finalised(db: SyncDatabase) -> None:
    keep(db, ONE, TWO, OF_BOB)

    assert db.read(due_events, now_ms=1_049, limit=9) == []
    assert db.read(due_events, now_ms=1_200, limit=9) == ["two", "one", "three"]
    assert db.read(due_events, now_ms=1_200, limit=1) == ["two"]
    assert db.read(next_due_ms) == 1_050
    db.write(finalise_delayed_event, "two", SENT)
    assert db.read(due_events, now_ms=1_150, limit=9) == ["one"]
    assert db.read(next_due_ms) == 1_100
    assert db.read(count_scheduled, ALICE) == (1, 1_100)
    assert db.read(count_scheduled, UserID("@carol:example.org")) == (0, None)


def test_events_are_read_as_they_were_written(db: SyncDatabase) -> None:
    keep(db, ONE, TWO, OF_BOB)
    db.write(finalise_delayed_event, "one", SENT)
    db.write(finalise_delayed_event, "two", FAILED)

    assert db.read(find_delayed_event, "one") == replace(ONE, finalised=SENT)
    assert db.read(find_delayed_event, "two") == replace(TWO, finalised=FAILED)
    assert db.read(find_delayed_event, "four") is None
    assert {one.delay_id for one in db.read(delayed_events_of_user, ALICE)} == {"one", "two"}
    assert db.read(delayed_contents, ["one", "four"]) == {"one": b'{"n":1}'}
    assert db.read(delayed_contents, []) == {}


def test_a_restart_puts_an_event_off_and_cannot_revive_one(db: SyncDatabase) -> None:
    keep(db, ONE, TWO)
    db.write(finalise_delayed_event, "two", FAILED)

    for delay_id in ("one", "two"):
        db.write(restart_delayed_event, delay_id, now_ms=5_000)

    assert db.read(find_delayed_event, "one") == replace(ONE, running_since_ms=5_000)
    assert db.read(next_due_ms) == 5_100
    assert db.read(find_delayed_event, "two") == replace(TWO, finalised=FAILED)


def test_an_end_is_final(db: SyncDatabase) -> None:
    keep(db, ONE)
    db.write(finalise_delayed_event, "one", SENT)

    db.write(finalise_delayed_event, "one", FAILED)

    assert db.read(find_delayed_event, "one") == replace(ONE, finalised=SENT)


def test_of_what_became_of_events_the_latest_is_kept_for_a_week(db: SyncDatabase) -> None:
    events = [replace(ONE, delay_id=str(number)) for number in range(4)]
    keep(db, *events, OF_BOB)
    for number in range(3):
        db.write(finalise_delayed_event, str(number), replace(SENT, at_ms=number))
    db.write(finalise_delayed_event, "three", SENT)

    db.write(forget_finalised, ALICE, kept=2)
    assert {one.delay_id for one in db.read(delayed_events_of_user, ALICE)} == {"1", "2", "3"}

    assert db.write(sweep, FINALISED_KEPT_MS + 2, 9) == 1
    assert {one.delay_id for one in db.read(delayed_events_of_user, ALICE)} == {"2", "3"}
    assert db.read(find_delayed_event, "three") is not None
