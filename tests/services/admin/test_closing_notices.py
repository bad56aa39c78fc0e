"""Rooms that tell of others that were closed."""

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.services.admin.closing_notices import DEFAULT_MESSAGE, DEFAULT_NAME, ClosingNotices
from tests.services.world import ALICE, BOB, World, now


def test_everybody_may_read_it_and_nobody_else_may_speak(world: World) -> None:
    notices = ClosingNotices(world.rooms, world.event_creation)
    room_id = now(notices.create(ALICE, None, None, lambda _, new_room_id: new_room_id))
    world.join(BOB, room_id)

    history = world.history(BOB, room_id)

    said = {event["type"]: event["content"] for event in history}
    assert said["m.room.message"]["body"] == DEFAULT_MESSAGE
    assert said["m.room.name"]["name"] == DEFAULT_NAME
    with pytest.raises(AuthRejected):
        world.send(BOB, room_id)
