"""What a sync says of one room: state and timeline together, and the parts that come beside them."""

from typing import Any

import pytest

from homeserver.core.identifiers import RoomID
from homeserver.services.rooms.creation import InitialState
from homeserver.services.rooms.receipts import READ, Marker
from tests.services.sync.asking import bodies, sync, types
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.


def contents(room: Any, section: str = "state") -> list[Any]:
    """The contents of the state events of a section."""
    return [event["content"] for event in room.get(section, {"events": []})["events"]]


def set_topic(world: World, room_id: RoomID, topic: str) -> None:
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": topic}))


def test_state_that_a_filter_keeps_from_the_timeline_comes_as_state(world: World) -> None:
    room_id = world.create_room(ALICE)
    messages = {"room": {"timeline": {"types": ["m.room.message"]}}}
    since = sync(world, ALICE, definition=messages)["next_batch"]
    world.send(ALICE, room_id, "one")
    set_topic(world, room_id, "between them")
    world.send(ALICE, room_id, "two")

    room = sync(world, ALICE, since, messages)["rooms"]["join"][room_id]

    assert bodies(room) == ["one", "two"]
    assert contents(room) == [{"topic": "between them"}]


def test_a_state_event_that_was_replaced_by_one_that_is_not_shown_is_not_shown_last(world: World) -> None:
    hidden = [InitialState("m.room.history_visibility", "", {"history_visibility": "joined"})]
    room_id = world.create_room(ALICE, preset="public_chat", name="first", initial_state=hidden)
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", {"history_visibility": "shared"}))
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "seen"}))
    now(world.sending.set_state(ALICE, room_id, "m.room.history_visibility", "", {"history_visibility": "joined"}))
    now(world.sending.set_state(ALICE, room_id, "m.room.name", "", {"name": "newest"}))
    since = sync(world, BOB)["next_batch"]

    world.join(BOB, room_id)
    room = sync(world, BOB, since, {"room": {"timeline": {"limit": 100}}})["rooms"]["join"][room_id]

    names = [
        event["content"]["name"]
        for event in (*room["state"]["events"], *room["timeline"]["events"])
        if event["type"] == "m.room.name"
    ]
    assert names[-1] == "newest"
    assert room["timeline"]["limited"] is True


def test_whoever_asks_for_the_state_after_gets_it_even_when_it_is_empty(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, ALICE)["next_batch"]
    now(world.typing.set_typing(BOB, BOB, room_id, is_typing=True))
    typing = sync(world, ALICE, since, state_after=True)
    world.send(BOB, room_id)

    said = sync(world, ALICE, typing["next_batch"], state_after=True)

    for body in (typing, said):
        assert body["rooms"]["join"][room_id]["state_after"] == {"events": []}
        assert "state" not in body["rooms"]["join"][room_id]


