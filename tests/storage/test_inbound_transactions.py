"""What other servers sent, as it is kept."""

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.storage.inbound_transactions import (
    KEPT_MS,
    NewPDU,
    StagedAmount,
    find_answer,
    first_staged,
    forget_staged,
    insert_answer,
    note_message,
    stage_pdus,
    staged_amounts,
    sweep_messages,
    sweep_transactions,
)
from tests.databases import SyncDatabase

A, B = ServerName("a.example"), ServerName("b.example")
ROOM, OTHER = RoomID("!room:a.example"), RoomID("!other:a.example")


def test_an_answer_is_found_by_its_server_and_transaction(db: SyncDatabase) -> None:
    db.write(insert_answer, A, "t1", b"first", now_ms=1)
    db.write(insert_answer, B, "t1", b"second", now_ms=1)

    assert db.read(find_answer, A, "t1") == b"first"
    assert db.read(find_answer, B, "t1") == b"second"
    assert db.read(find_answer, A, "t2") is None


def test_the_oldest_answers_of_a_server_are_forgotten_and_those_of_others_are_not(db: SyncDatabase) -> None:
    db.write(insert_answer, B, "t0", b"", now_ms=1, most=2)
    for number in range(4):
        db.write(insert_answer, A, f"t{number}", b"", now_ms=1, most=2)

    assert [number for number in range(4) if db.read(find_answer, A, f"t{number}") is not None] == [2, 3]
    assert db.read(find_answer, B, "t0") is not None


def test_a_message_is_new_once_for_each_server(db: SyncDatabase) -> None:
    assert db.write(note_message, A, "m", now_ms=1)
    assert not db.write(note_message, A, "m", now_ms=2)
    assert db.write(note_message, B, "m", now_ms=2)


def test_the_oldest_messages_of_a_server_are_forgotten(db: SyncDatabase) -> None:
    for number in range(3):
        assert db.write(note_message, A, f"m{number}", now_ms=1, most=2)

    assert db.write(note_message, A, "m0", now_ms=1, most=2)
    assert not db.write(note_message, A, "m2", now_ms=1, most=2)


def test_events_come_back_by_room_in_the_order_in_which_they_came(db: SyncDatabase) -> None:
    db.write(stage_pdus, A, [NewPDU(ROOM, b"1"), NewPDU(OTHER, b"2"), NewPDU(ROOM, b"3")], now_ms=5)
    db.write(stage_pdus, B, [NewPDU(ROOM, b"4")], now_ms=6)
    db.write(stage_pdus, B, [], now_ms=7)

    staged = db.read(first_staged, ROOM, limit=10)

    assert [(one.origin, one.received_ms, one.pdu) for one in staged] == [(A, 5, b"1"), (A, 5, b"3"), (B, 6, b"4")]
    assert [one.pdu for one in db.read(first_staged, ROOM, limit=2)] == [b"1", b"3"]


def test_what_was_judged_is_forgotten(db: SyncDatabase) -> None:
    db.write(stage_pdus, A, [NewPDU(ROOM, b"1"), NewPDU(ROOM, b"22"), NewPDU(OTHER, b"333")], now_ms=5)
    first, _ = db.read(first_staged, ROOM, limit=10)

    db.write(forget_staged, [first.number])

    amounts = {amount.room_id: amount for amount in db.read(staged_amounts)}
    assert amounts == {ROOM: StagedAmount(ROOM, A, 1, 2), OTHER: StagedAmount(OTHER, A, 1, 3)}


def test_answers_and_messages_go_after_a_day(db: SyncDatabase) -> None:
    db.write(insert_answer, A, "old", b"", now_ms=1)
    db.write(insert_answer, A, "new", b"", now_ms=3)
    db.write(note_message, A, "old", now_ms=1)
    db.write(note_message, A, "new", now_ms=3)

    assert db.write(sweep_transactions, KEPT_MS + 2, 10) == 1
    assert db.write(sweep_messages, KEPT_MS + 2, 10) == 1

    assert db.read(find_answer, A, "old") is None
    assert db.read(find_answer, A, "new") is not None
    assert not db.write(note_message, A, "new", now_ms=4)
