"""Directories of other servers, as users here are shown them."""

from typing import Any

import pytest

from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import Forbidden, InvalidParameter, RemoteFailed
from tests.fakes.remote_servers import Refusal
from tests.forked_rooms import ONE
from tests.services.world import World, now

ROOM = {
    "room_id": "!room:one.example",
    "num_joined_members": 3,
    "world_readable": True,
    "guest_can_join": False,
    "name": "Room",
    "canonical_alias": "#room:one.example",
    "join_rule": "public",
}


def test_a_directory_is_searched_and_shown(world: World) -> None:
    world.others.published = [ROOM]
    world.others.tampers[ONE, "publicRooms"] = lambda answer: {
        **answer,
        "next_batch": "next",
        "prev_batch": "previous",
        "total_room_count_estimate": 17,
    }

    whole = now(world.remote_directory.search(ONE))
    some = now(world.remote_directory.search(ONE, term="ro", room_types=[None, "m.space"], limit=5, since="token"))

    assert (whole.chunk, whole.next_batch, whole.prev_batch, whole.total) == ([ROOM], "next", "previous", 17)
    assert some.chunk == [ROOM]
    first, second = world.others.searches
    assert first == {"limit": "500", "include_all_networks": "false"}
    assert second == {
        "limit": 5,
        "since": "token",
        "include_all_networks": False,
        "filter": {"generic_search_term": "ro", "room_types": [None, "m.space"]},
    }


def test_what_is_no_room_is_not_shown_and_what_is_odd_of_one_neither(world: World) -> None:
    odd: dict[str, Any] = {
        "room_id": "!odd:one.example",
        "num_joined_members": -1,
        "world_readable": "yes",
        "guest_can_join": 1,
        "name": ["x"],
        "topic": "x" * 20_000,
        "canonical_alias": "no alias",
        "org.example.more": {},
    }
    world.others.published = [None, 1, "x", [], {}, {**ROOM, "room_id": 1}, {**ROOM, "room_id": "room"}, odd]

    page = now(world.remote_directory.search(ONE))

    assert page.chunk == [
        {"room_id": "!odd:one.example", "num_joined_members": 0, "world_readable": False, "guest_can_join": False}
    ]
    assert (page.next_batch, page.prev_batch, page.total) == (None, None, 1)


def test_no_more_rooms_are_shown_than_were_asked_for(world: World) -> None:
    world.others.published = [ROOM] * 1_000
    world.others.tampers[ONE, "publicRooms"] = lambda answer: {
        **answer,
        "next_batch": "x" * 10_000,
        "prev_batch": 5,
        "total_room_count_estimate": "many",
    }

    page = now(world.remote_directory.search(ONE, limit=10))

    assert len(page.chunk) == 10
    assert (page.next_batch, page.prev_batch, page.total) == (None, None, 10)


def test_failures_are_told(world: World) -> None:
    for failure, error in ((Unreachable("away"), RemoteFailed), (Refusal(403, "M_FORBIDDEN"), Forbidden)):
        world.others.failures[ONE] = failure
        with pytest.raises(error):
            now(world.remote_directory.search(ONE))
    for server, since in (("no server!", None), (ONE, "x" * 10_000)):
        with pytest.raises(InvalidParameter):
            now(world.remote_directory.search(server, since=since))
