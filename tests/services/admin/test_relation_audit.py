"""What events relate to, and which threads there are, is what the events say; what is not is found."""

import pytest

from homeserver.core.identifiers import RoomID
from tests.services.admin.damaged import fault_of_damaged
from tests.services.admin.own_keys import OwnKeys
from tests.services.admin.test_unread_audit import say
from tests.services.world import ALICE, SERVER, World

# A room with a thread is made once; each damage is undone.


@pytest.fixture(scope="module")
def room(shared_world: World) -> tuple[World, RoomID]:
    world = shared_world
    room_id = world.create_room(ALICE)
    root = say(world, room_id, "root")
    for _ in range(2):
        answer = say(world, room_id, "answer", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    say(world, room_id, "seen", **{"m.relates_to": {"rel_type": "m.annotation", "event_id": answer, "key": "+"}})
    say(world, room_id, "referring", **{"m.relates_to": {"rel_type": "m.reference", "event_id": root}})
    return world, room_id


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE rooms SET last_place = last_place", "None"),
        ("DELETE FROM relations WHERE rel_type = 'm.annotation'", "it is said to relate to nothing, not to $"),
        ("UPDATE relations SET rel_type = 'm.thread' WHERE rel_type = 'm.annotation'", "as m.thread (+)"),
        ("UPDATE relations SET aggregation_key = '-' WHERE rel_type = 'm.annotation'", "m.annotation (-)"),
        ("UPDATE relations SET place = place + 1 WHERE rel_type = 'm.annotation'", "it is said to relate to $"),
        ("UPDATE relations SET event_nid = -1 WHERE rel_type = 'm.reference'", "it is said to relate to nothing"),
        ("UPDATE events SET thread_id = '$other' WHERE thread_id IS NOT NULL", "it is said to be in the thread $other"),
        ("UPDATE events SET thread_id = '$other' WHERE thread_id IS NULL", "it is said to be in the thread $other"),
        ("UPDATE threads SET latest_place = latest_place - 1", "the newest event of $"),
        ("UPDATE threads SET root_id = '$other'", "the newest event of $"),
        ("DELETE FROM threads", "is said to be at None, and is at"),
    ],
)
def test_what_is_noted_otherwise_than_it_was_said_is_found(room: tuple[World, RoomID], sql: str, reason: str) -> None:
    world, room_id = room

    assert reason in fault_of_damaged(world, room_id, OwnKeys(SERVER, world.key), sql)
