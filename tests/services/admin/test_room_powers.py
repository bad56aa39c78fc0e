"""Power that administrators give and take, in the name of users of this server who are in the room."""

from typing import Any

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.admin.room_powers import RoomPowers
from homeserver.services.errors import Forbidden, NotFound
from tests.services.world import ALICE, BOB, CAROL, World, now

NO_POWER_TO_GIVE = {"users": {ALICE: 40}, "events": {"m.room.power_levels": 50}}
LOUD = {"users": {ALICE: 100, CAROL: 20}, "events_default": -3, "events": {"m.reaction": -7, "m.thing": "9"}}


@pytest.fixture
def powers(shared_world: World) -> RoomPowers:
    return RoomPowers(shared_world.event_creation)


def content(world: World, room_id: RoomID) -> Any:  # Any: JSON
    return now(world.timeline.state_event(world.viewer(ALICE), room_id, "m.room.power_levels", "", whole_event=False))


def set_levels(world: World, room_id: RoomID, levels: dict[str, Any]) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))


@pytest.mark.parametrize("version", ["1", "11", "12"])
def test_a_user_is_given_a_level_and_then_that_of_everybody(
    shared_world: World, powers: RoomPowers, version: str
) -> None:
    room_id = shared_world.create_room(ALICE, room_version=version)

    given = now(powers.set_level(room_id, BOB, 50))
    after = content(shared_world, room_id)["users"]
    taken = now(powers.set_level(room_id, BOB, None))

    assert (given, after[BOB], taken) == (50, 50, 0)
    assert BOB not in content(shared_world, room_id)["users"]


def test_who_has_the_level_already_keeps_it_without_an_event(shared_world: World, powers: RoomPowers) -> None:
    room_id = shared_world.create_room(ALICE)
    now(powers.set_level(room_id, BOB, 50))
    before = shared_world.history(ALICE, room_id)

    now(powers.set_level(room_id, BOB, 50))
    now(powers.set_level(room_id, CAROL, None))

    assert shared_world.history(ALICE, room_id) == before


@pytest.mark.parametrize(("levels", "silent"), [({}, -1), (LOUD, -8)])
def test_who_is_muted_can_send_nothing(
    shared_world: World, powers: RoomPowers, levels: dict[str, Any], silent: int
) -> None:
    room_id = shared_world.create_room(ALICE, preset="public_chat", room_version="9")
    shared_world.join(BOB, room_id)
    set_levels(shared_world, room_id, {"users": {ALICE: 100}, **levels})

    assert now(powers.mute(room_id, BOB)) == silent
    assert now(powers.mute(room_id, BOB)) == silent

    for event_type in ("m.room.message", "m.reaction"):
        with pytest.raises(AuthRejected):
            now(shared_world.sending.send_message(BOB, room_id, event_type, {"body": "x"}, None))
    assert content(shared_world, room_id)["users"] == {**levels.get("users", {ALICE: 100}), BOB: silent}


def test_what_is_beyond_all_local_power_is_refused(shared_world: World, powers: RoomPowers) -> None:
    room_id = shared_world.create_room(ALICE, room_version="11")
    set_levels(shared_world, room_id, NO_POWER_TO_GIVE)
    created = shared_world.create_room(ALICE, room_version="12")

    for user_id, level in ((BOB, 10), (ALICE, 100)):
        with pytest.raises(Forbidden, match="No user of this server in the room has the power"):
            now(powers.set_level(room_id, user_id, level))
    with pytest.raises(Forbidden):
        now(powers.mute(created, ALICE))
    with pytest.raises(NotFound):
        now(powers.mute(RoomID("!none:example.org"), UserID("@eve:elsewhere.example")))
