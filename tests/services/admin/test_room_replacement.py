"""Rooms that administrators replace."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.admin.room_powers import RoomPowers
from homeserver.services.admin.room_replacement import RoomReplacement
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, UnsupportedVersion
from tests.services.world import ALICE, BOB, World, now

ELSEWHERE = RoomID("!there:elsewhere.example")


@pytest.fixture
def replacement(world: World) -> RoomReplacement:
    return RoomReplacement(world.event_creation, world.upgrades)


def tombstone(world: World, room_id: RoomID) -> Any:  # Any: JSON
    return now(world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.tombstone", "", whole_event=False))


def test_a_room_is_upgraded_once_in_the_name_of_the_strongest(world: World, replacement: RoomReplacement) -> None:
    room_id = world.create_room(ALICE, name="Salon", preset="public_chat", room_version="10")
    world.join(BOB, room_id)

    new_room = now(replacement.upgrade(room_id, "12"))

    assert now(replacement.upgrade(room_id, "12")) == new_room
    assert tombstone(world, room_id)["replacement_room"] == new_room
    name = now(world.timeline.state_event(world.viewer(ALICE), new_room, "m.room.name", "", whole_event=False))
    assert name == {"name": "Salon"}


def test_a_room_is_closed_in_favour_of_one_elsewhere(world: World, replacement: RoomReplacement) -> None:
    room_id = world.create_room(ALICE)

    first = now(replacement.close(room_id, ELSEWHERE, "Moved"))

    assert now(replacement.close(room_id, ELSEWHERE, "Moved")) == first
    assert tombstone(world, room_id) == {"body": "Moved", "replacement_room": ELSEWHERE}


def test_a_room_is_not_replaced_by_somebody_whom_nobody_hears(world: World, replacement: RoomReplacement) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    world.join(BOB, room_id)
    world.shadow_bans.note(ALICE, is_banned=True)

    with pytest.raises(Forbidden, match="may replace it"):
        now(replacement.upgrade(room_id, "12"))
    now(RoomPowers(world.event_creation).set_level(room_id, BOB, 100))
    new_room = now(replacement.upgrade(room_id, "12"))

    assert tombstone(world, room_id)["replacement_room"] == new_room
    create = now(world.timeline.state_event(world.viewer(BOB), new_room, "m.room.create", "", whole_event=False))
    assert create is not None


def test_what_cannot_be_is_refused(world: World, replacement: RoomReplacement) -> None:
    room_id, powerless = world.create_room(ALICE), world.create_room(ALICE, room_version="11")
    levels = {"users": {ALICE: 40}, "events": {"m.room.tombstone": 50}}
    now(world.sending.set_state(ALICE, powerless, "m.room.power_levels", "", levels))

    for refused in (replacement.upgrade(powerless, "12"), replacement.close(powerless, ELSEWHERE, None)):
        with pytest.raises(Forbidden, match="may replace it"):
            now(refused)
    with pytest.raises(InvalidParameter):
        now(replacement.close(room_id, room_id, None))
    with pytest.raises(InvalidParameter):
        now(replacement.close(room_id, ELSEWHERE, "x" * 5_000))
    with pytest.raises(UnsupportedVersion):
        now(replacement.upgrade(room_id, "99"))
    with pytest.raises(NotFound):
        now(replacement.upgrade(RoomID("!none:example.org"), "12"))
