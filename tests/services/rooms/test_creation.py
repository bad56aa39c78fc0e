"""Creating rooms: presets, wishes, refusals."""

from typing import Any

import pytest

from homeserver.core.errors import EventTooLarge
from homeserver.services.errors import (
    BadAlias,
    InvalidParameter,
    InvalidRoomState,
    RemoteFailed,
    RoomInUse,
    UnsupportedVersion,
)
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.creation import InitialState
from tests.services.world import ALICE, BOB, CAROL, PHONE, World, now, shown


def state_of(world: World, room_id: Any) -> dict[tuple[str, str], Any]:
    """The room's state as its creator sees it."""
    events = [shown(event) for event in now(world.timeline.state(Viewer(ALICE, PHONE), room_id))]
    return {(event["type"], event["state_key"]): event["content"] for event in events}


@pytest.mark.parametrize(
    ("preset", "join_rule", "guest_access"),
    [
        ("private_chat", "invite", "can_join"),
        ("trusted_private_chat", "invite", "can_join"),
        ("public_chat", "public", "forbidden"),
    ],
)
def test_a_preset_sets_join_rule_visibility_and_guests(
    world: World, preset: str, join_rule: str, guest_access: str
) -> None:
    room_id = world.create_room(ALICE, preset=preset)

    state = state_of(world, room_id)
    assert state[("m.room.join_rules", "")] == {"join_rule": join_rule}
    assert state[("m.room.history_visibility", "")] == {"history_visibility": "shared"}
    assert state[("m.room.guest_access", "")] == {"guest_access": guest_access}


def test_a_room_is_one_write(world: World) -> None:
    before = world.sync_database.counts.writes

    world.create_room(ALICE, name="Room", topic="Talk", invite=[BOB, CAROL], alias_localpart="room")

    assert world.sync_database.counts.writes == before + 1


def test_in_version_12_the_creator_is_not_in_the_power_levels_and_trusted_invitees_are_creators(world: World) -> None:
    room_id = world.create_room(ALICE, preset="trusted_private_chat", invite=[BOB])

    state = state_of(world, room_id)
    assert state[("m.room.power_levels", "")]["users"] == {}
    assert state[("m.room.create", "")]["additional_creators"] == [BOB]
    assert room_id.startswith("!")
    assert ":" not in room_id


def test_before_version_12_creator_and_trusted_invitees_have_level_100(world: World) -> None:
    room_id = world.create_room(ALICE, preset="trusted_private_chat", invite=[BOB], room_version="10")

    assert state_of(world, room_id)[("m.room.power_levels", "")]["users"] == {ALICE: 100, BOB: 100}


def test_initial_state_goes_before_the_preset(world: World) -> None:
    wanted = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})

    room_id = world.create_room(ALICE, initial_state=[wanted])

    assert state_of(world, room_id)[("m.room.history_visibility", "")] == {"history_visibility": "joined"}


def test_an_alias_that_is_taken_makes_no_room(world: World) -> None:
    world.create_room(ALICE, alias_localpart="here")
    rooms = len(now(world.membership.joined_rooms(ALICE)))

    with pytest.raises(RoomInUse):
        world.create_room(ALICE, alias_localpart="here")

    assert len(now(world.membership.joined_rooms(ALICE))) == rooms


@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"room_version": "no such"}, UnsupportedVersion),
        ({"preset": "no such"}, InvalidParameter),
        ({"alias_localpart": "a\0b"}, InvalidParameter),
        ({"invite": ["@remote:elsewhere.example"]}, RemoteFailed),
        ({"name": "x" * 70_000}, EventTooLarge),
        ({"initial_state": [InitialState("m.room.create", "", {})]}, InvalidRoomState),
        ({"initial_state": [InitialState("m.room.canonical_alias", "", {"alias": "#a:b.example"})]}, BadAlias),
        ({"initial_state": [InitialState("m.room.member", BOB, {"membership": "join"})]}, InvalidRoomState),
        ({"power_levels": {"users": {BOB: 100}, "events": {"m.room.name": "high"}}}, InvalidRoomState),
        ({"power_levels": {"users": {ALICE: 50}}}, InvalidRoomState),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    world: World, wishes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        world.create_room(ALICE, **wishes)

    assert now(world.membership.joined_rooms(ALICE)) == []
