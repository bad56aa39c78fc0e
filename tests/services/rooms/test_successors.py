"""Rooms that were replaced elsewhere, for those who follow."""

import pytest

from homeserver.core.identifiers import RoomAlias, RoomID
from homeserver.storage.rooms import find_published
from tests.services.world import ALICE, BOB, CAROL, World, now

NAME = RoomAlias("#name:example.org")
TAG = {"order": 0.5}


@pytest.fixture
def old(world: World) -> RoomID:
    """A public room with a name, which Bob has tagged."""
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.account_data.put_tag(BOB, BOB, room_id, "u.work", TAG))
    now(world.aliases.create(BOB, NAME, room_id))
    now(world.directory.publish(ALICE, room_id, is_published=True, is_admin=False))
    return room_id


def replace(world: World, old: RoomID, *, named: RoomID | None = None, claims: RoomID | None = None) -> RoomID:
    """Another room in the place of the old one, as servers elsewhere replace rooms; or not quite."""
    content = {"predecessor": {"room_id": claims or old}}
    new = world.create_room(ALICE, preset="public_chat", creation_content=content)
    tombstone = {"body": "moved", "replacement_room": named or new}
    now(world.sending.set_state(ALICE, old, "m.room.tombstone", "", tombstone))
    return new


def test_who_comes_into_the_new_room_finds_what_was_set_for_the_old_one(world: World, old: RoomID) -> None:
    new = replace(world, old)

    now(world.successors.join(BOB, new, None))

    assert now(world.account_data.tags(BOB, BOB, new)) == {"u.work": TAG}
    assert now(world.aliases.resolve(NAME))[0] == new
    assert world.sync_database.read(find_published, new)
    assert not world.sync_database.read(find_published, old)


def test_nothing_is_taken_over_unless_both_rooms_say_so(world: World, old: RoomID) -> None:
    other = world.create_room(ALICE)
    unnamed, unclaimed = replace(world, old, named=other), replace(world, old, claims=other)
    odd = world.create_room(ALICE, preset="public_chat", creation_content={"predecessor": {"room_id": 1}})

    for room_id in (unnamed, unclaimed, odd):
        now(world.successors.join(BOB, room_id, None))

    assert [now(world.account_data.tags(BOB, BOB, each)) for each in (unnamed, unclaimed, odd)] == [{}] * 3
    assert now(world.aliases.resolve(NAME))[0] == old


def test_who_was_not_in_the_old_room_or_is_in_the_new_one_already_takes_nothing_over(world: World, old: RoomID) -> None:
    new = replace(world, old)

    now(world.successors.join(CAROL, new, None))
    before = now(world.aliases.resolve(NAME))[0]
    now(world.successors.join(BOB, new, None))
    now(world.account_data.delete_tag(BOB, BOB, new, "u.work"))
    now(world.aliases.create(ALICE, RoomAlias("#old:example.org"), old))
    now(world.successors.join(BOB, new, None))

    assert before == old
    assert now(world.account_data.tags(BOB, BOB, new)) == {}
    assert now(world.aliases.resolve(RoomAlias("#old:example.org")))[0] == old
