"""Unread counts: what raises them, what ends them, and what leaves them alone."""

from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.rooms.receipts import READ, READ_PRIVATE, Marker
from tests.services.sync.asking import sync
from tests.services.world import ALICE, BOB, CAROL, World, now

# Any: JSON, throughout.

BY_THREAD = {"room": {"timeline": {"unread_thread_notifications": True}}}


def room_with_bob(world: World) -> RoomID:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(BOB, room_id)
    return room_id


def say(world: World, sender: UserID, room_id: RoomID, root: EventID | None = None, /, **content: Any) -> EventID:
    """Send a message, in a thread or in none."""
    if root is not None:
        content["m.relates_to"] = {"rel_type": "m.thread", "event_id": root}
    text = {"msgtype": "m.text", "body": "hello", **content}
    return now(world.sending.send_message(sender, room_id, "m.room.message", text, None))


def counts(world: World, user_id: UserID, room_id: RoomID) -> tuple[int, int, dict[str, int]]:
    """Notifications and highlights outside of threads, and the notifications of each thread."""
    room = sync(world, user_id, definition=BY_THREAD)["rooms"]["join"][room_id]
    threads = {root: one["notification_count"] for root, one in room["unread_thread_notifications"].items()}
    main = room["unread_notifications"]
    return main["notification_count"], main["highlight_count"], threads


def test_who_answers_has_read_what_was_said_before_in_that_thread(world: World) -> None:
    room_id = room_with_bob(world)
    root = say(world, ALICE, room_id)
    say(world, ALICE, room_id, root)

    before = counts(world, BOB, room_id)
    say(world, BOB, room_id)
    main_read = counts(world, BOB, room_id)
    say(world, BOB, room_id, root)
    thread_read = counts(world, BOB, room_id)

    assert before == (1, 0, {root: 1})
    assert main_read == (0, 0, {root: 1})
    assert thread_read == (0, 0, {})


def test_ones_own_message_ends_the_count_also_in_memory(world: World) -> None:
    room_id = room_with_bob(world)
    since = sync(world, BOB)["next_batch"]
    say(world, ALICE, room_id)
    since = sync(world, BOB, since)["next_batch"]
    say(world, BOB, room_id)
    say(world, ALICE, room_id)

    room = sync(world, BOB, since)["rooms"]["join"][room_id]

    assert room["unread_notifications"]["notification_count"] == 1


def test_a_profile_that_the_server_brings_into_a_room_reads_nothing(world: World) -> None:
    room_id = room_with_bob(world)
    say(world, ALICE, room_id)
    content = {"membership": "join", "displayname": "Robert"}

    now(world.sending.set_state(BOB, room_id, "m.room.member", BOB, content))

    assert counts(world, BOB, room_id) == (1, 0, {})


def test_who_comes_back_has_missed_nothing_that_counts(world: World) -> None:
    room_id = room_with_bob(world)
    first = say(world, ALICE, room_id)
    world.join(CAROL, room_id)
    now(world.receipts.mark(BOB, room_id, [Marker(READ, first)]))
    now(world.membership.leave(BOB, room_id, None))
    say(world, ALICE, room_id)

    world.join(BOB, room_id)
    away = counts(world, BOB, room_id)
    say(world, ALICE, room_id)

    assert away == (0, 0, {})
    assert counts(world, BOB, room_id) == (1, 0, {})


def test_a_receipt_in_a_thread_does_not_make_what_was_before_the_join_unread(world: World) -> None:
    room_id = world.create_room(ALICE, preset="public_chat", name="Room")
    world.join(CAROL, room_id)
    say(world, ALICE, room_id)
    world.join(BOB, room_id)
    event_id = say(world, ALICE, room_id)

    now(world.receipts.mark(BOB, room_id, [Marker(READ_PRIVATE, event_id, "main")]))

    assert counts(world, BOB, room_id) == (0, 0, {})


def test_receipts_end_the_threads_they_are_for(world: World) -> None:
    room_id = room_with_bob(world)
    root = say(world, ALICE, room_id)
    inside = say(world, ALICE, room_id, root)
    last = say(world, ALICE, room_id)

    now(world.receipts.mark(BOB, room_id, [Marker(READ, inside, root)]))
    thread_read = counts(world, BOB, room_id)
    now(world.receipts.mark(BOB, room_id, [Marker(READ, root, "main")]))
    root_read = counts(world, BOB, room_id)
    now(world.receipts.mark(BOB, room_id, [Marker(READ, last)]))

    assert thread_read == (2, 0, {})
    assert root_read == (1, 0, {})
    assert counts(world, BOB, room_id) == (0, 0, {})


