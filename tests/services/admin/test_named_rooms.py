"""Rooms named by their IDs or by aliases."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.named_rooms import named_room
from homeserver.services.errors import NotFound
from tests.services.world import ALICE, SERVER, World


def test_a_room_is_named_by_its_id_whether_there_is_one_or_by_an_alias_that_there_is(world: World) -> None:
    room_id = world.create_room(ALICE, alias_localpart="orchard")

    def named(room: str) -> RoomID:
        return world.sync_database.read(named_room, room)

    assert named(room_id) == named(f"#orchard:{SERVER}") == room_id
    assert named("!none:example.org") == "!none:example.org"
    with pytest.raises(NotFound):
        named(f"#none:{SERVER}")
