"""Rooms that two users share, page by page."""

from homeserver.services.rooms.mutual_rooms import Acquaintance, MutualRooms
from tests.services.world import ALICE, BOB, World, now


def test_many_rooms_come_page_by_page(world: World) -> None:
    rooms = sorted(world.create_room(ALICE, preset="public_chat") for _ in range(5))
    for room_id in rooms:
        world.join(BOB, room_id)
    acquaintance = Acquaintance(world.database, rooms_per_page=2)

    pages = [now(acquaintance.with_user(ALICE, BOB, None))]
    while pages[-1].next_batch is not None:
        pages.append(now(acquaintance.with_user(ALICE, BOB, pages[-1].next_batch)))

    assert pages == [
        MutualRooms(rooms[0:2], 5, rooms[1]),
        MutualRooms(rooms[2:4], 5, rooms[3]),
        MutualRooms(rooms[4:], 5, None),
    ]
    assert now(Acquaintance(world.database).with_user(ALICE, BOB, None)) == MutualRooms(rooms, 5, None)
