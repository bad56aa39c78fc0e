"""Typing: for oneself, in rooms that one is in, for a while."""

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import Forbidden
from homeserver.services.rooms.typing import Typing
from tests.services.world import ALICE, BOB, CAROL, World, now


def types(world: World, user_id: UserID, room_id: RoomID, *, is_typing: bool = True, ms: int | None = None) -> None:
    now(world.typing.set_typing(user_id, user_id, room_id, is_typing=is_typing, timeout_ms=ms))


@pytest.fixture
def room_id(world: World) -> RoomID:
    """Alice's room with Bob."""
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    return room_id


def test_members_are_told_who_types_and_others_are_not(world: World, room_id: RoomID) -> None:
    other = world.create_room(CAROL)

    types(world, ALICE, room_id)
    types(world, BOB, room_id)
    types(world, CAROL, other)

    assert world.typing.typing_since(BOB, 0) == [(room_id, [ALICE, BOB])]
    assert world.typing.typing_since(ALICE, 1) == [(room_id, [ALICE, BOB])]
    assert world.typing.typing_since(CAROL, 0) == [(other, [CAROL])]
    assert world.typing.typing_since(BOB, world.typing.serial) == []


def test_members_are_woken_by_a_change_and_only_by_a_change(world: World, room_id: RoomID) -> None:
    def woken_by_typing(*, is_typing: bool) -> bool:
        waiting = Deferred.fromCoroutine(world.bell.wait(BOB, 1.0))
        results: list[bool] = []
        waiting.addCallback(results.append)
        types(world, ALICE, room_id, is_typing=is_typing)
        world.clock.advance(1.5)
        return results[0]

    outcomes = [woken_by_typing(is_typing=is_typing) for is_typing in (True, True, False, False)]

    assert outcomes == [True, False, True, False]
    assert world.typing.serial == 2


def test_typing_ends_when_its_time_is_over_and_not_before(world: World, room_id: RoomID) -> None:
    types(world, ALICE, room_id, ms=10_000)
    world.clock.advance(9)
    types(world, ALICE, room_id, ms=10_000)
    serial = world.typing.serial

    world.clock.advance(9.5)
    still = world.typing.typing_since(BOB, 0)
    world.clock.advance(1)

    assert still == [(room_id, [ALICE])]
    assert world.typing.typing_since(BOB, serial) == [(room_id, [])]


@pytest.mark.parametrize(
    ("asked_ms", "lasts_ms"), [(None, 30_000), (-5, 1_000), (0, 1_000), (10**12, 120_000), (2_000, 2_000)]
)
def test_the_time_is_within_bounds(world: World, room_id: RoomID, asked_ms: int | None, lasts_ms: int) -> None:
    types(world, ALICE, room_id, ms=asked_ms)

    world.clock.advance((lasts_ms - 1) / 1000)
    before = world.typing.typing_since(BOB, 0)
    world.clock.advance(0.002)

    assert before == [(room_id, [ALICE])]
    assert world.typing.typing_since(BOB, 0) == [(room_id, [])]


def test_nobody_types_for_another_or_in_a_room_of_others(world: World, room_id: RoomID) -> None:
    for is_typing in (True, False):
        with pytest.raises(Forbidden):
            now(world.typing.set_typing(BOB, ALICE, room_id, is_typing=is_typing))
    for room in (room_id, RoomID("!nowhere:example.org")):
        with pytest.raises(Forbidden):
            types(world, CAROL, room)

    assert world.typing.serial == 0


def test_who_leaves_types_no_more_and_is_told_no_more(world: World, room_id: RoomID) -> None:
    types(world, ALICE, room_id)
    types(world, BOB, room_id)
    serial = world.typing.serial

    now(world.membership.kick(ALICE, room_id, BOB, None))

    assert world.typing.typing_since(ALICE, serial) == [(room_id, [ALICE])]
    assert world.typing.typing_since(BOB, 0) == []
    with pytest.raises(Forbidden):
        types(world, BOB, room_id)


def test_who_joins_is_told_who_types(world: World, room_id: RoomID) -> None:
    types(world, ALICE, room_id)
    serial = world.typing.serial

    world.join(CAROL, room_id)

    assert world.typing.typing_since(CAROL, serial) == [(room_id, [ALICE])]


def test_whoever_begins_anew_is_told_that_nobody_types_any_more(world: World, room_id: RoomID) -> None:
    quiet = world.create_room(ALICE)
    types(world, ALICE, room_id)

    types(world, ALICE, room_id, is_typing=False)

    assert world.typing.typing_since(ALICE, 0) == [(room_id, [])]
    assert quiet not in dict(world.typing.typing_since(ALICE, 0))


def test_rooms_in_which_nobody_types_are_forgotten_beyond_a_number(world: World, room_id: RoomID) -> None:
    typing = Typing(
        world.database, world.notifying, world.news, world.bell, world.clock, world.aliases.server_name, most_rooms=1
    )
    now(typing.set_typing(ALICE, ALICE, room_id, is_typing=True))
    now(typing.set_typing(ALICE, ALICE, room_id, is_typing=False))

    other = world.create_room(ALICE)
    now(typing.set_typing(ALICE, ALICE, other, is_typing=True))

    assert typing.typing_since(ALICE, 1) == [(other, [ALICE])]
