"""Which rooms a sync shows, and that many of them cost little more than one."""

from collections.abc import Iterator

import pytest

from homeserver.core.event_building import EventTemplate
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.room_versions import ROOM_VERSIONS, V10
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.outbound.errors import Unreachable
from homeserver.services.errors import Forbidden
from homeserver.services.sync.request import SyncRequest
from homeserver.storage.database import Backend, Transaction
from tests.forked_rooms import ONE
from tests.scenes import Scene
from tests.services.rooms.test_remote_leaves import invited
from tests.services.sync.asking import request, sync
from tests.services.world import ALICE, BOB, CAROL, World, now, shown
from tests.storage.statements import CountedStatements


def statements(world: World, asked: SyncRequest) -> int:
    """How many statements an answer from the database takes."""

    def count(tx: Transaction) -> int:
        counted = CountedStatements(tx)
        world.assembling.read(counted, asked)
        return counted.count

    return world.sync_database.read(count)


def rooms_of(world: World, number: int) -> list[RoomID]:
    """So many rooms of Alice and Bob, in each of which a few things were said."""
    rooms = [world.create_room(ALICE, preset="public_chat") for _ in range(number)]
    for room_id in rooms:
        world.join(BOB, room_id)
        world.send(ALICE, room_id)
    return rooms


def test_one_message_costs_the_same_in_few_rooms_and_in_many(world: World) -> None:
    costs = []
    for number in (2, 30):
        rooms = rooms_of(world, number)
        since = sync(world, BOB)["next_batch"]
        world.send(ALICE, rooms[0])
        costs.append(statements(world, request(BOB, since)))

    assert costs[0] == costs[1]
    assert costs[0] <= 25


def test_what_is_asked_of_all_rooms_is_asked_once(world: World) -> None:
    rooms_of(world, 2)
    sync(world, BOB)
    few = statements(world, request(BOB, None))
    rooms_of(world, 20)
    sync(world, BOB)

    many = statements(world, request(BOB, None))

    assert many - few == 20  # the timeline of each


@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_a_room_that_was_left_is_shown_once(world: World, membership: str) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    if membership == "leave":
        now(world.membership.leave(BOB, room_id, None))
    else:
        now(world.membership.ban(ALICE, room_id, BOB, None))

    first = sync(world, BOB, since)
    second = sync(world, BOB, first["next_batch"])

    assert first["rooms"].keys() == {"leave"}
    assert "rooms" not in second


def test_an_invite_that_is_renewed_is_shown_again(world: World) -> None:
    room_id = world.create_room(ALICE, invite=[BOB])
    since = sync(world, BOB)["next_batch"]
    quiet = sync(world, BOB, since)

    now(world.membership.invite(ALICE, room_id, BOB, "please"))
    renewed = sync(world, BOB, quiet["next_batch"])

    assert "rooms" not in quiet
    stripped = renewed["rooms"]["invite"][room_id]["invite_state"]["events"]
    assert next(event for event in stripped if event.get("state_key") == BOB)["content"]["reason"] == "please"


def test_an_invite_by_an_ignored_user_is_not_shown(world: World) -> None:
    now(world.account_data.put(BOB, BOB, None, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}))
    since = sync(world, BOB)["next_batch"]
    world.create_room(ALICE, invite=[BOB])

    assert "rooms" not in sync(world, BOB, since)
    assert "rooms" not in sync(world, BOB)


def test_who_ignores_themselves_still_hears_themselves(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.account_data.put(ALICE, ALICE, None, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}))
    since = sync(world, ALICE)["next_batch"]
    world.send(ALICE, room_id)

    assert room_id in sync(world, ALICE, since)["rooms"]["join"]


def test_an_invite_and_a_knock_that_come_to_nothing_are_shown_as_left(world: World) -> None:
    room_id = world.create_room(ALICE)
    now(world.sending.set_state(ALICE, room_id, "m.room.join_rules", "", {"join_rule": "knock"}))
    since = sync(world, BOB)["next_batch"]

    now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, {"membership": "knock"}))
    knocked = sync(world, BOB, since)
    now(world.membership.kick(ALICE, room_id, BOB, "no"))
    refused = sync(world, BOB, knocked["next_batch"])

    stripped = knocked["rooms"]["knock"][room_id]["knock_state"]["events"]
    assert {"m.room.create", "m.room.join_rules", "m.room.member"} <= {event["type"] for event in stripped}
    assert refused["rooms"]["leave"][room_id]["timeline"]["events"][-1]["content"]["reason"] == "no"


def test_of_those_who_get_out_of_rooms_elsewhere_each_is_shown_the_own_leave(world: World) -> None:
    since = {user_id: sync(world, user_id)["next_batch"] for user_id in (ALICE, BOB)}

    for user_id in since:
        template = EventTemplate(
            room_id=RoomID("!room:far.example"),
            type="m.room.member",
            sender=user_id,
            content={"membership": "leave"},
            state_key=user_id,
            prev_events=(),
            auth_events=(),
            depth=1,
            origin_server_ts=world.clock.now_ms(),
        )
        left = world.event_creation.build_elsewhere(template, V10)
        world.sync_database.write(world.outside.put, left, ServerName("far.example"), ())

    for user_id in since:
        [left_room] = sync(world, user_id, since[user_id])["rooms"]["leave"].values()
        assert [event["sender"] for event in left_room["timeline"]["events"]] == [user_id]


