"""Aliases and the directory, in the hands of administrators."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomAlias, RoomID
from homeserver.services.admin.room_names import Names, RoomNames
from homeserver.services.errors import AliasInUse, Forbidden, InvalidParameter, NotFound
from tests.services.world import ALICE, SERVER, World, now

NO_ROOM = RoomID("!none:example.org")
FIRST, SECOND = (RoomAlias(f"#{name}:{SERVER}") for name in ("first", "second"))


@pytest.fixture
def names(world: World) -> RoomNames:
    return RoomNames(world.database, world.event_creation, world.clock, SERVER)


def canonical(world: World, room_id: RoomID) -> Any:  # Any: JSON
    viewer = world.viewer(ALICE)
    return now(world.timeline.state_event(viewer, room_id, "m.room.canonical_alias", "", whole_event=False))


def test_a_room_gets_names_and_says_which_is_its_main_one(world: World, names: RoomNames) -> None:
    room_id = world.create_room(ALICE)

    now(names.add(room_id, FIRST, is_main=True))
    now(names.add(room_id, SECOND, is_main=False))
    before = canonical(world, room_id)
    now(names.add(room_id, SECOND, is_main=True))
    now(names.add(room_id, SECOND, is_main=True))

    assert before == {"alias": FIRST, "alt_aliases": []}
    assert canonical(world, room_id) == {"alias": SECOND, "alt_aliases": [FIRST]}
    assert now(names.of_room(room_id)) == Names([FIRST, SECOND], SECOND)


def test_a_name_is_taken_also_from_what_the_room_says_of_itself(world: World, names: RoomNames) -> None:
    room_id = world.create_room(ALICE)
    now(names.add(room_id, FIRST, is_main=True))

    now(names.remove(room_id, FIRST))

    assert now(names.of_room(room_id)) == Names([], None)
    assert canonical(world, room_id) == {"alt_aliases": []}


def test_a_name_is_taken_from_a_room_in_which_nobody_is_any_more(world: World, names: RoomNames) -> None:
    room_id = world.create_room(ALICE)
    now(names.add(room_id, FIRST, is_main=False))
    now(world.membership.leave(ALICE, room_id, None))

    with pytest.raises(Forbidden):
        now(names.add(room_id, SECOND, is_main=False))
    now(names.remove(room_id, FIRST))

    assert now(names.of_room(room_id)).aliases == []


def test_what_cannot_be_is_refused_and_nothing_changes(world: World, names: RoomNames) -> None:
    room_id, other = world.create_room(ALICE, room_version="11"), world.create_room(ALICE)
    now(names.add(room_id, FIRST, is_main=False))
    powerless = {"users": {ALICE: 40}, "events": {"m.room.canonical_alias": 50}}
    now(world.sending.set_state(ALICE, room_id, "m.room.power_levels", "", powerless))

    with pytest.raises(Forbidden):
        now(names.add(room_id, SECOND, is_main=True))
    with pytest.raises(AliasInUse):
        now(names.add(other, FIRST, is_main=False))
    with pytest.raises(InvalidParameter):
        now(names.add(other, RoomAlias("#first:elsewhere.example"), is_main=False))
    with pytest.raises(NotFound):
        now(names.remove(other, FIRST))
    for unknown in (names.of_room(NO_ROOM), names.is_published(NO_ROOM), names.publish(NO_ROOM, is_published=True)):
        with pytest.raises(NotFound):
            now(unknown)

    assert now(names.of_room(room_id)) == Names([FIRST], None)


def test_a_room_is_published_and_hidden_again(world: World, names: RoomNames) -> None:
    room_id = world.create_room(ALICE)

    now(names.publish(room_id, is_published=True))
    shown = now(world.directory.search()).total, now(names.is_published(room_id))
    now(names.publish(room_id, is_published=False))

    assert shown == (1, True)
    assert (now(world.directory.search()).total, now(names.is_published(room_id))) == (0, False)
