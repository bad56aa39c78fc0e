"""What another server gives of a room: put aside without filling memory, and put in place whatever its size."""

import tracemalloc
from typing import Any, Final

import orjson
import pytest

from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.services.rooms.given_rooms import Given, TooManyEvents
from homeserver.storage.room_servers import servers_in_room
from tests.services.federation.large_rooms import ONE, TWO, LargeRoom
from tests.services.world import SERVER, World

# Any: JSON.

COUNT: Final = 500


def event(number: int) -> dict[str, Any]:
    return {"type": "m.room.member", "content": {"displayname": f"number {number}"}, "unsigned": [{}] * 40}


def test_what_is_put_aside_takes_little_more_than_its_bytes() -> None:
    given = Given(2 * COUNT)
    written = len(orjson.dumps(event(0)))

    tracemalloc.start()
    for number in range(COUNT):
        given.take("state", event(number))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken < COUNT * (written + 200)
    assert list(given.state_events()) == [event(number) for number in range(COUNT)]


@pytest.mark.parametrize("odd", [{"n": 2**70}, {"n": -(2**64)}, {"n": [1.5, 1e300]}, "text", None, [[]]])
def test_what_is_put_aside_comes_out_as_it_was(odd: Any) -> None:
    given = Given(1)

    given.take("pdus", odd)

    assert list(given.state_events()) == [odd]


def test_no_more_is_put_aside_than_a_room_can_have() -> None:
    given = Given(2)
    given.take("state", {})
    given.take("auth_chain", {})

    with pytest.raises(TooManyEvents):
        given.take("auth_chain", {})


@pytest.mark.parametrize("version", ["1", "2", "10", "12"])
def test_a_large_state_that_is_given_as_a_whole_is_put_in_place_in_steps(world: World, version: str) -> None:
    room = LargeRoom(world, ROOM_VERSIONS[version])
    world.others.large.clear()
    world.given_rooms.most_at_once = 1
    writes = world.database.counts.writes

    join = room.join()

    in_steps = world.database.counts.writes - writes
    assert not room.head.is_partial
    assert not room.is_looked_for
    assert world.others.asked_for("state") == []
    assert room.state() == dict(room.scene.after(join))
    assert room.is_whole(room.find(join.event_id).root_before or b"")
    assert world.sync_database.read(servers_in_room, room.room_id) == {ONE, TWO, SERVER}
    assert room.rows("SELECT is_given FROM room_servers WHERE room_id = :room_id AND is_given") == []
    assert in_steps > 5


def test_what_is_given_as_a_whole_needs_nobody_to_look_for_the_rest(world: World) -> None:
    room = LargeRoom(world)
    world.others.large.clear()
    world.given_rooms.most_at_once = 1
    told: list[str] = []
    world.partial_rooms.tell_of_rooms(told.append)

    room.join()

    assert told == []
    assert room.room_id not in world.partial_rooms
