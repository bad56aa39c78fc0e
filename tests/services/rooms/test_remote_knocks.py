"""Knocks on the doors of rooms here and elsewhere."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import Forbidden, NotFound, RemoteFailed
from homeserver.services.rooms.ended_knocks import ATTEMPTS, BETWEEN_S
from homeserver.storage.accounts import Account, AccountKind, insert_account
from homeserver.storage.memberships import find_membership
from tests.fakes.remote_servers import Refusal, Tamper
from tests.forked_rooms import ALICE, BOB, ONE, TWO
from tests.scenes import Scene
from tests.services.rooms.test_remote_invites import receive
from tests.services.sync.asking import sync
from tests.services.world import ALICE as OUR_ALICE
from tests.services.world import BOB as OUR_BOB
from tests.services.world import World, now


def membership(world: World, room_id: RoomID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, OUR_ALICE)
    return None if found is None else found.membership


@pytest.mark.parametrize("version", ["7", "10", "11", "12"])
def test_a_knock_elsewhere_is_shown_and_may_lead_in(world: World, version: str) -> None:
    world.sync_database.write(insert_account, Account(OUR_ALICE, AccountKind.USER, 0))
    scene = Scene(ROOM_VERSIONS[version], join_rule="knock")
    room_id = world.others.open(scene, ONE)
    since = sync(world, OUR_ALICE)["next_batch"]

    assert now(world.anywhere.knock(OUR_ALICE, room_id, "please", via=[TWO, ONE])) == room_id
    assert now(world.anywhere.knock(OUR_ALICE, room_id, "please", via=[TWO, ONE])) == room_id

    [sent] = world.others.sent
    assert sent.content == {"membership": "knock", "reason": "please"}
    shown = sync(world, OUR_ALICE, since)["rooms"]["knock"][room_id]["knock_state"]["events"]
    assert [event["type"] for event in shown] == ["m.room.create", "m.room.join_rules", "m.room.member"]
    scene.last = scene.member(OUR_ALICE, "invite", sender=ALICE, after=[scene.last])
    receive(world, scene, scene.last)
    assert sync(world, OUR_ALICE, since)["rooms"].keys() == {"invite"}
    with pytest.raises(Forbidden):
        now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))
    now(world.anywhere.join(OUR_ALICE, room_id, None))
    assert membership(world, room_id) == "join"


def test_a_knock_elsewhere_is_taken_back(world: World) -> None:
    scene = Scene(join_rule="knock")
    room_id = world.others.open(scene, ONE)
    now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))

    now(world.anywhere.leave(OUR_ALICE, room_id, None))

    assert [event.content["membership"] for event in world.others.sent] == ["knock", "leave"]
    assert membership(world, room_id) == "leave"


def test_a_knock_is_refused_by_the_server_through_which_it_came(world: World) -> None:
    scene = Scene(join_rule="knock")
    room_id = world.others.open(scene, ONE)
    now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))
    refusal = scene.member(OUR_ALICE, "leave", sender=ALICE, after=[scene.last])

    assert now(world.remote_invites.hear(room_id, refusal.pdu))

    assert membership(world, room_id) == "leave"


def knocking(world: World) -> tuple[Scene, RoomID]:
    """A room of two servers, where Bob may refuse, on the door of which Alice knocks through the first."""
    scene = Scene(join_rule="knock")
    scene.last = scene.member(BOB, "invite", sender=ALICE, after=[scene.last])
    scene.join_in_turn(BOB)
    scene.last = scene.power_levels({BOB: 50}, after=[scene.last])
    room_id = world.others.open(scene, ONE, TWO)
    now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))
    return scene, room_id


def test_a_knock_is_refused_by_another_server_when_that_through_which_it_came_says_so_too(world: World) -> None:
    scene, room_id = knocking(world)
    refusal = scene.last = scene.member(OUR_ALICE, "leave", sender=BOB, after=[scene.last])
    since = sync(world, OUR_ALICE)["next_batch"]

    assert now(world.remote_invites.hear(room_id, refusal.pdu))

    assert membership(world, room_id) == "leave"
    assert sync(world, OUR_ALICE, since)["rooms"]["leave"].keys() == {room_id}


def test_a_refusal_that_comes_here_first_is_believed_when_the_other_server_has_it(world: World) -> None:
    scene, room_id = knocking(world)
    refusal = scene.member(OUR_ALICE, "leave", sender=BOB, after=[scene.last])

    hearing = Deferred.fromCoroutine(world.remote_invites.hear(room_id, refusal.pdu))
    assert membership(world, room_id) == "knock"
    scene.last = refusal
    world.clock.advance(BETWEEN_S)

    assert hearing.result is True
    assert membership(world, room_id) == "leave"


@pytest.mark.parametrize("failure", [None, Unreachable("away"), Refusal(404, "M_NOT_FOUND")])
def test_what_another_server_says_alone_does_not_end_a_knock(world: World, failure: Exception | None) -> None:
    scene, room_id = knocking(world)
    lie = scene.member(OUR_ALICE, "leave", sender=BOB, after=[scene.last])
    if failure is not None:
        world.others.failures[ONE] = failure  # type: ignore[assignment]  # one of the two kinds

    for _ in range(20):
        hearing = Deferred.fromCoroutine(world.remote_invites.hear(room_id, lie.pdu))
        world.clock.advance(BETWEEN_S)
        assert hearing.result is False

    assert membership(world, room_id) == "knock"
    assert len(world.others.asked_for("make_leave")) <= ATTEMPTS


@pytest.mark.parametrize(
    "tamper",
    [
        lambda answer: {**answer, "event": {**answer["event"], "content": {"membership": "join"}}},
        lambda answer: {**answer, "event": {**answer["event"], "type": "m.room.power_levels"}},
        lambda answer: {**answer, "event": {**answer["event"], "sender": "@bob:example.org"}},
        lambda answer: {**answer, "event": {**answer["event"], "prev_events": []}},
    ],
)
def test_nothing_is_signed_but_the_knock(world: World, tamper: Tamper) -> None:
    room_id = world.others.open(Scene(join_rule="knock"), ONE)
    world.others.tampers[ONE, "make_knock"] = tamper

    with pytest.raises(RemoteFailed):
        now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))

    assert world.others.asked_for("send_knock") == []
    assert membership(world, room_id) is None


def test_where_one_may_not_knock_a_knock_is_refused(world: World) -> None:
    room_id = world.others.open(Scene(join_rule="invite"), ONE)

    with pytest.raises(Forbidden):
        now(world.anywhere.knock(OUR_ALICE, room_id, None, via=[ONE]))
    with pytest.raises(NotFound):
        now(world.anywhere.knock(OUR_ALICE, "!nowhere:one.example", None))


def test_one_knocks_on_the_door_of_a_room_here(world: World) -> None:
    room_id = world.create_room(OUR_BOB)
    with pytest.raises(AuthRejected):
        now(world.anywhere.knock(OUR_ALICE, room_id, None))
    now(world.sending.set_state(OUR_BOB, room_id, "m.room.join_rules", "", {"join_rule": "knock"}))

    now(world.anywhere.knock(OUR_ALICE, room_id, "please"))
    now(world.anywhere.knock(OUR_ALICE, room_id, "please"))

    assert membership(world, room_id) == "knock"
    assert room_id in sync(world, OUR_ALICE)["rooms"]["knock"]
    knocks = [event for event in world.history(OUR_BOB, room_id) if event["content"].get("membership") == "knock"]
    assert [event["content"]["reason"] for event in knocks] == ["please"]
