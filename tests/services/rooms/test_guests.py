"""Where guests may be."""

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import GuestAccessForbidden
from homeserver.storage.memberships import find_membership
from tests.forked_rooms import ALICE as REMOTE_ALICE
from tests.forked_rooms import ONE
from tests.scenes import Scene
from tests.services.world import ALICE, BOB, World, now


@pytest.fixture
def guest(world: World) -> UserID:
    """A guest of this server."""
    return now(world.guests.register(None)).user_id


def set_access(world: World, room_id: RoomID, value: object) -> None:
    content = {} if value is None else {"guest_access": value}
    now(world.sending.set_state(ALICE, room_id, "m.room.guest_access", "", content))


def membership(world: World, room_id: RoomID, user_id: UserID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


@pytest.mark.parametrize("value", ["forbidden", None, "CAN_JOIN", True, ["can_join"]])
def test_a_guest_comes_only_into_rooms_that_let_guests_in(world: World, guest: UserID, value: object) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    set_access(world, room_id, value)
    join = {"membership": "join"}

    with pytest.raises(GuestAccessForbidden):
        now(world.successors.join(guest, room_id, None))
    with pytest.raises(GuestAccessForbidden):
        now(world.sending.set_state(guest, room_id, "m.room.member", guest, join))
    assert membership(world, room_id, guest) is None
    world.join(BOB, room_id)

    set_access(world, room_id, "can_join")
    now(world.successors.join(guest, room_id, None))
    assert membership(world, room_id, guest) == "join"


def test_an_invite_lets_no_guest_into_a_room_without_guests(world: World, guest: UserID) -> None:
    room_id = world.create_room(ALICE, preset="private_chat", invite=[guest])
    set_access(world, room_id, "forbidden")

    with pytest.raises(GuestAccessForbidden):
        now(world.successors.join(guest, room_id, None))
    set_access(world, room_id, "can_join")
    now(world.successors.join(guest, room_id, None))

    assert membership(world, room_id, guest) == "join"


def test_a_guest_does_nothing_to_the_membership_of_others_and_does_not_knock(world: World, guest: UserID) -> None:
    levels = {"users": {ALICE: 100, guest: 100}}
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11", power_levels=levels)
    set_access(world, room_id, "can_join")
    now(world.successors.join(guest, room_id, None))
    world.join(BOB, room_id)

    for target, change in ((BOB, "ban"), (BOB, "leave"), (UserID("@carol:example.org"), "invite"), (guest, "knock")):
        with pytest.raises(GuestAccessForbidden):
            now(world.sending.set_state(guest, room_id, "m.room.member", target, {"membership": change}))

    now(world.sending.set_state(guest, room_id, "m.room.member", guest, {"membership": "join", "displayname": "Me"}))
    now(world.sending.set_state(guest, room_id, "m.room.topic", "", {"topic": "by a guest"}))
    now(world.sending.set_state(guest, room_id, "m.room.member", guest, {"membership": "leave"}))
    assert membership(world, room_id, guest) == "leave"
    assert membership(world, room_id, BOB) == "join"


@pytest.mark.parametrize("value", ["can_join", "forbidden", None])
def test_a_guest_stays_in_a_room_elsewhere_only_if_it_lets_guests_in(
    world: World, guest: UserID, value: str | None
) -> None:
    scene = Scene()
    if value is not None:
        access = {"guest_access": value}
        scene.last = scene.send(REMOTE_ALICE, "m.room.guest_access", access, after=[scene.last])
    room_id = world.others.open(scene, ONE)

    if value == "can_join":
        now(world.successors.join(guest, room_id, None, via=[ONE]))
    else:
        with pytest.raises(GuestAccessForbidden):
            now(world.successors.join(guest, room_id, None, via=[ONE]))

    assert membership(world, room_id, guest) == ("join" if value == "can_join" else "leave")