def test_a_room_that_a_filter_leaves_out_is_nowhere(world: World) -> None:
    joined, left = world.create_room(ALICE), world.create_room(ALICE)
    invited = world.create_room(BOB, invite=[ALICE])
    now(world.membership.leave(ALICE, left, None))
    only = {"room": {"rooms": [joined], "include_leave": True}}
    without = {"room": {"not_rooms": [joined], "include_leave": True}}

    assert sync(world, ALICE, definition=only)["rooms"].keys() == {"join"}
    shown = sync(world, ALICE, definition=without)["rooms"]
    assert {name: list(rooms) for name, rooms in shown.items()} == {"invite": [invited], "leave": [left]}


def test_a_room_without_a_name_has_heroes_when_it_lost_the_name(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]

    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {}))
    room = sync(world, BOB, since)["rooms"]["join"][room_id]

    assert room["summary"] == {"m.heroes": [ALICE], "m.joined_member_count": 2, "m.invited_member_count": 0}


def test_who_is_gone_stands_for_a_room_in_which_nobody_else_is(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", invite=[CAROL])
    invited = sync(world, ALICE)["rooms"]["join"][room_id]["summary"]
    now(world.membership.leave(CAROL, room_id, None))
    gone = sync(world, ALICE)["rooms"]["join"][room_id]["summary"]
    alone = sync(world, ALICE, definition={"room": {"rooms": [world.create_room(ALICE)]}})

    assert invited == {"m.heroes": [CAROL], "m.joined_member_count": 1, "m.invited_member_count": 1}
    assert gone == {"m.heroes": [CAROL], "m.joined_member_count": 1, "m.invited_member_count": 0}
    assert next(iter(alone["rooms"]["join"].values()))["summary"]["m.heroes"] == []


@pytest.fixture
def forgetting(backend: Backend) -> Iterator[World]:
    """A server that forgets the rooms of those who get out of them."""
    made = World(backend, forgets_left_rooms=True)
    yield made
    made.close()


LEAVING = {
    "left": lambda world, room_id: world.membership.leave(BOB, room_id, None),
    "kicked": lambda world, room_id: world.membership.kick(ALICE, room_id, BOB, None),
    "banned": lambda world, room_id: world.membership.ban(ALICE, room_id, BOB, None),
}


@pytest.mark.parametrize("way", LEAVING)
def test_a_room_that_is_forgotten_when_one_is_out_is_told_of_once_and_never_again(forgetting: World, way: str) -> None:
    world = forgetting
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    stream = parse_sync_token(since)

    now(LEAVING[way](world, room_id))

    told = sync(world, BOB, since)
    room = told["rooms"]["leave"][room_id]
    assert [event["state_key"] for event in room["timeline"]["events"]] == [BOB]
    assert told["rooms"].keys() == {"leave"}
    assert sync(world, BOB, since)["rooms"] == told["rooms"]  # the answer may have been lost
    streamed = now(world.event_stream.follow(world.viewer(BOB), stream, timeout_ms=0, limit=None)).chunk.events
    assert [shown(event)["state_key"] for event in streamed] == [BOB]
    assert "rooms" not in sync(world, BOB, told["next_batch"])
    assert "rooms" not in sync(world, BOB, definition={"room": {"include_leave": True}})
    with pytest.raises(Forbidden):
        world.history(BOB, room_id)
    assert world.history(ALICE, room_id)


def test_who_comes_back_to_a_forgotten_room_has_it_again(forgetting: World) -> None:
    world = forgetting
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.membership.leave(BOB, room_id, None))

    world.join(BOB, room_id)

    assert room_id in sync(world, BOB)["rooms"]["join"]
    assert world.history(BOB, room_id)


def test_a_declined_invite_of_another_server_is_forgotten_and_told_of_once(forgetting: World) -> None:
    world = forgetting
    room_id = invited(world, Scene(ROOM_VERSIONS["12"]))
    since = sync(world, ALICE)["next_batch"]
    world.others.failures[ONE] = Unreachable("away")

    now(world.anywhere.leave(ALICE, room_id, None))

    assert sync(world, ALICE, since)["rooms"].keys() == {"leave"}
    assert "rooms" not in sync(world, ALICE, definition={"room": {"include_leave": True}})


def test_a_device_hears_that_a_room_was_left_which_another_device_has_forgotten(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]

    now(world.membership.leave(BOB, room_id, None))
    now(world.membership.forget(BOB, room_id))

    told = sync(world, BOB, since)
    assert told["rooms"].keys() == {"leave"}
    assert told["rooms"]["leave"].keys() == {room_id}
