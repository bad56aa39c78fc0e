"""Guests who have to leave."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.rooms.guest_departures import GuestDepartures
from homeserver.storage.memberships import find_membership
from tests.services.federation.others import FAY, join_remotely, remote_event, take
from tests.services.world import ALICE, BOB, World, now


@pytest.fixture
def guest(world: World) -> UserID:
    """A guest of this server."""
    return now(world.guests.register(None)).user_id


@pytest.fixture
def room_id(world: World, guest: UserID) -> RoomID:
    """A room in which the guest is, and two who are none."""
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    set_access(world, room_id, "can_join")
    for user_id in (guest, BOB):
        world.join(user_id, room_id)
    return room_id


def departures(world: World, *, are_allowed: bool = True) -> GuestDepartures:
    return GuestDepartures(world.database, world.states, world.anywhere, world.news, are_allowed=are_allowed)


def set_access(world: World, room_id: RoomID, value: str) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.guest_access", "", {"guest_access": value}))


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def test_guests_leave_when_they_are_let_in_no_more(world: World, room_id: RoomID, guest: UserID) -> None:
    leaving = departures(world)
    now(leaving.work_off())
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "of something else"}))
    now(leaving.work_off())
    assert membership(world, room_id, guest) == "join"

    set_access(world, room_id, "forbidden")
    now(leaving.work_off())

    assert [membership(world, room_id, each) for each in (guest, ALICE, BOB)] == ["leave", "join", "join"]
    [event] = world.history(ALICE, room_id, limit=1)
    assert (event["sender"], event["content"]["membership"]) == (guest, "leave")


def test_guests_leave_when_another_server_says_so(world: World, room_id: RoomID, guest: UserID) -> None:
    leaving = departures(world)
    now(leaving.work_off())
    join_remotely(world, FAY, room_id)
    levels = {"users": {ALICE: 100, FAY: 50}}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", levels))
    now(leaving.work_off())

    take(world, remote_event(world, FAY, room_id, "m.room.guest_access", {"guest_access": "forbidden"}, ""))
    now(leaving.work_off())

    assert membership(world, room_id, guest) == "leave"


@pytest.mark.parametrize("are_allowed", [True, False])
def test_what_was_said_while_nobody_looked_counts_at_the_next_start(
    world: World, room_id: RoomID, guest: UserID, are_allowed: bool
) -> None:
    set_access(world, room_id, "forbidden")

    now(departures(world, are_allowed=are_allowed).work_off())

    assert membership(world, room_id, guest) == "leave"
    assert membership(world, room_id, BOB) == "join"


def test_guests_of_the_time_when_they_were_allowed_are_not_forgotten(
    world: World, room_id: RoomID, guest: UserID
) -> None:
    leaving = departures(world, are_allowed=False)
    now(leaving.work_off())

    set_access(world, room_id, "forbidden")
    now(leaving.work_off())

    assert membership(world, room_id, guest) == "leave"


def test_a_guest_who_came_while_the_door_was_open_for_a_moment_leaves(world: World, guest: UserID) -> None:
    leaving = departures(world)
    now(leaving.work_off())
    room_id = world.create_room(ALICE, preset="public_chat")

    for value in ("forbidden", "can_join"):
        set_access(world, room_id, value)
    world.join(guest, room_id)
    set_access(world, room_id, "forbidden")
    now(leaving.work_off())

    assert membership(world, room_id, guest) == "leave"


def test_a_guest_who_has_registered_stays(world: World, room_id: RoomID, guest: UserID) -> None:
    leaving = departures(world)
    now(leaving.work_off())

    world.sync_database.write(lambda tx: tx.run("UPDATE users SET kind = 'user' WHERE user_id = :user", user=guest))
    set_access(world, room_id, "forbidden")
    now(leaving.work_off())

    assert membership(world, room_id, guest) == "join"
