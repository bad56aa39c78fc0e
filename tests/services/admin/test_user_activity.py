"""How much users invite others and enter rooms."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.accounts.requester import Requester
from homeserver.services.admin.user_activity import UserActivity
from homeserver.services.errors import InvalidParameter, NotFound
from tests.services.accounts.people import register
from tests.services.world import ALICE, BOB, CAROL, SERVER, World, now

HOUR_S = 3600


@pytest.fixture
def activity(world: World) -> UserActivity:
    for name in ("alice", "bob", "carol"):
        register(world, name)
    return UserActivity(world.database, SERVER)


def later(world: World) -> int:
    """Let an hour pass; the time then."""
    world.clock.advance(HOUR_S)
    return world.clock.now_ms()


def room_of(world: World, user_id: UserID) -> RoomID:
    return world.create_room(user_id, preset="public_chat")


def test_invites_are_counted_and_nothing_else_that_is_done_to_members(world: World, activity: UserActivity) -> None:
    room_id, other = room_of(world, ALICE), room_of(world, ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, None))
    since_ms = later(world)
    for _ in range(2):
        now(world.membership.invite(ALICE, other, BOB, None))
        now(world.membership.kick(ALICE, other, BOB, None))
    now(world.membership.ban(ALICE, room_id, CAROL, None))

    assert now(activity.invites_sent(ALICE, 0)) == 3
    assert now(activity.invites_sent(ALICE, since_ms)) == 2
    assert now(activity.invites_sent(ALICE, later(world))) == 0
    assert now(activity.invites_sent(BOB, 0)) == 0


def test_more_invites_are_counted_than_are_read_at_once(world: World, activity: UserActivity) -> None:
    room_id = room_of(world, ALICE)
    for _ in range(3):
        now(world.membership.invite(ALICE, room_id, BOB, None))
        now(world.membership.kick(ALICE, room_id, BOB, None))

    assert now(UserActivity(world.database, SERVER, events_per_read=2).invites_sent(ALICE, 0)) == 3


def test_rooms_are_counted_that_were_entered_since_also_those_that_were_left(
    world: World, activity: UserActivity
) -> None:
    old, left, forgotten, invited, banned = (room_of(world, ALICE) for _ in range(5))
    world.join(BOB, old)
    since_ms = later(world)
    world.join(BOB, left)
    now(world.membership.leave(BOB, left, None))
    world.join(BOB, forgotten)
    now(world.membership.leave(BOB, forgotten, None))
    now(world.membership.forget(BOB, forgotten))
    now(world.membership.invite(ALICE, invited, BOB, None))
    now(world.membership.ban(ALICE, banned, BOB, None))

    assert now(activity.rooms_joined(BOB, since_ms)) == 2
    assert now(activity.rooms_joined(BOB, 0)) == 3
    assert now(activity.rooms_joined(BOB, later(world))) == 0


def test_a_room_is_not_entered_by_changing_ones_name_in_it(world: World, activity: UserActivity) -> None:
    room_id = room_of(world, ALICE)
    world.join(BOB, room_id)
    since_ms = later(world)
    for name in ("Bob", "Bobby"):
        now(world.profiles.set_field(Requester(BOB, None, 0), BOB, "displayname", name))

    assert now(activity.rooms_joined(BOB, since_ms)) == 0
    assert now(activity.rooms_joined(BOB, 0)) == 1
    now(world.membership.leave(BOB, room_id, None))
    world.join(BOB, room_id)
    assert now(activity.rooms_joined(BOB, since_ms)) == 1


def test_times_of_any_size_are_times(world: World, activity: UserActivity) -> None:
    room_of(world, ALICE)

    for since_ms, rooms in ((-(2**70), 1), (2**70, 0)):
        assert now(activity.rooms_joined(ALICE, since_ms)) == rooms
        assert now(activity.invites_sent(ALICE, since_ms)) == 0


def test_only_users_of_this_server_are_counted(activity: UserActivity) -> None:
    for count in (activity.invites_sent, activity.rooms_joined):
        with pytest.raises(NotFound):
            now(count(UserID(f"@nobody:{SERVER}"), 0))
        with pytest.raises(InvalidParameter):
            now(count(UserID("@eve:elsewhere.example"), 0))
