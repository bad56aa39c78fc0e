"""Members that are loaded lazily: who is needed is told once, and nobody is lost."""

from typing import Any

from homeserver.core.identifiers import RoomID, UserID
from tests.services.sync.asking import LAZY, in_memory, request, sync
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.

DAVE = UserID("@dave:example.org")


def told(body: Any, room_id: RoomID, section: str = "state") -> dict[str, str]:
    """Whose member events a room of a sync holds, and their memberships."""
    events = body["rooms"]["join"][room_id].get(section, {"events": []})["events"]
    return {event["state_key"]: event["content"]["membership"] for event in events if event["type"] == "m.room.member"}


def room_of_four(world: World) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    for user_id in (BOB, CAROL, DAVE):
        world.join(user_id, room_id)
    for number in range(10):
        world.send(ALICE, room_id, str(number))
    return room_id


def test_members_who_changed_in_the_gap_are_told_whoever_speaks(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    now(world.membership.leave(CAROL, room_id, None))
    now(world.membership.kick(ALICE, room_id, DAVE, None))
    for number in range(12):
        world.send(ALICE, room_id, str(number))

    body = sync(world, BOB, since, LAZY)

    assert told(body, room_id) == {CAROL: "leave", DAVE: "leave"}


def test_members_who_changed_are_in_the_state_after_the_timeline(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    now(world.membership.kick(ALICE, room_id, DAVE, None))

    body = sync(world, BOB, since, LAZY, state_after=True)

    assert told(body, room_id, "state_after") == {DAVE: "leave"}


def test_a_member_of_an_answer_that_was_lost_is_told_again(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(CAROL, room_id)

    lost, second = sync(world, BOB, since, LAZY), sync(world, BOB, since, LAZY)
    world.send(CAROL, room_id)
    third = sync(world, BOB, second["next_batch"], LAZY)

    assert told(lost, room_id) == told(second, room_id) == {CAROL: "join"}
    assert told(third, room_id) == {}


def test_a_member_whose_only_answer_was_lost_is_told_when_needed(world: World) -> None:
    few = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=few)["next_batch"]
    world.send(CAROL, room_id)
    lost = sync(world, BOB, since, few)
    world.send(DAVE, room_id)
    second = sync(world, BOB, since, few)
    world.send(CAROL, room_id)

    third = sync(world, BOB, second["next_batch"], few)

    assert told(lost, room_id) == told(third, room_id) == {CAROL: "join"}
    assert told(second, room_id) == {DAVE: "join"}


def test_a_client_that_goes_back_to_an_older_token_has_lost_what_came_later(world: World) -> None:
    room_id = room_of_four(world)
    old = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(CAROL, room_id)
    newer = sync(world, BOB, old, LAZY)["next_batch"]
    sync(world, BOB, newer, LAZY)

    again = sync(world, BOB, old, LAZY)

    assert told(again, room_id) == {CAROL: "join"}


def test_a_client_that_begins_anew_knows_nobody(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(CAROL, room_id)
    sync(world, BOB, since, LAZY)
    for number in range(10):
        world.send(ALICE, room_id, str(number))

    anew = sync(world, BOB, definition=LAZY)
    world.send(CAROL, room_id)
    body = sync(world, BOB, anew["next_batch"], LAZY)

    assert told(anew, room_id) == {ALICE: "join", BOB: "join"}
    assert told(body, room_id) == {CAROL: "join"}


def test_who_comes_back_to_a_room_knows_nobody_there(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(CAROL, room_id)
    since = sync(world, BOB, since, LAZY)["next_batch"]
    now(world.membership.leave(BOB, room_id, None))
    since = sync(world, BOB, since, LAZY)["next_batch"]
    for number in range(10):
        world.send(ALICE, room_id, str(number))
    world.join(BOB, room_id)
    since = sync(world, BOB, since, LAZY)["next_batch"]
    world.send(CAROL, room_id)

    body = sync(world, BOB, since, LAZY)

    assert told(body, room_id) == {CAROL: "join"}


def test_a_member_event_of_the_timeline_is_not_repeated_as_state(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    now(world.membership.leave(CAROL, room_id, None))
    world.join(CAROL, room_id)
    since = sync(world, BOB, since, LAZY)["next_batch"]
    world.send(CAROL, room_id)

    body = sync(world, BOB, since, LAZY)

    assert told(body, room_id) == {}


def test_who_joined_between_two_messages_is_told_where_a_filter_hides_the_join(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.send(ALICE, room_id)
    world.join(BOB, room_id)
    world.send(ALICE, room_id)
    messages = {"room": {"timeline": {"types": ["m.room.message"]}}}

    whole, hidden = sync(world, ALICE), sync(world, ALICE, definition=messages)

    assert BOB not in told(whole, room_id)
    assert told(hidden, room_id) == {ALICE: "join", BOB: "join"}


def test_members_that_a_filter_keeps_away_count_as_not_sent(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(CAROL, room_id)
    without = {"room": {"state": {"lazy_load_members": True, "not_types": ["m.room.member"]}}}
    since = sync(world, BOB, since, without)["next_batch"]
    world.send(CAROL, room_id)

    body = sync(world, BOB, since, LAZY)

    assert told(body, room_id) == {CAROL: "join"}


def test_lazily_a_message_of_a_known_member_comes_from_memory(world: World) -> None:
    room_id = room_of_four(world)
    since = sync(world, BOB, definition=LAZY)["next_batch"]
    world.send(ALICE, room_id)

    assert in_memory(world, request(BOB, since, LAZY)) is not None
