"""Whoever looks for the rest of rooms is told when there is something to look for."""

from homeserver.core.identifiers import RoomID
from tests.services.world import World

ROOM: RoomID = RoomID("!room:one.example")
OTHER: RoomID = RoomID("!other:one.example")


def test_while_the_rest_of_a_room_is_at_hand_nobody_is_told_to_look_for_it_unless_it_is_not_put_in_place(
    world: World,
) -> None:
    told: list[RoomID] = []
    world.partial_rooms.tell_of_rooms(told.append)

    with world.partial_rooms.with_rest_at_hand(ROOM):
        world.partial_rooms.begin(ROOM)
        world.partial_rooms.begin(OTHER)
        assert told == [OTHER]
        world.partial_rooms.end(ROOM)
    assert told == [OTHER]

    with world.partial_rooms.with_rest_at_hand(ROOM):
        world.partial_rooms.begin(ROOM)
    assert told == [OTHER, ROOM]