def test_mentions_are_highlighted_until_they_are_redacted(world: World) -> None:
    room_id = room_with_bob(world)
    mention = say(world, ALICE, room_id, **{"m.mentions": {"user_ids": [BOB]}})
    everybody = say(world, ALICE, room_id, **{"m.mentions": {"room": True}})

    both = counts(world, BOB, room_id)
    now(world.sending.redact(ALICE, room_id, mention, {}, None))
    one = counts(world, BOB, room_id)
    now(world.sending.redact(ALICE, room_id, everybody, {}, None))

    assert both == (2, 2, {})
    assert one == (1, 1, {})
    assert counts(world, BOB, room_id) == (0, 0, {})


def test_a_reaction_is_in_the_thread_of_what_it_is_about(world: World) -> None:
    room_id = room_with_bob(world)
    root = say(world, BOB, room_id)
    inside = say(world, BOB, room_id, root)
    say(world, ALICE, room_id, root)
    annotation = {"m.relates_to": {"rel_type": "m.annotation", "event_id": inside, "key": "+"}}

    now(world.sending.send_message(BOB, room_id, "m.reaction", annotation, None))

    assert counts(world, BOB, room_id) == (0, 0, {})


def test_new_push_rules_are_for_new_messages(world: World) -> None:
    room_id = room_with_bob(world)
    world.join(CAROL, room_id)
    say(world, ALICE, room_id)
    mute: dict[str, Any] = {"actions": []}

    now(world.push_rules.put(BOB, "room", room_id, mute, before=None, after=None))
    muted = counts(world, BOB, room_id)
    say(world, ALICE, room_id)
    silent = counts(world, BOB, room_id)
    now(world.push_rules.delete(BOB, "room", room_id))
    loud = counts(world, BOB, room_id)
    say(world, ALICE, room_id)

    assert muted == silent == loud == (1, 0, {})
    assert counts(world, BOB, room_id) == (2, 0, {})
    assert counts(world, CAROL, room_id) == (3, 0, {})


def test_what_ignored_users_send_counts_nowhere(world: World) -> None:
    room_id = room_with_bob(world)
    world.join(CAROL, room_id)
    say(world, ALICE, room_id)
    say(world, CAROL, room_id, body=f"hello {BOB}", **{"m.mentions": {"user_ids": [BOB]}})
    assert counts(world, BOB, room_id) == (2, 1, {})
    since = sync(world, BOB)["next_batch"]

    now(world.account_data.put(BOB, BOB, None, "m.ignored_user_list", {"ignored_users": {CAROL: {}}}))
    say(world, CAROL, room_id)
    ignoring = sync(world, BOB, since)
    say(world, CAROL, room_id, **{"m.mentions": {"user_ids": [BOB]}})
    nothing = sync(world, BOB, ignoring["next_batch"])
    say(world, ALICE, room_id)
    heard = sync(world, BOB, nothing["next_batch"])

    assert counts(world, BOB, room_id) == (2, 0, {})
    assert "rooms" not in nothing
    assert heard["rooms"]["join"][room_id]["unread_notifications"]["notification_count"] == 2


def test_a_rule_about_subscriptions_is_for_those_who_are_subscribed_to_the_thread(world: World) -> None:
    room_id = room_with_bob(world)
    world.join(CAROL, room_id)
    condition = {"kind": "io.element.msc4306.thread_subscription", "subscribed": False}
    rule = {"conditions": [condition], "actions": []}
    for user_id in (BOB, CAROL):
        now(world.push_rules.put(user_id, "override", "quiet", rule, before=None, after=None))
    root, other = (say(world, ALICE, room_id) for _ in range(2))
    now(world.thread_subscriptions.subscribe(BOB, room_id, root, None))

    for thread in (root, other):
        say(world, ALICE, room_id, thread)
    say(world, ALICE, room_id)

    assert counts(world, BOB, room_id) == (3, 0, {root: 1})
    assert counts(world, CAROL, room_id) == (3, 0, {})
    assert counts(world, ALICE, room_id) == (0, 0, {})
