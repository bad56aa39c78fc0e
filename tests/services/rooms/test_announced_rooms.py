"""Rooms of which nothing is known but what came with an invite or a knock."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from homeserver.core.event_format import parse_and_encode
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.rooms.outside_memberships import stripped_of
from homeserver.storage.database import Transaction
from tests.databases import fresh_sqlite
from tests.forked_rooms import ALICE as ONE_ALICE
from tests.forked_rooms import ONE
from tests.scenes import Scene
from tests.services.rooms.test_hierarchy import put, space, tell, told, walk
from tests.services.rooms.test_room_summaries import summary
from tests.services.world import ALICE, BOB, World, now

# Any: JSON, throughout.

FAR: Final = ServerName("far.example")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(fresh_sqlite(tmp_path / "homeserver.db"))
    yield made
    made.close()


def stripped(event_type: str, state_key: str = "", **content: Any) -> dict[str, Any]:
    return {"type": event_type, "state_key": state_key, "sender": ONE_ALICE, "content": content}


SHOWN: Final = (
    stripped("m.room.create", room_version="11", type="m.space"),
    stripped("m.room.name", name="Tea"),
    stripped("m.room.topic", topic="leaves"),
    stripped("m.room.avatar", url="mxc://one.example/tea"),
    stripped("m.room.canonical_alias", alias="#tea:one.example"),
    stripped("m.room.join_rules", join_rule="knock"),
    stripped("m.room.encryption", algorithm="m.megolm.v1.aes-sha2"),
    stripped("m.room.member", ONE_ALICE, membership="join"),
)


def announced(world: World, membership: str, shown: Sequence[Any] = SHOWN) -> RoomID:
    """A room to which Bob is invited, or on whose door he knocks, as its server told."""
    scene = Scene(join_rule="knock")
    event = scene.member(BOB, "invite", sender=ONE_ALICE, after=[scene.last])
    pdu = {**event.pdu, "sender": BOB if membership == "knock" else ONE_ALICE, "content": {"membership": membership}}

    def note(tx: Transaction) -> None:
        world.outside.put(tx, parse_and_encode(pdu, event.version), ONE, stripped_of(list(shown)))

    world.sync_database.write(note)
    return RoomID(event.room_id)


@pytest.mark.parametrize("membership", ["invite", "knock"])
def test_where_no_server_answers_a_room_is_what_was_announced(world: World, membership: str) -> None:
    room_id = announced(world, membership)

    described = {
        "room_id": room_id,
        "name": "Tea",
        "topic": "leaves",
        "avatar_url": "mxc://one.example/tea",
        "canonical_alias": "#tea:one.example",
        "join_rule": "knock",
        "room_type": "m.space",
        "room_version": "11",
        "encryption": "m.megolm.v1.aes-sha2",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
    }
    assert summary(world, BOB, room_id) == {**described, "membership": membership}
    assert walk(world, room_id).rooms == [{**described, "children_state": []}]
    assert world.others.asked_for("hierarchy") == [ONE]


def test_what_a_server_answers_counts_more(world: World) -> None:
    room_id = announced(world, "invite")
    tell(world, ONE, told(room_id, "Coffee", join_rule="invite"))

    assert summary(world, BOB, room_id)["name"] == "Coffee"


def test_nobody_else_is_told(world: World) -> None:
    room_id = announced(world, "invite")

    with pytest.raises(NotFound):
        summary(world, ALICE, room_id)
    with pytest.raises(NotFound):
        summary(world, None, room_id)
    with pytest.raises(Forbidden):
        walk(world, room_id, ALICE)


def test_an_invite_that_was_declined_announces_nothing(world: World) -> None:
    room_id = announced(world, "invite")
    now(world.anywhere.leave(BOB, room_id, None))

    with pytest.raises(NotFound):
        summary(world, BOB, room_id)


def test_a_space_here_shows_a_room_in_it_to_which_the_user_is_invited(world: World) -> None:
    room_id = announced(world, "invite")
    outer = space(world, "Outer")
    put(world, outer, room_id, [FAR])

    page = walk(world, outer)

    assert [shown["name"] for shown in page.rooms] == ["Outer", "Tea"]


def test_nonsense_that_was_announced_is_left_out(world: World) -> None:
    odd = [
        stripped("m.room.name", name=["Tea"]),
        stripped("m.room.topic", topic="x" * 20_000),
        stripped("m.room.canonical_alias", alias="tea"),
        stripped("m.room.member", membership={}),
    ]
    room_id = announced(world, "invite", odd)

    assert summary(world, BOB, room_id) == {
        "room_id": room_id,
        "join_rule": "invite",
        "num_joined_members": 0,
        "world_readable": False,
        "guest_can_join": False,
        "membership": "invite",
    }
