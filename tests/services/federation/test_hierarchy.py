"""Spaces for other servers: what is shown, and to whom."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.errors import NotFound
from homeserver.services.rooms.creation import InitialState
from tests.services.federation.others import FAR, FAY, invite, join_remotely, leave_remotely
from tests.services.federation.serving import Serving, read
from tests.services.world import ALICE, SERVER, now

# Any: JSON.


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path)
    yield made
    made.close()


def space(serving: Serving, *children: RoomID, **more: Any) -> RoomID:
    """A public space with these children, the last of which it suggests."""
    room_id = serving.world.create_room(
        ALICE, preset="public_chat", name="Space", creation_content={"type": "m.space"}, **more
    )
    for child in children:
        serving.set_state(room_id, "m.space.child", {"via": [SERVER], "suggested": child == children[-1]}, child)
    return room_id


def hierarchy(serving: Serving, room_id: RoomID, *, suggested_only: bool = False) -> Any:
    return read(now(serving.hierarchy.hierarchy(FAR, room_id, suggested_only=suggested_only)))


def test_a_space_is_shown_with_its_children(serving: Serving) -> None:
    garden, pond = serving.room(name="Garden"), serving.room(name="Pond")
    inner = space(serving, pond)

    answer = hierarchy(serving, space(serving, garden, inner))

    assert answer["room"]["room_type"] == "m.space"
    assert answer["room"]["num_joined_members"] == 1
    assert [child["state_key"] for child in answer["room"]["children_state"]] == [garden, inner]
    assert all(child["origin_server_ts"] for child in answer["room"]["children_state"])
    assert [child["name"] for child in answer["children"]] == ["Garden", "Space"]
    assert [child["state_key"] for child in answer["children"][1]["children_state"]] == [pond]
    assert answer["inaccessible_children"] == []


def test_children_come_by_their_order(serving: Serving) -> None:
    first, second, third = (serving.room(name=name) for name in ("1", "2", "3"))
    room_id = space(serving)
    for child, order in ((third, None), (second, "b"), (first, "a")):
        content = {"via": [SERVER]} | ({} if order is None else {"order": order})
        serving.set_state(room_id, "m.space.child", content, child)

    assert [child["name"] for child in hierarchy(serving, room_id)["children"]] == ["1", "2", "3"]


def test_only_suggested_children_where_these_are_asked_for(serving: Serving) -> None:
    garden, pond = serving.room(name="Garden"), serving.room(name="Pond")

    answer = hierarchy(serving, space(serving, garden, pond), suggested_only=True)

    assert [child["name"] for child in answer["children"]] == ["Pond"]
    assert len(answer["room"]["children_state"]) == 1


def test_of_closed_children_only_the_id_is_told_and_of_unknown_ones_nothing(serving: Serving) -> None:
    closed = serving.world.create_room(ALICE, preset="private_chat", name="Secret")
    room_id = space(serving, closed, RoomID("!elsewhere:far.example"))
    serving.set_state(room_id, "m.space.child", {"via": [SERVER]}, "nonsense")
    serving.set_state(room_id, "m.space.child", {}, serving.room())

    answer = hierarchy(serving, room_id)

    assert answer["children"] == []
    assert answer["inaccessible_children"] == [closed]


def test_who_is_invited_or_let_in_by_another_room_sees_a_closed_child(serving: Serving) -> None:
    lobby = serving.room()
    join_remotely(serving.world, FAY, lobby)
    invited = serving.world.create_room(ALICE, preset="private_chat", name="Invited")
    invite(serving.world, ALICE, invited, FAY)
    allow = [{"type": "m.room_membership", "room_id": lobby}]
    rules = InitialState("m.room.join_rules", "", {"join_rule": "restricted", "allow": allow})
    restricted = serving.world.create_room(ALICE, initial_state=[rules], name="Restricted")

    answer = hierarchy(serving, space(serving, invited, restricted))

    assert [child["name"] for child in answer["children"]] == ["Invited", "Restricted"]
    assert answer["children"][1]["allowed_room_ids"] == [lobby]


def test_a_closed_space_is_refused_like_one_that_is_not_there(serving: Serving) -> None:
    closed = serving.world.create_room(ALICE, preset="private_chat", creation_content={"type": "m.space"})
    shut = space(serving)
    serving.shut_out(shut, FAR)

    refusals = []
    for room_id in (closed, shut, RoomID("!nowhere:example.org")):
        with pytest.raises(NotFound) as refused:
            hierarchy(serving, room_id)
        refusals.append(refused.value.reason)

    assert len(set(refusals)) == 1


def test_a_space_that_everybody_may_read_is_shown_though_nobody_may_join(serving: Serving) -> None:
    readable = InitialState("m.room.history_visibility", "", {"history_visibility": "world_readable"})
    room_id = serving.world.create_room(ALICE, preset="private_chat", initial_state=[readable], name="Window")

    assert hierarchy(serving, room_id)["room"]["name"] == "Window"


def test_a_space_in_itself_ends(serving: Serving) -> None:
    room_id = space(serving)
    serving.set_state(room_id, "m.space.child", {"via": [SERVER]}, room_id)

    answer = hierarchy(serving, room_id)

    assert [child["room_id"] for child in answer["children"]] == [room_id]


def test_rooms_that_this_server_has_no_part_in_are_as_unknown_as_any(serving: Serving) -> None:
    world = serving.world
    closed, left, was_in = serving.room(name="Closed"), serving.room(name="Left"), serving.room(name="Was in")
    for room_id in (closed, left, was_in):
        join_remotely(world, FAY, room_id)
    parent = space(serving, closed, left, was_in)
    serving.set_state(was_in, "m.room.join_rules", {"join_rule": "invite"})
    leave_remotely(world, FAY, was_in)
    now(world.membership.leave(ALICE, left, None))
    world.sync_database.write(
        lambda tx: tx.run("UPDATE rooms SET is_blocked = :yes WHERE room_id = :room_id", yes=True, room_id=closed)
    )

    answer = hierarchy(serving, parent)

    assert (answer["children"], answer["inaccessible_children"]) == ([], [was_in])
    refusals = set()
    for room_id in (closed, left, was_in, RoomID("!nowhere:example.org")):
        with pytest.raises(NotFound) as refused:
            hierarchy(serving, room_id)
        refusals.add(refused.value.reason)
    assert len(refusals) == 1
