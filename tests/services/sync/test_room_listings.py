"""What is in memory of a user's rooms is what the database says, whatever happened since it was read."""

from collections.abc import Callable

import pytest

from homeserver.services.sync.room_listings import RoomListings
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, BOB, World, now
from tests.storage.statements import CountedStatements


@pytest.fixture
def listings(world: World) -> RoomListings:
    return RoomListings(world.database, world.news, world.budget)


def read(world: World, listings: RoomListings) -> list[object]:
    """Bob's rooms by what is in memory, which must be what the database says."""
    world.news.follow(BOB, world.database.position)
    known = listings.known(BOB)
    rooms = world.sync_database.read(listings.read, BOB, known)
    assert rooms == world.sync_database.read(RoomListings(world.database, world.news, world.budget).read, BOB, None)
    return list(rooms)


def test_memory_follows_what_happens_in_the_rooms(world: World, listings: RoomListings) -> None:
    one, two = (world.create_room(ALICE, preset="public_chat", name=name) for name in ("One", "Two"))
    acts: list[Callable[[], object]] = [
        lambda: world.join(BOB, one),
        lambda: world.send(ALICE, one),
        lambda: world.create_room(ALICE, name="Three", invite=[BOB]),
        lambda: world.send(ALICE, two),
        lambda: world.join(BOB, two),
        lambda: now(world.sending.set_state(ALICE, one, "m.room.name", "", {"name": "New"})),
        lambda: now(world.membership.leave(BOB, one, None)),
        lambda: world.send(ALICE, one),
        lambda: now(world.membership.kick(ALICE, two, BOB, None)),
        lambda: world.join(BOB, one),
    ]

    counts = [len(read(world, listings))]
    for act in acts:
        act()
        counts.append(len(read(world, listings)))

    assert counts == [0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 2]


def test_what_nobody_has_heard_of_yet_is_read_from_the_database(world: World, listings: RoomListings) -> None:
    room_id = world.create_room(BOB)
    read(world, listings)
    before = listings.known(BOB)
    world.send(BOB, room_id)

    rooms = world.sync_database.read(listings.read, BOB, before)

    assert rooms == read(world, listings)


def test_only_rooms_in_which_something_happened_are_read_anew(world: World, listings: RoomListings) -> None:
    rooms = [world.create_room(BOB) for _ in range(3)]
    read(world, listings)

    def statements(tx: Transaction) -> int:
        counted = CountedStatements(tx)
        listings.read(counted, BOB, listings.known(BOB))
        return counted.count

    assert world.sync_database.read(statements) == 0
    world.send(BOB, rooms[0])
    known = listings.known(BOB)
    assert known is not None
    assert set(known.touched) == {rooms[0]}
    assert world.sync_database.read(statements) == 1
