"""Receipts and read markers: who may move them, which way, for which thread, and who is told."""

from typing import Any

import orjson
import pytest

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, NotThread
from homeserver.services.events.news import AccountDataWritten, ReceiptWritten
from homeserver.services.rooms.receipts import FULLY_READ, MAIN, READ, READ_PRIVATE, Marker
from homeserver.storage.account_data import find_account_data
from homeserver.storage.events import find_event
from homeserver.storage.receipts import Receipt, find_receipt, receipts_of_rooms
from tests.services.world import ALICE, BOB, CAROL, World, now


def mark(world: World, user_id: UserID, room_id: RoomID, *markers: Marker) -> None:
    now(world.receipts.mark(user_id, room_id, markers))


def found(world: World, user_id: UserID, room_id: RoomID, kind: str = READ, thread: str | None = None) -> Any:
    receipt = world.sync_database.read(find_receipt, room_id, user_id, kind, thread)
    return None if receipt is None else receipt.event_id


def fully_read(world: World, user_id: UserID, room_id: RoomID) -> Any:
    content = world.sync_database.read(find_account_data, user_id, room_id, FULLY_READ)
    return None if content is None else orjson.loads(content)["event_id"]


def in_thread(world: World, room_id: RoomID, root: EventID) -> EventID:
    content = {"msgtype": "m.text", "body": "here", "m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    return now(world.sending.send_message(ALICE, room_id, "m.room.message", content, None))


@pytest.fixture
def room_id(world: World) -> RoomID:
    """Alice's room with Bob."""
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    return room_id


def test_a_receipt_keeps_the_place_of_its_event_and_tells_the_room(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)
    for user_id in (ALICE, BOB, CAROL):
        world.news.follow(user_id, world.database.position)
    before = world.database.position

    mark(world, BOB, room_id, Marker(READ, event_id))

    stored = world.sync_database.read(find_event, event_id)
    assert stored is not None
    position = world.database.position
    ts = world.clock.now_ms()
    assert world.sync_database.read(receipts_of_rooms, [room_id], upto=position) == [
        Receipt(room_id, BOB, READ, None, event_id, stored.place, ts, position)
    ]
    written = [ReceiptWritten(position, room_id, BOB, READ, None, event_id, ts)]
    assert world.news.since(ALICE, before) == written
    assert world.news.since(BOB, before) == written
    assert world.news.since(CAROL, before) == ()


def test_a_private_receipt_is_told_to_its_user_alone(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)
    for user_id in (ALICE, BOB):
        world.news.follow(user_id, world.database.position)
    before = world.database.position

    mark(world, BOB, room_id, Marker(READ_PRIVATE, event_id))

    assert world.news.since(ALICE, before) == ()
    assert len(world.news.since(BOB, before) or ()) == 1


def test_receipts_and_the_marker_never_move_backwards(world: World, room_id: RoomID) -> None:
    older, newer = world.send(ALICE, room_id), world.send(ALICE, room_id)
    both = [Marker(READ, newer), Marker(FULLY_READ, newer)]
    mark(world, BOB, room_id, *both)
    position = world.database.position

    mark(world, BOB, room_id, Marker(READ, older), Marker(FULLY_READ, older))
    mark(world, BOB, room_id, *both)

    assert found(world, BOB, room_id) == newer
    assert fully_read(world, BOB, room_id) == newer
    assert world.database.position == position


def test_all_markers_move_in_one_write(world: World, room_id: RoomID) -> None:
    first, second, third = (world.send(ALICE, room_id) for _ in range(3))
    world.news.follow(BOB, world.database.position)
    before, writes = world.database.position, world.sync_database.counts.writes

    mark(world, BOB, room_id, Marker(FULLY_READ, first), Marker(READ, second), Marker(READ_PRIVATE, third))

    assert fully_read(world, BOB, room_id) == first
    assert found(world, BOB, room_id) == second
    assert found(world, BOB, room_id, READ_PRIVATE) == third
    assert world.database.position == before + 1
    assert world.sync_database.counts.writes == writes + 1
    kinds = [type(change) for change in world.news.since(BOB, before) or ()]
    assert kinds == [ReceiptWritten, ReceiptWritten, AccountDataWritten]


def test_nothing_moves_when_one_of_the_events_does_not_exist(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)

    with pytest.raises(NotFound):
        mark(world, BOB, room_id, Marker(FULLY_READ, event_id), Marker(READ, EventID("$nowhere")))

    assert fully_read(world, BOB, room_id) is None


def test_only_who_is_in_the_room_may_move_a_receipt(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)
    now(world.membership.leave(BOB, room_id, None))

    for user_id, room in ((CAROL, room_id), (BOB, room_id), (ALICE, RoomID("!nowhere:example.org"))):
        with pytest.raises(Forbidden):
            mark(world, user_id, room, Marker(READ, event_id))


def test_an_event_of_another_room_is_not_found(world: World, room_id: RoomID) -> None:
    elsewhere = world.send(ALICE, world.create_room(ALICE))

    for user_id in (ALICE, BOB):
        for kind in (READ, FULLY_READ):
            with pytest.raises(NotFound):
                mark(world, user_id, room_id, Marker(kind, elsewhere))


def test_an_event_that_the_user_may_not_see_is_not_found(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    content = {"history_visibility": "joined"}
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", content))
    hidden = world.send(ALICE, room_id)
    world.join(BOB, room_id)

    with pytest.raises(NotFound):
        mark(world, BOB, room_id, Marker(READ, hidden))


def test_each_thread_has_a_receipt_of_its_own(world: World, room_id: RoomID) -> None:
    root = world.send(ALICE, room_id)
    answer = in_thread(world, room_id, root)
    after = world.send(ALICE, room_id)

    mark(world, BOB, room_id, Marker(READ, after))
    mark(world, BOB, room_id, Marker(READ, answer, root))
    mark(world, BOB, room_id, Marker(READ, root, MAIN))

    assert found(world, BOB, room_id) == after
    assert found(world, BOB, room_id, thread=root) == answer
    assert found(world, BOB, room_id, thread=MAIN) == root


def test_a_receipt_is_only_for_the_thread_that_the_event_is_in(world: World, room_id: RoomID) -> None:
    root, other = world.send(ALICE, room_id), world.send(ALICE, room_id)
    answer = in_thread(world, room_id, root)

    for event_id, thread_id in ((answer, MAIN), (answer, other), (other, root), (other, other), (root, other)):
        with pytest.raises(NotThread):
            mark(world, BOB, room_id, Marker(READ, event_id, thread_id))
    mark(world, BOB, room_id, Marker(READ, root, root))

    assert found(world, BOB, room_id, thread=root) == root
    assert len(world.sync_database.read(receipts_of_rooms, [room_id], upto=world.database.position)) == 1


def test_a_reaction_to_an_event_of_a_thread_is_in_the_thread(world: World, room_id: RoomID) -> None:
    root = world.send(ALICE, room_id)
    answer = in_thread(world, room_id, root)
    content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": answer, "key": "x"}}
    reaction = now(world.sending.send_message(ALICE, room_id, "m.reaction", content, None))

    mark(world, BOB, room_id, Marker(READ, reaction, root))

    assert found(world, BOB, room_id, thread=root) == reaction


def test_wrong_types_and_threads_are_refused(world: World, room_id: RoomID) -> None:
    event_id = world.send(ALICE, room_id)

    for marker in (Marker("m.unknown", event_id), Marker(FULLY_READ, event_id, MAIN)):
        with pytest.raises(InvalidParameter):
            mark(world, BOB, room_id, marker)
    for thread_id in ("thread", "$" + "x" * 300):
        with pytest.raises(BadIdentifier):
            mark(world, BOB, room_id, Marker(READ, event_id, thread_id))
