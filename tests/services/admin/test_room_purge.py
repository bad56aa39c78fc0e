"""What a purge leaves in memory: nothing."""

from homeserver.services.admin.room_purge import RoomPurge
from homeserver.storage.events import events_by_id
from homeserver.storage.purged_rooms import locals_in_room
from tests.services.world import ALICE, World, now


def purge_of(world: World, forgotten: list[str]) -> RoomPurge:
    forgetting = (world.notifying.forget_room, world.news.forget_room, forgotten.append)
    return RoomPurge(world.database, world.event_cache, world.formats, forgetting)


def test_no_event_of_the_room_is_found_in_memory_afterwards(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    event_id, kept = world.send(ALICE, room_id), world.send(ALICE, other)
    read_before = world.sync_database.read(events_by_id, [event_id])[event_id]
    forgotten: list[str] = []
    purge = purge_of(world, forgotten)
    now(world.anywhere.leave(ALICE, room_id, None))

    closed = now(purge.close(room_id))
    in_memory = world.event_cache.get(event_id)
    world.event_cache.put(read_before)  # by a reader who had begun before
    while now(purge.purge_some(room_id)).is_more:
        pass
    purge.reopen(room_id)

    assert closed
    assert in_memory is None
    assert world.event_cache.get(event_id) is None
    assert world.event_cache.get(kept) is not None
    assert set(forgotten) == {room_id}


def test_a_room_is_not_closed_over_the_heads_of_its_members(world: World) -> None:
    room_id = world.create_room(ALICE)

    closed = now(purge_of(world, []).close(room_id))

    assert not closed
    assert world.sync_database.read(locals_in_room, room_id, limit=5) == [ALICE]
    world.send(ALICE, room_id)
