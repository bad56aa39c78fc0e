"""Joining, inviting, leaving, kicking, banning, forgetting."""

import pytest

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID
from homeserver.services.errors import BadState, Forbidden, NotFound, RemoteFailed, StillJoined
from tests.services.world import ALICE, BOB, CAROL, World, now


def test_an_invited_user_may_join_a_private_room_and_nobody_else(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.membership.invite(ALICE, room_id, BOB, "come"))

    world.join(BOB, room_id)

    assert now(world.membership.joined_rooms(BOB)) == [room_id]
    with pytest.raises(AuthRejected):
        world.join(CAROL, room_id)


def test_joining_twice_changes_nothing(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    events = len(world.history(BOB, room_id))

    world.join(BOB, room_id)

    assert len(world.history(BOB, room_id)) == events


def test_a_room_is_joined_by_its_alias(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", alias_localpart="here")

    joined = now(world.membership.join(BOB, "#here:example.org", None))

    assert joined == room_id
    with pytest.raises(NotFound):
        now(world.membership.join(BOB, "#nowhere:example.org", None))


def test_a_kicked_user_may_come_back_and_a_banned_one_may_not(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)

    now(world.membership.kick(ALICE, room_id, BOB, "bye"))
    world.join(BOB, room_id)
    now(world.membership.ban(ALICE, room_id, BOB, None))

    with pytest.raises(AuthRejected):
        world.join(BOB, room_id)
    now(world.membership.unban(ALICE, room_id, BOB, None))
    world.join(BOB, room_id)


def test_only_who_is_banned_can_be_unbanned_and_only_who_is_there_kicked(world: World) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(BadState):
        now(world.membership.unban(ALICE, room_id, BOB, None))
    with pytest.raises(Forbidden):
        now(world.membership.kick(ALICE, room_id, BOB, None))


def test_leaving_twice_is_one_leave(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)

    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.leave(BOB, room_id, None))

    leaves = [event for event in world.history(ALICE, room_id) if event["content"].get("membership") == "leave"]
    assert len(leaves) == 1


def test_a_room_is_forgotten_only_after_it_was_left(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)

    with pytest.raises(StillJoined):
        now(world.membership.forget(BOB, room_id))
    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.forget(BOB, room_id))

    with pytest.raises(Forbidden):
        world.history(BOB, room_id)
    with pytest.raises(NotFound):
        now(world.membership.forget(BOB, RoomID("!nowhere:example.org")))


def test_users_of_other_servers_are_not_invited_without_asking_them(world: World) -> None:
    room_id = world.create_room(ALICE)

    with pytest.raises(RemoteFailed):
        now(world.membership.invite(ALICE, room_id, "@x:elsewhere.example", None))  # type: ignore[arg-type]  # any text


def test_a_member_of_an_allowed_room_may_join_a_restricted_one(world: World) -> None:
    space = world.create_room(ALICE, preset="public_chat")
    room_id = world.create_room(ALICE)
    allow = [{"type": "m.room_membership", "room_id": space}]
    rules = {"join_rule": "restricted", "allow": allow}
    now(world.sending.set_state(ALICE, room_id, "m.room.join_rules", "", rules))
    world.join(BOB, space)

    world.join(BOB, room_id)

    with pytest.raises(Forbidden):
        world.join(CAROL, room_id)
    newest = world.history(BOB, room_id)[0]
    assert newest["content"]["join_authorised_via_users_server"] == ALICE
