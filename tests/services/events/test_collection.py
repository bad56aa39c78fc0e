"""State nodes are collected when no root names them any more, and never before."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.events.collection import NODES_PER_WRITE, StateCollection, delete_surveyed, survey_room
from homeserver.services.rooms.creation import InitialState
from homeserver.storage.database import Conflict, Transaction
from homeserver.storage.rooms import find_head, swap_head
from homeserver.storage.state_nodes import delete_nodes
from tests.durability.audit import audit
from tests.services.world import ALICE, BOB, World, now

FORGET_HISTORY = """
    UPDATE events SET root_before = NULL, root_after = NULL
     WHERE room_id = :room_id AND place < (SELECT MAX(place) FROM events WHERE room_id = :room_id)"""
FORGET_POSITIONS = """
    DELETE FROM room_roots WHERE room_id = :room_id
       AND log_position < (SELECT MAX(log_position) FROM room_roots WHERE room_id = :room_id)"""


def set_topic(world: World, room_id: RoomID, topic: str) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": topic}))


def forget_roots(tx: Transaction, room_id: RoomID) -> None:
    """What a purge of history does to a room's roots: those of the newest event and of the present stay."""
    tx.run(FORGET_HISTORY, room_id=room_id)
    tx.run(FORGET_POSITIONS, room_id=room_id)


def count_nodes(world: World, room_id: RoomID) -> int:
    def count(tx: Transaction) -> int:
        rows: int = tx.all("SELECT COUNT(*) FROM state_nodes WHERE room_id = :room_id", room_id=room_id)[0][0]
        return rows

    return world.sync_database.read(count)


@pytest.fixture
def room_id(world: World) -> RoomID:
    """A room whose state changed often."""
    state = [InitialState("org.example.count", str(number), {"n": number}) for number in range(60)]
    room_id = world.create_room(preset="public_chat", initial_state=state)
    for number in range(20):
        set_topic(world, room_id, str(number))
    return room_id


def test_nothing_is_collected_of_a_room_that_keeps_its_events(world: World, room_id: RoomID) -> None:
    before = count_nodes(world, room_id)

    collected = now(StateCollection(world.database).collect(room_id))

    assert collected == 0
    assert count_nodes(world, room_id) == before


def test_what_only_forgotten_roots_reach_is_collected(world: World, room_id: RoomID) -> None:
    other = world.create_room(BOB)
    nodes, others = count_nodes(world, room_id), count_nodes(world, other)
    world.sync_database.write(forget_roots, room_id)
    writes = world.sync_database.counts.writes

    collected = now(StateCollection(world.database).collect(room_id))

    assert 0 < collected == nodes - count_nodes(world, room_id)
    assert world.sync_database.counts.writes - writes == -(-collected // NODES_PER_WRITE)
    assert count_nodes(world, other) == others
    assert now(StateCollection(world.database).collect(room_id)) == 0
    world.send(ALICE, room_id, "the room lives on")
    set_topic(world, room_id, "after the collection")
    faults = [fault for fault in world.sync_database.read(audit) if "state before" not in fault]
    assert faults == []


def test_a_state_that_comes_back_after_the_survey_stays(world: World, room_id: RoomID) -> None:
    set_topic(world, room_id, "again")
    world.sync_database.write(forget_roots, room_id)
    surveyed = world.sync_database.read(survey_room, room_id)

    set_topic(world, room_id, "meanwhile")
    world.send(ALICE, room_id)
    collected = world.sync_database.write(delete_surveyed, room_id, surveyed, surveyed.nodes.garbage)

    assert collected > 0
    faults = [fault for fault in world.sync_database.read(audit) if "node" in fault]
    assert faults == []


def test_a_writer_who_read_the_room_before_a_collection_begins_anew(world: World, room_id: RoomID) -> None:
    world.sync_database.write(forget_roots, room_id)
    surveyed = world.sync_database.read(survey_room, room_id)

    def write_while_collecting(tx: Transaction) -> None:
        head = find_head(tx, room_id)
        assert head is not None
        delete_surveyed(tx, room_id, surveyed, surveyed.nodes.garbage)
        swap_head(tx, head)

    with pytest.raises(Conflict):
        world.sync_database.write(write_while_collecting)


def test_a_damaged_room_is_left_alone(world: World, room_id: RoomID) -> None:
    def damage(tx: Transaction) -> None:
        root = bytes(tx.all("SELECT current_root FROM rooms WHERE room_id = :room_id", room_id=room_id)[0][0])
        forget_roots(tx, room_id)
        delete_nodes(tx, room_id, [root])

    world.sync_database.write(damage)
    before = count_nodes(world, room_id)

    collected = now(StateCollection(world.database).collect(room_id))

    assert collected == 0
    assert count_nodes(world, room_id) == before
