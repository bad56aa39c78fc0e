"""The threads of a room: which are listed, in which order, and to whom."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.sync_tokens import parse_pagination_token
from homeserver.services.errors import Forbidden
from homeserver.services.rooms.creation import InitialState
from tests.services.rooms.related import edit, ignore, redact, reply
from tests.services.world import ALICE, BOB, CAROL, World, now, shown

# Any: JSON, throughout.

JOINED_ONLY = InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})


def threads(
    world: World, user_id: UserID, room_id: RoomID, limit: int | None = None, *, with_viewer: bool = False
) -> list[Any]:
    """The roots of a room's threads, page by page."""
    found: list[Any] = []
    begin: str | None = None
    while True:
        page = now(
            world.threads.threads(
                world.viewer(user_id),
                room_id,
                with_viewer=with_viewer,
                begin=None if begin is None else parse_pagination_token(begin),
                limit=limit,
            )
        )
        assert limit is None or len(page.chunk) <= limit
        found += [shown(one) for one in page.chunk]
        begin = page.next_batch
        if begin is None:
            return found


def ids(events: list[Any]) -> list[str]:
    return [event["event_id"] for event in events]


def room_of_both(world: World, **wishes: Any) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", **wishes)
    world.join(BOB, room_id)
    return room_id


@pytest.mark.parametrize("limit", [1, 2, None])
def test_threads_are_listed_by_their_newest_events(shared_world: World, limit: int | None) -> None:
    world = shared_world
    room_id = room_of_both(world)
    first, second, third = (world.send(ALICE, room_id) for _ in range(3))
    world.send(ALICE, room_id, "no thread begins here")
    for root in (third, first, second, third):
        reply(world, ALICE, room_id, root)

    assert ids(threads(world, BOB, room_id, limit)) == [third, second, first]


def test_a_thread_is_listed_with_what_is_told_of_its_events(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    edited, newest = edit(world, ALICE, room_id, root, "edited"), reply(world, BOB, room_id, root)

    (listed,) = threads(world, ALICE, room_id)

    told = listed["unsigned"]["m.relations"]
    assert told["m.replace"]["event_id"] == edited
    assert told["m.thread"]["latest_event"]["event_id"] == newest


def test_those_with_the_reader_in_them_are_listed_apart(world: World) -> None:
    room_id = room_of_both(world)
    begun, joined, others = (world.send(user, room_id) for user in (BOB, ALICE, ALICE))
    reply(world, ALICE, room_id, begun)
    reply(world, BOB, room_id, joined)
    reply(world, ALICE, room_id, others)

    assert ids(threads(world, BOB, room_id, with_viewer=True)) == [joined, begun]
    assert ids(threads(world, BOB, room_id)) == [others, joined, begun]


def test_a_thread_moves_back_when_its_newest_event_is_redacted_and_goes_with_the_last(world: World) -> None:
    room_id = room_of_both(world)
    first, second = (world.send(ALICE, room_id) for _ in range(2))
    old = reply(world, ALICE, room_id, first)
    reply(world, ALICE, room_id, second)
    new = reply(world, ALICE, room_id, first)

    listed = [ids(threads(world, BOB, room_id))]
    for event_id in (new, old):
        redact(world, ALICE, room_id, event_id)
        listed.append(ids(threads(world, BOB, room_id)))

    assert listed == [[first, second], [second, first], [second]]


def test_a_redacted_root_keeps_its_thread(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(ALICE, room_id)
    reply(world, BOB, room_id, root)

    redact(world, ALICE, room_id, root)

    (listed,) = threads(world, BOB, room_id)
    assert (listed["event_id"], listed["content"]) == (root, {})


def test_what_ignored_users_send_neither_lists_threads_nor_moves_them(world: World) -> None:
    room_id = room_of_both(world)
    first, second, ignored = (world.send(ALICE, room_id) for _ in range(3))
    for root in (first, second):
        reply(world, ALICE, room_id, root)
    for root in (first, ignored):
        reply(world, BOB, room_id, root)

    ignore(world, ALICE, BOB)

    assert ids(threads(world, ALICE, room_id, 1)) == [second, first]


def test_a_thread_that_an_ignored_user_began_is_listed_without_what_they_said(world: World) -> None:
    room_id = room_of_both(world)
    root = world.send(BOB, room_id, "unwanted")
    edit(world, BOB, room_id, root, "unwanted, too")
    reply(world, ALICE, room_id, root)

    ignore(world, ALICE, BOB)

    (listed,) = threads(world, ALICE, room_id)
    assert (listed["event_id"], listed["content"]) == (root, {})
    assert list(listed["unsigned"]["m.relations"]) == ["m.thread"]
    assert threads(world, BOB, room_id)[0]["content"]["body"] == "unwanted"


def test_who_left_is_shown_the_threads_as_they_were(world: World) -> None:
    room_id = room_of_both(world, initial_state=(JOINED_ONLY,))
    first, second, later = (world.send(ALICE, room_id) for _ in range(3))
    for root in (first, second):
        reply(world, ALICE, room_id, root)
    now(world.membership.leave(BOB, room_id, None))
    for root in (first, later):
        reply(world, ALICE, room_id, root)

    assert ids(threads(world, BOB, room_id)) == [second, first]
    assert ids(threads(world, ALICE, room_id)) == [later, first, second]


def test_who_may_not_read_a_room_is_refused(world: World) -> None:
    room_id = world.create_room(ALICE)

    for where in (room_id, RoomID("!unknown:example.org")):
        with pytest.raises(Forbidden):
            threads(world, CAROL, where)


def test_threads_whose_roots_are_not_here_or_elsewhere_are_not_listed(world: World) -> None:
    room_id, other = room_of_both(world), world.create_room(ALICE)
    root = world.send(ALICE, other)

    reply(world, ALICE, room_id, root)

    assert threads(world, ALICE, room_id) == []
