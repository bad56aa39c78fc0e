"""Rooms that are looked at: what happens there between a look and the wait after it is not missed."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.services.world import ALICE, World, now


def waiting(world: World, room_id: Any, position: int) -> list[bool]:
    """Wait for what happens in a room after a position; the answer, once there is one."""
    answers: list[bool] = []
    Deferred.fromCoroutine(world.peeked.wait(room_id, position, 10.0)).addCallback(answers.append)
    return answers


def test_what_happened_since_the_position_is_noticed_without_waiting(world: World) -> None:
    room_id = world.create_room(ALICE)
    before = world.database.position

    with world.peeked.following(room_id):
        world.send(ALICE, room_id)
        at_once = waiting(world, room_id, before)
        later = waiting(world, room_id, world.database.position)
        assert (at_once, later) == ([True], [])
        world.send(ALICE, room_id)
        world.clock.advance(0)

    assert later == [True]


def test_a_room_is_followed_until_the_last_follower_is_gone(world: World) -> None:
    room_id = world.create_room(ALICE)

    with world.peeked.following(room_id):
        with world.peeked.following(room_id):
            assert len(world.peeked) == 1
        answers = waiting(world, room_id, world.database.position)
        now(world.typing.set_typing(ALICE, ALICE, room_id, is_typing=True))
        world.clock.advance(10)

    assert answers == [False]
    assert len(world.peeked) == 0
