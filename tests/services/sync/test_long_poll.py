"""A sync: what it shows, that memory and database say the same, and that it waits for the bell."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.core.filters import parse_filter
from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.core.sync_tokens import SyncToken, parse_sync_token
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.sending import ClientTransaction
from homeserver.services.sync.request import Answer, SyncRequest
from homeserver.storage.database import Backend
from tests.services.sync.asking import LAZY, bodies, request, sync, types
from tests.services.world import ALICE, BOB, CAROL, PHONE, World, now, shown


def test_an_initial_sync_shows_the_room_with_its_state_before_the_timeline(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    for number in range(3):
        world.send(ALICE, room_id, str(number))

    body = sync(world, ALICE, definition={"room": {"timeline": {"limit": 2}}})

    room = body["rooms"]["join"][room_id]
    assert bodies(room) == ["1", "2"]
    assert room["timeline"]["limited"] is True
    assert "m.room.name" in types(room["state"]["events"])
    assert body["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert body["device_unused_fallback_key_types"] == []
    assert "m.push_rules" in types(body["account_data"]["events"])


def test_the_next_sync_shows_only_what_is_new(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    world.send(ALICE, room_id, "one")

    body = sync(world, BOB, since)
    empty = sync(world, BOB, body["next_batch"])

    assert bodies(body["rooms"]["join"][room_id]) == ["one"]
    assert body["rooms"]["join"][room_id]["timeline"]["limited"] is False
    assert "state" not in body["rooms"]["join"][room_id]
    assert "rooms" not in empty
    assert empty["device_unused_fallback_key_types"] == []


def test_a_plain_message_and_an_empty_sync_cost_no_read_once_warm(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    reads = world.sync_database.counts.reads

    world.send(ALICE, room_id, "one")
    body = now(world.long_poll.sync(request(BOB, since))).body
    now(world.long_poll.sync(request(BOB, body["next_batch"])))

    assert room_id in body["rooms"]["join"]
    assert world.sync_database.counts.reads == reads


def test_an_old_token_gives_the_same_again(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    world.send(ALICE, room_id, "one")

    first = sync(world, ALICE, since)
    world.send(ALICE, room_id, "two")

    assert bodies(first["rooms"]["join"][room_id]) == ["one"]
    assert bodies(sync(world, ALICE, since)["rooms"]["join"][room_id]) == ["one", "two"]


def test_a_gap_is_limited_and_filled_from_its_prev_batch(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    definition = {"room": {"timeline": {"limit": 3}}}
    since = sync(world, ALICE, definition=definition)["next_batch"]
    for number in range(6):
        world.send(ALICE, room_id, str(number))
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "in the gap"}))
    for number in range(6, 9):
        world.send(ALICE, room_id, str(number))

    room = sync(world, ALICE, since, definition)["rooms"]["join"][room_id]

    assert bodies(room) == ["6", "7", "8"]
    assert room["timeline"]["limited"] is True
    assert [event["content"] for event in room["state"]["events"]] == [{"topic": "in the gap"}]
    older = world.history(ALICE, room_id)
    ids = [event["event_id"] for event in older]
    assert ids.index(room["timeline"]["events"][0]["event_id"]) == 2


def test_state_after_is_the_state_at_the_end_of_the_timeline(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    now(world.sending.set_state(ALICE, room_id, "m.room.topic", "", {"topic": "new"}))

    before = sync(world, ALICE, since)["rooms"]["join"][room_id]
    after = sync(world, ALICE, since, state_after=True)["rooms"]["join"][room_id]

    assert "state" not in before
    assert types(before["timeline"]["events"]) == ["m.room.topic"]
    assert [event["content"] for event in after["state_after"]["events"]] == [{"topic": "new"}]


def test_an_invite_comes_with_stripped_state_and_goes_when_it_is_declined(world: World) -> None:
    since = sync(world, BOB)["next_batch"]
    room_id = world.create_room(ALICE, name="Room", invite=[BOB])

    invited = sync(world, BOB, since)
    now(world.membership.leave(BOB, room_id, None))
    declined = sync(world, BOB, invited["next_batch"])

    stripped = invited["rooms"]["invite"][room_id]["invite_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.join_rules", "m.room.member"} <= set(types(stripped))
    assert types(declined["rooms"]["leave"][room_id]["timeline"]["events"]) == ["m.room.member"]


def test_a_room_that_was_joined_comes_whole(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.send(ALICE, room_id, "before")
    since = sync(world, BOB)["next_batch"]

    world.join(BOB, room_id)
    room = sync(world, BOB, since)["rooms"]["join"][room_id]

    assert bodies(room) == ["before"]
    known = types(room["state"]["events"]) + types(room["timeline"]["events"])
    assert {"m.room.create", "m.room.name", "m.room.power_levels", "m.room.member"} <= set(known)


def test_who_is_kicked_sees_the_room_until_then(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    world.send(ALICE, room_id, "last")
    now(world.membership.kick(ALICE, room_id, BOB, "bye"))
    world.send(ALICE, room_id, "secret")

    body = sync(world, BOB, since)

    room = body["rooms"]["leave"][room_id]
    assert bodies(room) == ["last"]
    assert room["timeline"]["events"][-1]["content"]["membership"] == "leave"
    assert room_id not in body["rooms"].get("join", {})
    assert "rooms" not in sync(world, BOB, body["next_batch"])


def test_an_initial_sync_shows_rooms_that_were_left_only_when_asked(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.membership.leave(BOB, room_id, None))

    without = sync(world, BOB)
    with_left = sync(world, BOB, definition={"room": {"include_leave": True}})
    now(world.membership.forget(BOB, room_id))
    forgotten = sync(world, BOB, definition={"room": {"include_leave": True}})

    assert "rooms" not in without
    assert room_id in with_left["rooms"]["leave"]
    assert "rooms" not in forgotten


def test_lazily_loaded_members_come_once(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    for number in range(10):
        world.send(ALICE, room_id, str(number))

    first = sync(world, BOB, definition=LAZY)
    world.send(ALICE, room_id, "again")
    second = sync(world, BOB, first["next_batch"], LAZY)
    world.send(CAROL, room_id, "hello")
    third = sync(world, BOB, second["next_batch"], LAZY)

    def members(body: Any) -> set[str]:
        state = body["rooms"]["join"][room_id].get("state", {"events": []})
        return {event["state_key"] for event in state["events"] if event["type"] == "m.room.member"}

    assert members(first) == {ALICE, BOB, CAROL}  # the sender, oneself, and a hero of a room without a name
    assert members(second) == set()
    assert members(third) == set()  # Carol came as a hero
    assert first["rooms"]["join"][room_id]["summary"]["m.joined_member_count"] == 3


def test_unread_messages_are_counted_by_thread_until_they_are_read(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    root = world.send(ALICE, room_id, "one")
    content = {"msgtype": "m.text", "body": "two", "m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    now(world.sending.send_message(ALICE, room_id, "m.room.message", content, None))
    mention = {"msgtype": "m.text", "body": "three", "m.mentions": {"user_ids": [BOB]}}
    now(world.sending.send_message(ALICE, room_id, "m.room.message", mention, None))

    together = sync(world, BOB, since)["rooms"]["join"][room_id]
    apart_filter = {"room": {"timeline": {"unread_thread_notifications": True}}}
    apart = sync(world, BOB, since, apart_filter)["rooms"]["join"][room_id]
    own = sync(world, ALICE)["rooms"]["join"][room_id]

    assert together["unread_notifications"] == {"notification_count": 3, "highlight_count": 1}
    assert apart["unread_notifications"] == {"notification_count": 2, "highlight_count": 1}
    assert apart["unread_thread_notifications"] == {root: {"notification_count": 1, "highlight_count": 0}}
    assert own["unread_notifications"] == {"notification_count": 0, "highlight_count": 0}


def test_only_the_sending_device_sees_its_transaction_id(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    world.send(ALICE, room_id, "one", "txn")

    own = sync(world, ALICE, since)
    laptop = SyncRequest(viewer=Viewer(ALICE, DeviceID("LAPTOP")), since=parse_sync_token(since))
    other = shown(now(world.long_poll.sync(laptop)).body)

    assert own["rooms"]["join"][room_id]["timeline"]["events"][0]["unsigned"]["transaction_id"] == "txn"
    assert "transaction_id" not in other["rooms"]["join"][room_id]["timeline"]["events"][0]["unsigned"]


def test_a_sync_waits_until_something_happens(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    waiting = Deferred.fromCoroutine(world.long_poll.sync(request(ALICE, since, timeout_ms=30_000)))
    answers: list[Answer] = []
    waiting.addCallback(answers.append)
    assert answers == []

    world.send(ALICE, room_id, "one")
    world.clock.advance(0)

    assert bodies(shown(answers[0].body)["rooms"]["join"][room_id]) == ["one"]


def test_a_sync_for_which_nothing_happens_ends_with_its_timeout(world: World) -> None:
    world.create_room(ALICE)
    since = sync(world, BOB)["next_batch"]
    waiting = Deferred.fromCoroutine(world.long_poll.sync(request(BOB, since, timeout_ms=10_000)))
    answers: list[Answer] = []
    waiting.addCallback(answers.append)

    world.create_room(ALICE)
    world.clock.advance(9)
    assert answers == []
    world.clock.advance(1)

    assert answers[0].is_empty
    assert answers[0].next_batch.position >= parse_sync_token(since).position


@pytest.mark.parametrize("ahead", [10**6, 2**62])
def test_a_token_from_the_future_begins_anew(world: World, ahead: int) -> None:
    room_id = world.create_room(ALICE)
    token = str(SyncToken(ahead, 0, "other", 0))

    body = sync(world, ALICE, token)

    assert "state" in body["rooms"]["join"][room_id]


def test_messages_of_ignored_users_are_left_out_but_not_their_state(world: World) -> None:
    room_id: RoomID = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.account_data.put(ALICE, ALICE, None, "m.ignored_user_list", {"ignored_users": {BOB: {}}}))
    since = sync(world, ALICE)["next_batch"]
    world.send(BOB, room_id, "noise")
    now(world.membership.leave(BOB, room_id, None))

    room = sync(world, ALICE, since)["rooms"]["join"][room_id]

    assert types(room["timeline"]["events"]) == ["m.room.member"]


def test_how_a_member_is_shown_changes_without_a_read_once_warm(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    reads = world.sync_database.counts.reads

    now(world.sending.set_state(ALICE, room_id, "m.room.member", ALICE, {"membership": "join", "displayname": "A"}))
    body = shown(now(world.long_poll.sync(request(BOB, since))).body)

    assert types(body["rooms"]["join"][room_id]["timeline"]["events"]) == ["m.room.member"]
    assert "summary" not in body["rooms"]["join"][room_id]
    assert world.sync_database.counts.reads == reads


def test_a_client_without_a_device_syncs_like_others(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")

    def ask(since: str | None) -> Any:
        token = None if since is None else parse_sync_token(since)
        asked = SyncRequest(viewer=Viewer(ALICE, None), since=token, filter=parse_filter(LAZY))
        return shown(now(world.long_poll.sync(asked)).body)

    first = ask(None)
    content = {"body": "one"}
    transaction = ClientTransaction(DeviceID(""), "path", "txn")
    now(world.sending.send_message(ALICE, room_id, "m.room.message", content, transaction))
    second = ask(first["next_batch"])

    assert second["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert second["device_unused_fallback_key_types"] == []
    room = second["rooms"]["join"][room_id]
    assert room["timeline"]["events"][0]["unsigned"]["transaction_id"] == "txn"
    assert types(room["state"]["events"]) == ["m.room.member"]  # nobody remembers what was sent to no device
    assert "rooms" not in ask(second["next_batch"])


def test_what_concerns_others_does_not_end_the_wait_and_is_not_waited_for_again(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    only = {"room": {"rooms": [], "not_rooms": [room_id]}}
    since = sync(world, BOB, definition=only)["next_batch"]
    answers: list[Answer] = []
    waiting = Deferred.fromCoroutine(world.long_poll.sync(request(BOB, since, only, timeout_ms=10_000)))
    waiting.addCallback(answers.append)

    for _ in range(3):
        world.send(ALICE, room_id)
        world.clock.advance(3)
    early = list(answers)
    world.clock.advance(1)

    assert early == []
    assert answers[0].is_empty
    assert answers[0].next_batch.position == world.database.position


def test_two_polls_with_one_token_are_both_answered(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    answers: list[Answer] = []
    for _ in range(2):
        waiting = Deferred.fromCoroutine(world.long_poll.sync(request(ALICE, since, timeout_ms=30_000)))
        waiting.addCallback(answers.append)

    world.send(ALICE, room_id, "one")
    world.clock.advance(0)

    assert [bodies(shown(answer.body)["rooms"]["join"][room_id]) for answer in answers] == [["one"], ["one"]]


def test_a_token_of_a_commit_that_the_reactor_has_not_heard_of_goes_on(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    sync(world, ALICE)
    world.send(ALICE, room_id, "one")
    token = world.sync_database.read(world.assembling.read, request(ALICE, None)).next_batch
    world.database.position -= 1  # as it is between the commit and the news of it

    body = sync(world, ALICE, str(token))

    assert "rooms" not in body
    assert parse_sync_token(body["next_batch"]) == token


def test_a_new_boot_goes_on_from_the_tokens_of_the_old_one(backend: Backend) -> None:
    world = World(backend)
    room_id = world.create_room(ALICE, preset="public_chat")
    since = sync(world, ALICE)["next_batch"]
    world.send(ALICE, room_id, "one")
    world.close()

    again = World(backend, boot=2)
    room = sync(again, ALICE, since)["rooms"]["join"][room_id]
    again.close()

    assert bodies(room) == ["one"]
    assert "state" not in room


def online(world: World, *user_ids: UserID) -> None:
    """Let users say that they are here, and all be told."""
    for user_id in user_ids:
        world.presence.set_status(user_id, PHONE, user_id, "online", None)
    now(world.presence.tell())


def seen(body: Any) -> list[str]:
    return [event["sender"] for event in body.get("presence", {}).get("events", [])]


def test_presence_is_told_to_who_waits_and_by_memory_and_database_alike(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    since = sync(world, BOB)["next_batch"]
    answers: list[Answer] = []
    waiting = Deferred.fromCoroutine(world.long_poll.sync(request(BOB, since, timeout_ms=10_000)))
    waiting.addCallback(answers.append)

    online(world, ALICE)
    world.clock.advance(0)

    event = {"presence": "online", "last_active_ago": 0, "currently_active": True}
    assert answers[0].body["presence"] == {"events": [{"type": "m.presence", "sender": ALICE, "content": event}]}
    assert seen(sync(world, BOB, since)) == seen(sync(world, BOB)) == [ALICE]
    assert seen(sync(world, BOB, answers[0].body["next_batch"])) == []


def test_presence_that_a_filter_does_not_want_or_of_who_is_ignored_ends_no_wait(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    world.join(BOB, room_id)
    now(world.account_data.put(BOB, BOB, None, "m.ignored_user_list", {"ignored_users": {CAROL: {}}}))
    world.join(CAROL, room_id)
    sinces = [sync(world, BOB)["next_batch"] for _ in range(2)]
    answers: list[Answer] = []
    definitions: list[Any] = [{}, {"presence": {"types": []}}]
    for since, definition in zip(sinces, definitions, strict=True):
        call = world.long_poll.sync(request(BOB, since, definition, timeout_ms=10_000))
        Deferred.fromCoroutine(call).addCallback(answers.append)
    reads = world.sync_database.counts.reads

    online(world, CAROL)
    world.clock.advance(1)

    assert answers == []
    assert world.sync_database.counts.reads - reads == 1  # who is to be told
    world.clock.advance(10)
    assert [answer.is_empty for answer in answers] == [True, True]


def test_presence_is_limited_to_what_a_filter_wants(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat")
    for user_id in (BOB, CAROL):
        world.join(user_id, room_id)
    online(world, ALICE)
    online(world, CAROL)

    assert seen(sync(world, BOB)) == [CAROL, ALICE]
    assert seen(sync(world, BOB, definition={"presence": {"limit": 1}})) == [CAROL]
    assert seen(sync(world, BOB, definition={"presence": {"limit": 0}})) == []
    assert seen(sync(world, BOB, definition={"presence": {"not_senders": [CAROL]}})) == [ALICE]
