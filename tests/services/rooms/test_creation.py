"""Creating rooms: presets, wishes, refusals."""

from typing import Any

import pytest

from homeserver.core.errors import BadJson, EventTooLarge
from homeserver.services.errors import (
    BadAlias,
    InvalidParameter,
    InvalidRoomState,
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
        ({"name": "x" * 70_000}, EventTooLarge),
        ({"initial_state": [InitialState("m.room.create", "", {})]}, InvalidRoomState),
        ({"initial_state": [InitialState("m.room.canonical_alias", "", {"alias": "#a:b.example"})]}, BadAlias),
        ({"initial_state": [InitialState("m.room.member", BOB, {"membership": "join"})]}, InvalidRoomState),
        ({"power_levels": {"users": {BOB: 100}, "events": {"m.room.name": "high"}}}, InvalidRoomState),
        ({"power_levels": {"users": {ALICE: 50}}}, InvalidRoomState),
        ({"alias_localpart": ""}, InvalidParameter),
        ({"alias_localpart": "x" * 250}, InvalidParameter),
        ({"creation_content": {"additional_creators": "bob"}}, InvalidRoomState),
        ({"creation_content": {"additional_creators": ["bob"]}}, InvalidRoomState),
        ({"creation_content": {"additional_creators": [{}]}}, InvalidRoomState),
        (
            {"creation_content": {"additional_creators": [{}]}, "preset": "trusted_private_chat", "invite": [BOB]},
            InvalidParameter,
        ),
        ({"creation_content": {"number": 1.5}}, BadJson),
        ({"creation_content": {"text": "x" * 70_000}}, EventTooLarge),
        ({"topic": "x" * 70_000}, EventTooLarge),
        ({"initial_state": [InitialState("with a \0", "", {})]}, BadJson),
        ({"initial_state": [InitialState("m.room.topic", "\0", {})]}, BadJson),
        ({"initial_state": [InitialState("t" * 256, "", {})]}, EventTooLarge),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    world: World, wishes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        world.create_room(ALICE, **wishes)

    assert now(world.membership.joined_rooms(ALICE)) == []


def test_the_server_keeps_what_it_says_itself_of_a_new_room(world: World) -> None:
    hostile = {"room_version": "1", "creator": BOB, "m.federate": False, "type": "m.space", "predecessor": 17}

    old = state_of(world, world.create_room(ALICE, creation_content=hostile, room_version="10"))
    new = state_of(world, world.create_room(ALICE, creation_content=hostile, room_version="11"))

    kept = {"m.federate": False, "type": "m.space", "predecessor": 17}
    assert old[("m.room.create", "")] == {**kept, "room_version": "10", "creator": ALICE}
    assert new[("m.room.create", "")] == {**kept, "room_version": "11"}


def test_power_levels_of_the_initial_state_stand_as_they_were_given(world: World) -> None:
    levels = {"users": {ALICE: 100, BOB: 60}, "invite": 10}

    room_id = world.create_room(
        ALICE, room_version="10", initial_state=[InitialState("m.room.power_levels", "", levels)], name="Room"
    )

    assert state_of(world, room_id)[("m.room.power_levels", "")] == levels
    types = [event["type"] for event in reversed(world.history(ALICE, room_id))]
    assert types[2] == "m.room.power_levels"
    assert types[-2:] == ["m.room.power_levels", "m.room.name"]


@pytest.mark.parametrize("override", [{}, {"events": {"m.room.name": 10}}, {"state_default": 200}])
def test_in_version_12_only_creators_replace_the_room(world: World, override: dict[str, Any]) -> None:
    room_id = world.create_room(ALICE, room_version="12", power_levels=override)

    levels = state_of(world, room_id)[("m.room.power_levels", "")]
    assert levels["events"]["m.room.tombstone"] > levels["state_default"]


def test_who_makes_a_room_is_not_invited_to_it(world: World) -> None:
    room_id = world.create_room(ALICE, invite=[ALICE, BOB, BOB], is_direct=True)

    members = {key[1]: content for key, content in state_of(world, room_id).items() if key[0] == "m.room.member"}
    assert members[ALICE]["membership"] == "join"
    assert members[BOB] == {"membership": "invite", "is_direct": True}


def test_name_and_topic_win_over_the_initial_state(world: World) -> None:
    initial = [InitialState("m.room.name", "", {"name": "no"}), InitialState("m.room.topic", "", {"topic": "no"})]

    state = state_of(world, world.create_room(ALICE, name="yes", topic="yes", initial_state=initial))

    assert state[("m.room.name", "")]["name"] == state[("m.room.topic", "")]["topic"] == "yes"


def test_a_new_alias_may_be_listed_in_the_initial_state_too(world: World) -> None:
    aliases = {"alias": "#here:example.org", "alt_aliases": ["#here:example.org"]}
    initial = [InitialState("m.room.canonical_alias", "", aliases)]

    room_id = world.create_room(ALICE, alias_localpart="here", initial_state=initial)

    assert state_of(world, room_id)[("m.room.canonical_alias", "")] == aliases
