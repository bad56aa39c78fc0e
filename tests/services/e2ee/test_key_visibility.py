"""Whose keys are told, where queries are limited and where they are not. MSC4263."""

from collections.abc import Iterator
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.services.errors import Forbidden
from homeserver.services.federation.serving_devices import DeviceServing
from homeserver.storage.database import Backend
from homeserver.storage.room_servers import count_members
from tests.services.e2ee.signed_keys import publish_device
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

NOBODY = UserID(f"@nobody:{SERVER}")
FAR = ServerName("far.example")


@pytest.fixture
def limited(backend: Backend) -> Iterator[World]:
    """A world whose operator limits key queries, in which Alice, Bob and Carol have devices."""
    world = World(backend, limits_key_queries=True)
    for user_id in (ALICE, BOB, CAROL):
        publish_device(world, user_id)
    yield world
    world.close()


def seen(world: World, viewer: UserID, *users: UserID) -> set[UserID]:
    """The users whom an answer mentions at all."""
    return set(now(world.device_keys.query(viewer, {user_id: [] for user_id in users})).devices)


def serving(world: World) -> DeviceServing:
    return DeviceServing(world.database, world.device_keys, world.key_visibility, SERVER)


def told(world: World, *users: UserID) -> Any:
    return set(now(serving(world).query(FAR, {user_id: [] for user_id in users})).devices)


def join_from_afar(world: World, room_id: RoomID) -> None:
    """A user of another server is in a room."""
    world.sync_database.write(count_members, room_id, {FAR: 1}, position=1, now_ms=0)


def test_without_a_limit_whoever_asks_is_told_of_everybody(world: World) -> None:
    publish_device(world, BOB)

    assert seen(world, ALICE, BOB, NOBODY) == {BOB, NOBODY}
    assert told(world, BOB, NOBODY) == {BOB, NOBODY}


def test_with_a_limit_strangers_are_left_out_like_those_who_do_not_exist(limited: World) -> None:
    limited.create_room(BOB)

    assert seen(limited, ALICE, ALICE, BOB, NOBODY) == {ALICE}


def test_with_a_limit_who_shares_a_room_is_told_whatever_their_membership(limited: World) -> None:
    room_id = limited.create_room(ALICE)
    for user_id in (BOB, CAROL):
        now(limited.membership.invite(ALICE, room_id, user_id, None))
    invited = seen(limited, ALICE, BOB, CAROL), seen(limited, BOB, ALICE)
    limited.join(BOB, room_id)
    now(limited.membership.leave(BOB, room_id, None))

    assert invited == ({BOB, CAROL}, {ALICE})
    assert seen(limited, ALICE, BOB) == {BOB}
    assert seen(limited, BOB, ALICE, CAROL) == set()  # who has left shares no room


def test_with_a_limit_who_is_in_a_public_room_is_told_to_all(limited: World) -> None:
    limited.create_room(BOB, preset="public_chat")

    assert seen(limited, ALICE, BOB, CAROL) == {BOB}
    assert told(limited, BOB, CAROL) == {BOB}


def test_with_a_limit_other_servers_are_told_of_those_who_share_a_room_and_refused_otherwise(limited: World) -> None:
    room_id = limited.create_room(ALICE)
    for users in ((ALICE,), (ALICE, NOBODY), (NOBODY,)):
        with pytest.raises(Forbidden):
            told(limited, *users)
    with pytest.raises(Forbidden):
        now(serving(limited).devices(FAR, ALICE))
    with pytest.raises(Forbidden):
        now(serving(limited).devices(FAR, NOBODY))

    join_from_afar(limited, room_id)

    assert told(limited, ALICE, BOB, NOBODY) == {ALICE}
    assert now(serving(limited).devices(FAR, ALICE))["user_id"] == ALICE
    with pytest.raises(Forbidden):
        now(serving(limited).devices(FAR, BOB))
