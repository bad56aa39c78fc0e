"""How far servers have got, and what is on its way to them."""

from dataclasses import replace

from homeserver.core.identifiers import ServerName
from homeserver.storage.outboxes import (
    StoredOutbox,
    StoredTransaction,
    deliveries,
    find_outboxes,
    mark_behind,
    move_outgoing_position,
    outboxes_after,
    outgoing_position,
    pending_outboxes,
    store_outboxes,
)
from homeserver.storage.to_device_outbox import OutboxPlace
from tests.databases import SyncDatabase

A, B, C = (ServerName(f"{name}.example") for name in "abc")
UNDER_WAY = StoredTransaction("id", 1_000, 7, (3, 5, 7), b'[{"edu_type":"m.test"}]', OutboxPlace(6, "message"))
IDLE = StoredOutbox(A, 7, 2_000, is_behind=False, transaction=None)


def test_an_outbox_comes_back_as_it_was_stored(db: SyncDatabase) -> None:
    outboxes = [
        IDLE,
        StoredOutbox(B, 2, None, is_behind=True, transaction=UNDER_WAY),
        StoredOutbox(C, 3, 4, is_behind=False, transaction=replace(UNDER_WAY, pdus=(), to_device=None)),
    ]

    db.write(store_outboxes, outboxes)

    assert db.read(outboxes_after, "", limit=10) == outboxes
    assert db.read(outboxes_after, A, limit=1) == [outboxes[1]]
    assert db.read(find_outboxes, [B, ServerName("none.example")]) == {B: outboxes[1]}
    assert {one.destination for one in db.read(pending_outboxes)} == {B, C}


def test_what_is_stored_again_takes_the_place_of_what_was_there_but_for_when_something_arrived(
    db: SyncDatabase,
) -> None:
    db.write(store_outboxes, [replace(IDLE, transaction=UNDER_WAY)])

    db.write(store_outboxes, [replace(IDLE, delivered_upto=9, delivered_ms=None)])

    assert db.read(find_outboxes, [A]) == {A: replace(IDLE, delivered_upto=9)}


def test_a_mark_leaves_all_else_as_it_was(db: SyncDatabase) -> None:
    db.write(store_outboxes, [replace(IDLE, transaction=UNDER_WAY)])

    db.write(mark_behind, [StoredOutbox(one, 1, None, is_behind=True, transaction=None) for one in (A, B)])

    assert db.read(find_outboxes, [A, B]) == {
        A: replace(IDLE, is_behind=True, transaction=UNDER_WAY),
        B: StoredOutbox(B, 1, None, is_behind=True, transaction=None),
    }


def test_the_position_moves_forward_alone(db: SyncDatabase) -> None:
    assert db.read(outgoing_position) == 0
    for position in (5, 3):
        db.write(move_outgoing_position, position)

    assert db.read(outgoing_position) == 5


def test_what_was_delivered_to_whom_is_found_by_a_part_of_the_name(db: SyncDatabase) -> None:
    large = ServerName("B_B.Example:8448")
    db.write(store_outboxes, [IDLE, replace(IDLE, destination=B, delivered_ms=None), replace(IDLE, destination=large)])

    assert db.read(deliveries, "") == {A: 7, B: None, large: 7}
    assert db.read(deliveries, "b_b.E") == {large: 7}
    assert db.read(deliveries, "b%") == {}
