"""Which rooms are in lists: those that are known in part, invites that nobody wants, rooms of a time before lists."""

import pytest

from homeserver.services.sync.sliding_request import ListConfig, ListFilter
from homeserver.storage.database import Backend, Transaction
from tests.services.federation.large_rooms import LargeRoom
from tests.services.sync.sliding import Phone, Sliding, config, said, window
from tests.services.world import ALICE, BOB, World, now

MEMBERS = ("m.room.member", "*")
LAZY = ("m.room.member", "$LAZY")


@pytest.fixture
def sliding(world: World) -> Sliding:
    return Sliding(world)


def test_a_room_is_in_sight_before_its_members_are_known_for_who_loads_them_lazily(
    world: World, sliding: Sliding
) -> None:
    room = LargeRoom(world)
    phone = Phone(sliding, ALICE, lists=window(0, 9, LAZY))
    phone.ask()
    room.join()
    world.send(ALICE, room.room_id, "first")

    first = phone.ask()["rooms"][room.room_id]
    room.fetch()
    second = phone.ask()["rooms"][room.room_id]

    assert said(first) == ["first"]
    assert "joined_count" not in first
    assert second["joined_count"] == 4
    assert second["heroes"]
    assert phone.ask()["rooms"] == {}


def test_a_room_is_in_sight_once_its_members_are_known_for_who_wants_them_all(world: World, sliding: Sliding) -> None:
    room = LargeRoom(world)
    phone = Phone(sliding, ALICE, lists=window(0, 9, MEMBERS))
    other = Phone(sliding, ALICE, "other", subscriptions={room.room_id: config(MEMBERS)})
    room.join()

    first, subscribed = phone.ask(), other.ask()
    room.fetch()
    second = phone.ask()

    assert first["rooms"] == subscribed["rooms"] == {}
    assert first["lists"] == {"all": {"count": 0}}
    assert len(second["rooms"][room.room_id]["required_state"]) == 4
    assert set(other.ask()["rooms"]) == {room.room_id}


@pytest.mark.parametrize("is_by_name", [False, True])
def test_who_wants_no_invites_has_none_in_a_list(world: World, sliding: Sliding, is_by_name: bool) -> None:
    room_id = world.create_room(ALICE, invite=[BOB])
    phone = Phone(sliding, BOB, lists=window())
    assert set(phone.ask()["rooms"]) == {room_id}

    if is_by_name:
        content = {"ignored_users": [ALICE]}
        now(world.account_data.put(BOB, BOB, None, "org.matrix.msc4155.invite_permission_config", content))
    else:
        now(world.account_data.put(BOB, BOB, None, "m.invite_permission_config", {"default_action": "block"}))

    assert Phone(sliding, BOB, "other", lists=window()).ask()["lists"] == {"all": {"count": 0}}


def test_rooms_from_before_there_were_lists_are_filtered_by_their_state(world: World, sliding: Sliding) -> None:
    rooms = [world.create_room(ALICE, name=name) for name in ("Garden", "House")]

    def forget(tx: Transaction) -> None:
        tx.run("UPDATE room_index SET name = NULL, room_type = NULL, is_encrypted = NULL")

    world.sync_database.write(forget)
    lists = {"all": ListConfig(config(), ((0, 9),), ListFilter(name_like="garden"))}

    assert set(Phone(sliding, ALICE, lists=lists).ask()["rooms"]) == {rooms[0]}
    now(world.sending.set_state(ALICE, rooms[1], "m.room.name", "", {"name": "Garden house"}))
    assert set(Phone(sliding, ALICE, "other", lists=lists).ask()["rooms"]) == set(rooms)


def test_ranges_may_overlap_and_reach_beyond_the_end(world: World, sliding: Sliding) -> None:
    rooms = [world.create_room(ALICE) for _ in range(5)]
    lists = {"all": ListConfig(config(), ((0, 1), (1, 2), (4, 100), (50, 60)))}

    answer = Phone(sliding, ALICE, lists=lists).ask()

    assert set(answer["rooms"]) == {rooms[4], rooms[3], rooms[2], rooms[0]}
    assert answer["lists"] == {"all": {"count": 5}}


def test_a_room_of_several_lists_is_told_of_by_what_any_of_them_wants(world: World, sliding: Sliding) -> None:
    room_id = world.create_room(ALICE, name="Room")
    for text in ("one", "two", "three"):
        world.send(ALICE, room_id, text)
    lists = {
        "names": ListConfig(config(("m.room.name", ""), limit=1)),
        "creators": ListConfig(config(("m.room.create", ""), limit=2)),
    }

    room = Phone(sliding, ALICE, lists=lists).ask()["rooms"][room_id]

    assert said(room) == ["two", "three"]
    assert {event["type"] for event in room["required_state"]} == {"m.room.name", "m.room.create"}
    assert room["lists"] == ["names", "creators"]


@pytest.mark.parametrize("way", ["leave", "kick"])
def test_a_room_that_is_forgotten_when_one_is_out_is_told_of_once_to_who_knew_it(backend: Backend, way: str) -> None:
    world = World(backend, forgets_left_rooms=True)
    sliding = Sliding(world)
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    phone = Phone(sliding, BOB, lists=window())
    phone.ask()

    now(
        world.membership.leave(BOB, room_id, None)
        if way == "leave"
        else world.membership.kick(ALICE, room_id, BOB, None)
    )

    told = phone.ask()["rooms"]
    assert [event["state_key"] for event in told[room_id]["timeline"]] == [BOB]
    assert phone.ask()["rooms"] == {}
    assert Phone(sliding, BOB, "other", lists=window()).ask()["lists"] == {"all": {"count": 0}}
    world.close()
