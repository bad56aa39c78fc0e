"""Whose keys a client must ask for anew, and whose it may forget."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.news import DeviceListWritten
from homeserver.storage.rooms import SYNC_HORIZON_MS, sweep_roots
from tests.services.e2ee.signed_keys import Listener, publish_device
from tests.services.world import ALICE, BOB, CAROL, World, now


def since(world: World, position: int, user_id: UserID = ALICE) -> tuple[set[UserID], set[UserID]]:
    return now(world.device_lists.changes_since(user_id, position))


def leave(world: World, user_id: UserID, room_id: RoomID) -> None:
    now(world.membership.leave(user_id, room_id, None))


@pytest.fixture
def room_id(world: World) -> RoomID:
    return world.create_room(ALICE, preset="public_chat")


def test_nothing_changed_where_nothing_happened(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)

    assert since(world, world.database.position) == (set(), set())


def test_who_shares_a_room_and_changed_is_changed_and_nobody_else(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    before = world.database.position

    publish_device(world, BOB)
    publish_device(world, CAROL)

    assert since(world, before) == ({BOB}, set())
    assert since(world, before, BOB) == ({BOB}, set())
    assert since(world, before, CAROL) == ({CAROL}, set())
    assert since(world, world.database.position) == (set(), set())


def test_ones_own_change_counts_in_no_room_too(world: World) -> None:
    publish_device(world, ALICE)

    assert since(world, 0) == ({ALICE}, set())


def test_who_joins_is_changed_for_those_in_the_room_and_they_for_the_one_who_joins(
    world: World, room_id: RoomID
) -> None:
    world.join(BOB, room_id)
    before = world.database.position

    world.join(CAROL, room_id)

    assert since(world, before) == ({CAROL}, set())
    assert since(world, before, CAROL) == ({ALICE, BOB}, set())


def test_who_leaves_the_last_shared_room_has_left_on_both_sides(world: World, room_id: RoomID) -> None:
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    before = world.database.position

    leave(world, BOB, room_id)

    assert since(world, before) == (set(), {BOB})
    assert since(world, before, BOB) == (set(), {ALICE, CAROL})


def test_who_leaves_one_of_two_shared_rooms_has_not_left(world: World, room_id: RoomID) -> None:
    other = world.create_room(ALICE, preset="public_chat")
    for room in (room_id, other):
        world.join(BOB, room)
    before = world.database.position

    leave(world, BOB, room_id)

    assert since(world, before) == (set(), set())
    assert since(world, before, BOB) == (set(), set())


def test_changes_after_the_end_of_sharing_are_not_told(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    leave(world, BOB, room_id)
    before = world.database.position

    publish_device(world, BOB)

    assert since(world, before) == (set(), set())


def test_who_comes_and_goes_in_between_is_no_change(world: World, room_id: RoomID) -> None:
    before = world.database.position

    world.join(BOB, room_id)
    leave(world, BOB, room_id)

    assert since(world, before) == (set(), set())
    assert since(world, before, BOB) == (set(), set())


def test_who_leaves_and_comes_back_has_not_left(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    before = world.database.position

    leave(world, BOB, room_id)
    world.join(BOB, room_id)

    assert since(world, before)[1] == set()
    assert since(world, before, BOB)[1] == set()


def test_who_was_away_in_between_is_changed_for_others_and_they_for_the_one_who_was_away(
    world: World, room_id: RoomID
) -> None:
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    before = world.database.position

    leave(world, BOB, room_id)
    leave(world, CAROL, room_id)
    world.join(BOB, room_id)

    assert since(world, before) == ({BOB}, {CAROL})
    assert since(world, before, BOB) == ({ALICE}, {CAROL})


def test_both_leaving_have_left_each_other(world: World, room_id: RoomID) -> None:
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    before = world.database.position

    leave(world, BOB, room_id)
    leave(world, ALICE, room_id)

    assert since(world, before) == (set(), {BOB, CAROL})
    assert since(world, before, BOB) == (set(), {ALICE, CAROL})
    assert since(world, before, CAROL) == (set(), {ALICE, BOB})


def test_who_left_before_one_joined_was_never_there(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    before = world.database.position

    leave(world, BOB, room_id)
    world.join(CAROL, room_id)

    assert since(world, before, CAROL) == ({ALICE}, set())


def test_who_is_invited_is_changed_for_those_in_the_room_and_they_not_for_the_one_who_is(world: World) -> None:
    room_id = world.create_room(ALICE)
    before = world.database.position

    now(world.membership.invite(ALICE, room_id, BOB, None))

    assert since(world, before) == ({BOB}, set())
    assert since(world, before, BOB) == (set(), set())
    assert since(world, world.database.position) == (set(), set())


def test_a_change_of_who_is_invited_is_told_to_those_in_the_room_and_theirs_not_to_the_one_who_is(
    world: World,
) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    before = world.database.position
    alice, bob = Listener(world, ALICE), Listener(world, BOB)

    publish_device(world, BOB)
    of_bob = DeviceListWritten(world.database.position, BOB)
    publish_device(world, ALICE)

    assert of_bob in alice.heard()
    assert bob.heard() == [of_bob]
    assert since(world, before) == ({ALICE, BOB}, set())
    assert since(world, before, BOB) == ({BOB}, set())


def test_who_was_invited_and_joins_is_changed_for_servers_tell_more_of_who_is_joined(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    before = world.database.position

    world.join(BOB, room_id)

    assert since(world, before) == ({BOB}, set())
    assert since(world, before, BOB) == ({ALICE}, set())


def test_who_comes_into_a_room_learns_of_those_who_are_invited(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    now(world.membership.invite(ALICE, room_id, BOB, None))
    before = world.database.position

    world.join(CAROL, room_id)

    assert since(world, before, CAROL) == ({ALICE, BOB}, set())


def test_who_declines_an_invite_has_left(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    before = world.database.position

    leave(world, BOB, room_id)

    assert since(world, before) == (set(), {BOB})
    assert since(world, before, BOB) == (set(), set())


def test_who_leaves_a_room_is_left_by_those_who_are_invited(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    now(world.membership.invite(ALICE, room_id, CAROL, None))
    before = world.database.position

    leave(world, BOB, room_id)

    assert since(world, before, BOB) == (set(), {ALICE, CAROL})


def test_a_banned_user_has_left(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    before = world.database.position

    now(world.membership.ban(ALICE, room_id, BOB, None))

    assert since(world, before) == (set(), {BOB})


def test_a_position_of_the_future_has_no_changes(world: World, room_id: RoomID) -> None:
    publish_device(world, ALICE)

    assert since(world, world.database.position + 1000) == (set(), set())


def test_since_before_what_is_remembered_everybody_may_have_changed(world: World, room_id: RoomID) -> None:
    world.join(BOB, room_id)
    now(world.membership.invite(ALICE, room_id, CAROL, None))
    world.clock.advance(SYNC_HORIZON_MS // 1000 + 10)
    world.send(ALICE, room_id)
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "new"}))
    world.clock.advance(SYNC_HORIZON_MS // 1000 + 10)
    world.sync_database.write(sweep_roots, world.clock.now_ms(), 1000)

    assert since(world, 0) == ({ALICE, BOB, CAROL}, set())