def test_counts_come_although_the_filter_hides_what_is_counted(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    nothing = {"room": {"timeline": {"types": ["org.example.thing"]}}}
    since = sync(world, BOB, definition=nothing)["next_batch"]
    event_id = world.send(ALICE, room_id)

    unread = sync(world, BOB, since, nothing)
    now(world.sending.redact(ALICE, room_id, event_id, {}, None))
    redacted = sync(world, BOB, unread["next_batch"], nothing)
    set_topic(world, room_id, "nobody is told")
    later = sync(world, BOB, redacted["next_batch"], {"room": {"timeline": {"types": []}, "state": {"types": []}}})

    assert unread["rooms"]["join"][room_id]["unread_notifications"]["notification_count"] == 1
    assert redacted["rooms"]["join"][room_id]["unread_notifications"]["notification_count"] == 0
    assert "rooms" not in later


def test_a_redacted_message_is_redacted_also_for_who_did_not_have_it_yet(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    event_id = world.send(ALICE, room_id, "secret")
    sync(world, BOB, since)
    now(world.sending.redact(ALICE, room_id, event_id, {}, None))
    sync(world, BOB, since)

    room = sync(world, BOB, since)["rooms"]["join"][room_id]

    message = room["timeline"]["events"][0]
    assert message["content"] == {}
    assert message["unsigned"]["redacted_because"]["type"] == "m.room.redaction"


def test_a_timeline_of_no_events_says_that_there_are_some(world: World) -> None:
    room_id = world.create_room(ALICE)
    none = {"room": {"timeline": {"limit": 0}}}
    since = sync(world, ALICE, definition=none)["next_batch"]
    world.send(ALICE, room_id)
    set_topic(world, room_id, "told as state")

    room = sync(world, ALICE, since, none)["rooms"]["join"][room_id]

    assert room["timeline"]["events"] == []
    assert room["timeline"]["limited"] is True
    assert room["timeline"]["prev_batch"]
    assert contents(room) == [{"topic": "told as state"}]


@pytest.mark.parametrize("state_after", [False, True])
def test_who_was_kicked_and_banned_is_told_nothing_of_the_time_between(world: World, state_after: bool) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    now(world.membership.kick(ALICE, room_id, BOB, None))
    world.send(ALICE, room_id, "secret")
    set_topic(world, room_id, "secret")
    now(world.membership.ban(ALICE, room_id, BOB, None))

    one = {"room": {"timeline": {"limit": 1}}}
    room = sync(world, BOB, since, one, state_after=state_after)["rooms"]["leave"][room_id]

    assert [event["content"]["membership"] for event in room["timeline"]["events"]] == ["ban"]
    told = room["state_after" if state_after else "state"]["events"]
    assert [event["content"] for event in told] == [{"membership": "ban" if state_after else "leave"}]


def test_who_was_banned_without_ever_being_there_is_told_only_that(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="secret")
    since = sync(world, BOB)["next_batch"]
    now(world.membership.ban(ALICE, room_id, BOB, "spam"))

    room = sync(world, BOB, since)["rooms"]["leave"][room_id]

    assert [event["content"] for event in room["timeline"]["events"]] == [{"membership": "ban", "reason": "spam"}]
    assert room["timeline"]["limited"] is False
    assert contents(room) == []


def test_who_came_and_went_between_two_syncs_gets_the_whole_state_of_their_stay(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    since = sync(world, BOB)["next_batch"]
    world.join(BOB, room_id)
    now(world.membership.leave(BOB, room_id, None))

    room = sync(world, BOB, since)["rooms"]["leave"][room_id]

    known = [*room["state"]["events"], *room["timeline"]["events"]]
    assert {"m.room.create", "m.room.name", "m.room.power_levels"} <= set(types(known))


def test_what_a_user_attached_to_a_room_comes_with_the_room_that_was_left(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    now(world.account_data.put(BOB, BOB, room_id, "org.example.note", {"text": "never again"}))
    now(world.membership.leave(BOB, room_id, None))

    room = sync(world, BOB, since)["rooms"]["leave"][room_id]

    assert room["account_data"]["events"] == [{"type": "org.example.note", "content": {"text": "never again"}}]


def test_who_comes_back_is_told_that_the_timeline_has_a_hole(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB, definition={"room": {"timeline": {"limit": 100}}})["next_batch"]
    now(world.membership.leave(BOB, room_id, None))
    left = sync(world, BOB, since)["next_batch"]

    world.join(BOB, room_id)
    room = sync(world, BOB, left, {"room": {"timeline": {"limit": 100}}})["rooms"]["join"][room_id]

    assert room["timeline"]["limited"] is True


def test_of_two_receipts_for_one_event_that_for_the_whole_room_is_shown(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    event_id = world.send(ALICE, room_id)
    since = sync(world, CAROL)["next_batch"]
    for thread_id in (None, "main"):
        now(world.receipts.mark(BOB, room_id, [Marker(READ, event_id, thread_id)]))

    world.join(CAROL, room_id)
    room = sync(world, CAROL, since)["rooms"]["join"][room_id]

    receipt = room["ephemeral"]["events"][0]["content"][event_id]["m.read"][BOB]
    assert "thread_id" not in receipt


NO_TIMELINE = {"room": {"timeline": {"types": []}, "state": {"types": ["org.example.thing"]}}}


def test_a_room_in_which_only_something_of_ones_own_was_hidden_is_not_shown(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, ALICE, definition=NO_TIMELINE)["next_batch"]

    world.send(ALICE, room_id, "hidden")
    now(world.sending.set_state(ALICE, room_id, "org.example.other", "", {}))

    assert "rooms" not in sync(world, ALICE, since, NO_TIMELINE)


@pytest.mark.parametrize("is_in_thread", [False, True])
def test_a_room_is_shown_when_something_hidden_of_ones_own_has_read_what_was_unread(
    world: World, is_in_thread: bool
) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    root = world.send(BOB, room_id, "unread")
    content: dict[str, Any] = {"msgtype": "m.text", "body": "in a thread"}
    if is_in_thread:
        content["m.relates_to"] = {"rel_type": "m.thread", "event_id": root}
    now(world.sending.send_message(BOB, room_id, "m.room.message", content, None))
    before = sync(world, ALICE, definition=NO_TIMELINE)

    now(world.sending.send_message(ALICE, room_id, "m.room.message", content, None))

    after = sync(world, ALICE, before["next_batch"], NO_TIMELINE)
    counts = [body["rooms"]["join"][room_id]["unread_notifications"]["notification_count"] for body in (before, after)]
    assert counts == ([2, 1] if is_in_thread else [2, 0])
