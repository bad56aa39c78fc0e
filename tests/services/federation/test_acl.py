"""Which servers a room lets take part."""

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.services.federation.acl import ServerAcls
from tests.services.world import ALICE, World, now

GOOD, EVIL = ServerName("good.example"), ServerName("evil.example:8448")


def allows(world: World, room_id: RoomID, server: ServerName) -> bool:
    return world.sync_database.read(ServerAcls(world.states, world.budget).allows, room_id, server)


def set_acl(world: World, room_id: RoomID, **content: object) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.server_acl", "", content))


def test_a_room_without_a_list_and_one_that_is_not_known_keep_nobody_out(world: World) -> None:
    room_id = world.create_room()

    assert allows(world, room_id, EVIL)
    assert allows(world, RoomID("!elsewhere:good.example"), EVIL)


def test_the_list_of_the_current_state_counts(world: World) -> None:
    room_id = world.create_room()
    acls = ServerAcls(world.states, world.budget)

    set_acl(world, room_id, allow=["*"], deny=["evil.example"])
    denied = world.sync_database.read(acls.allows, room_id, EVIL)
    assert world.sync_database.read(acls.allows, room_id, GOOD)
    set_acl(world, room_id, allow=["*"], deny=[])

    assert not denied
    assert world.sync_database.read(acls.allows, room_id, EVIL)
