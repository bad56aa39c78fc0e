"""Getting out of rooms elsewhere: whether or not anybody there can be told."""

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import NotFound
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.memberships import find_membership, rooms_of_user
from tests.fakes.remote_servers import Refusal, Tamper
from tests.forked_rooms import ALICE, ONE
from tests.scenes import Scene
from tests.services.rooms.test_remote_invites import receive
from tests.services.sync.asking import sync
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import World, now

VERSIONS = ("1", "3", "11", "12")


def invited(world: World, scene: Scene) -> RoomID:
    """A room that Alice is invited to."""
    world.sync_database.write(insert_account, Account(OUR_ALICE, AccountKind.USER, 0))
    scene.last = scene.member(OUR_ALICE, "invite", sender=ALICE, after=[scene.last])
    receive(world, scene, scene.last)
    return world.others.open(scene, ONE)


def membership(world: World, room_id: RoomID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, OUR_ALICE)
    return None if found is None else found.membership


@pytest.mark.parametrize("version", VERSIONS)
def test_a_declined_invite_is_told_to_the_server_that_sent_it(world: World, version: str) -> None:
    scene = Scene(ROOM_VERSIONS[version])
    room_id = invited(world, scene)
    since = sync(world, OUR_ALICE)["next_batch"]

    now(world.anywhere.leave(OUR_ALICE, room_id, "no"))
    now(world.anywhere.leave(OUR_ALICE, room_id, "no"))

    [sent] = world.others.sent
    assert sent.content == {"membership": "leave", "reason": "no"}
    rooms = sync(world, OUR_ALICE, since)["rooms"]
    assert rooms.keys() == {"leave"}
    [shown] = rooms["leave"][room_id]["timeline"]["events"]
    assert (shown["event_id"], shown["content"]["membership"]) == (sent.event_id, "leave")
    assert membership(world, room_id) == "leave"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("failure", [Unreachable("away"), Refusal(403, "M_FORBIDDEN"), Refusal(500, "M_UNKNOWN")])
def test_an_invite_is_got_rid_of_when_nobody_can_be_told(
    world: World, version: str, failure: Unreachable | Refusal
) -> None:
    room_id = invited(world, Scene(ROOM_VERSIONS[version]))
    since = sync(world, OUR_ALICE)["next_batch"]
    world.others.failures[ONE] = failure

    now(world.anywhere.leave(OUR_ALICE, room_id, None))

    rooms = sync(world, OUR_ALICE, since)["rooms"]
    assert rooms.keys() == {"leave"}
    assert membership(world, room_id) == "leave"
    now(world.membership.forget(OUR_ALICE, room_id))
    assert world.sync_database.read(rooms_of_user, OUR_ALICE) == []


@pytest.mark.parametrize(
    "tamper",
    [
        lambda answer: {**answer, "event": {**answer["event"], "type": "m.room.power_levels"}},
        lambda answer: {**answer, "event": {**answer["event"], "content": {"membership": "join"}}},
        lambda answer: {**answer, "event": {**answer["event"], "room_id": "!other:one.example"}},
        lambda answer: {**answer, "room_version": "1"},
    ],
)
def test_nothing_is_signed_but_the_leave(world: World, tamper: Tamper) -> None:
    room_id = invited(world, Scene())
    world.others.tampers[ONE, "make_leave"] = tamper

    now(world.anywhere.leave(OUR_ALICE, room_id, None))

    assert world.others.asked_for("send_leave") == []
    assert membership(world, room_id) == "leave"


def test_who_declined_an_invite_can_be_invited_again(world: World) -> None:
    scene = Scene()
    room_id = invited(world, scene)
    now(world.anywhere.leave(OUR_ALICE, room_id, None))
    since = sync(world, OUR_ALICE)["next_batch"]

    scene.last = scene.member(OUR_ALICE, "invite", sender=ALICE, after=[scene.last])
    receive(world, scene, scene.last)

    assert sync(world, OUR_ALICE, since)["rooms"].keys() == {"invite"}


def test_an_invite_from_the_time_when_others_were_in_the_room_is_declined_through_its_servers(world: World) -> None:
    scene = Scene()
    room_id = world.others.open(scene, ONE)
    bob = OUR_ALICE.replace("alice", "bob")
    scene.last = scene.member(OUR_ALICE, "invite", sender=ALICE, after=[scene.last])
    now(world.anywhere.join(bob, room_id, None, via=[ONE]))  # type: ignore[arg-type]  # any text
    now(world.anywhere.leave(bob, room_id, None))  # type: ignore[arg-type]  # any text

    now(world.anywhere.leave(OUR_ALICE, room_id, None))

    assert world.others.asked_for("send_leave") == [ONE]
    assert membership(world, room_id) == "leave"


def test_a_room_that_one_never_had_to_do_with_cannot_be_left(world: World) -> None:
    with pytest.raises(NotFound):
        now(world.anywhere.leave(OUR_ALICE, RoomID("!nowhere:one.example"), None))
