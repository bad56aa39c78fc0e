"""For how long rooms keep what is said in them, as administrators see and set it."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.retention import RetentionPolicy
from homeserver.services.admin.retention import RoomRetention, RoomRetentions
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.storage.room_lifetimes import Expired, note_expired
from tests.services.world import ALICE, World, now

DAY_MS = 86_400_000


@pytest.fixture
def retentions(world: World) -> RoomRetentions:
    world.lifetimes.policy = RetentionPolicy(is_enabled=True, default_ms=30 * DAY_MS, shortest_ms=DAY_MS)
    return RoomRetentions(world.database, world.event_creation, world.lifetimes)


def test_a_room_is_set_and_shown_and_set_back(world: World, retentions: RoomRetentions) -> None:
    room_id = world.create_room(ALICE)

    by_default = now(retentions.of_room(room_id))
    event_id = now(retentions.set_room(room_id, 7 * DAY_MS))
    again = now(retentions.set_room(room_id, 7 * DAY_MS))
    for_a_week = now(retentions.of_room(room_id))
    now(retentions.set_room(room_id, 1_000))
    for_a_second = now(retentions.of_room(room_id))
    now(retentions.set_room(room_id, None))

    assert by_default == RoomRetention(None, 30 * DAY_MS, 0)
    assert event_id == again
    assert for_a_week == RoomRetention(7 * DAY_MS, 7 * DAY_MS, 0)
    assert for_a_second == RoomRetention(1_000, DAY_MS, 0)
    assert now(retentions.of_room(room_id)) == by_default


def test_the_server_tells_its_policy_and_what_came_of_it(world: World, retentions: RoomRetentions) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    now(retentions.set_room(room_id, 7 * DAY_MS))
    world.sync_database.write(note_expired, other, Expired(1, 2, 5))

    server = now(retentions.of_server())

    assert (server.policy, server.rooms, server.removed) == (retentions.policy, 1, 5)


def test_what_cannot_be_set_is_refused(world: World, retentions: RoomRetentions) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.leave(ALICE, room_id, None))

    for wrong in (0, -1, 2**52):
        with pytest.raises(InvalidParameter):
            now(retentions.set_room(room_id, wrong))
    with pytest.raises(Forbidden):
        now(retentions.set_room(room_id, DAY_MS))
    with pytest.raises(NotFound):
        now(retentions.of_room(RoomID("!none:example.org")))
