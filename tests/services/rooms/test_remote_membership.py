"""Users of this server in rooms wherever they are: which way is taken, by names too, and by several at once."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import RoomAlias, RoomID, UserID
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import Forbidden, NotFound, RemoteFailed
from homeserver.storage.blocked_rooms import Block, block_room
from homeserver.storage.memberships import find_membership
from tests.forked_rooms import BOB as BOB_OF_TWO
from tests.forked_rooms import ONE, TWO
from tests.scenes import Scene
from tests.services.world import ALICE, BOB, World, now


def membership(world: World, user_id: UserID, room_id: RoomID) -> str | None:
    found = world.sync_database.read(find_membership, room_id, user_id)
    return None if found is None else found.membership


def test_a_room_elsewhere_is_joined_by_its_name(world: World) -> None:
    scene = Scene()
    scene.join_in_turn(BOB_OF_TWO)
    room_id = world.others.open(scene, TWO)
    world.others.aliases["#name:one.example"] = (room_id, [TWO])

    joined = now(world.anywhere.join(ALICE, "#name:one.example", None))

    assert joined == room_id
    assert world.others.asked_for("make_join") == [TWO]
    assert membership(world, ALICE, room_id) == "join"


def test_a_name_that_its_server_does_not_know_or_tells_nonsense_of_leads_nowhere(world: World) -> None:
    with pytest.raises(NotFound):
        now(world.anywhere.join(ALICE, "#name:one.example", None))
    world.others.failures[TWO] = Unreachable("away")
    with pytest.raises(RemoteFailed):
        now(world.anywhere.join(ALICE, "#name:two.example", None))
    world.others.aliases["#odd:one.example"] = (RoomID("no room"), [])
    with pytest.raises(RemoteFailed):
        now(world.anywhere.join(ALICE, "#odd:one.example", None))


def test_what_a_server_says_of_a_name_is_remembered_for_a_minute(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    world.others.aliases["#name:one.example"] = (room_id, [])
    alias = world.aliases

    answers = [now(alias.resolve("#name:one.example")) for _ in range(2)]  # type: ignore[arg-type]  # any text
    world.clock.advance(61)
    now(alias.resolve("#name:one.example"))  # type: ignore[arg-type]  # any text

    assert answers == [(room_id, [ONE])] * 2
    assert world.others.asked_for("query") == [ONE, ONE]


def test_who_joins_by_a_name_comes_into_the_room_that_it_names_now(world: World) -> None:
    old, new = (world.others.open(Scene(ROOM_VERSIONS[version]), ONE) for version in ("11", "12"))
    alias = RoomAlias("#name:one.example")
    world.others.aliases[alias] = (old, [])
    assert now(world.aliases.resolve(alias)) == (old, [ONE])
    world.others.aliases[alias] = (new, [])

    assert now(world.anywhere.join(ALICE, alias, None)) == new

    assert now(world.aliases.resolve(alias)) == (new, [ONE])


def test_a_room_that_nobody_is_known_to_be_in_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        now(world.anywhere.join(ALICE, "!nowhere:one.example", None))

    assert world.others.asked == []


def test_a_room_of_this_server_is_joined_here_even_when_everybody_has_left(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")

    now(world.anywhere.join(BOB, room_id, None, via=[ONE]))
    for user_id in (ALICE, BOB):
        now(world.membership.leave(user_id, room_id, None))
    now(world.anywhere.join(BOB, room_id, None, via=[ONE]))

    assert world.others.asked == []
    assert membership(world, BOB, room_id) == "join"


def test_of_two_users_who_come_at_once_one_brings_the_room_and_the_other_finds_it_here(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    gate: Deferred[None] = Deferred()
    world.others.held[ONE] = gate

    first = Deferred.fromCoroutine(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    second = Deferred.fromCoroutine(world.anywhere.join(BOB, room_id, None, via=[ONE]))
    del world.others.held[ONE]
    gate.callback(None)

    assert (first.result, second.result) == (room_id, room_id)
    assert world.others.asked_for("make_join") == [ONE]
    assert {membership(world, user_id, room_id) for user_id in (ALICE, BOB)} == {"join"}


def test_nobody_comes_into_a_room_that_is_blocked_here(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    now(world.anywhere.leave(ALICE, room_id, None))
    world.sync_database.write(block_room, room_id, Block(None, 0))
    asked = len(world.others.asked)

    for coming in (world.anywhere.join, world.anywhere.knock):
        with pytest.raises(Forbidden):
            now(coming(BOB, room_id, None, via=[ONE]))

    assert len(world.others.asked) == asked
