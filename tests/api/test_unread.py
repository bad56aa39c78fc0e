"""Receipts, and how much is unread: per room, per thread, for each device of a user."""

from typing import Any

import pytest

from tests.api.client import Client, meanwhile

# Any: JSON, throughout.

THREADS = {"room": {"timeline": {"unread_thread_notifications": True}}}


def thread(root: str) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}


def counts(client: Client, room_id: str, **query: Any) -> tuple[int, int]:
    unread = client.sync(**query)["rooms"]["join"][room_id]["unread_notifications"]
    return unread["notification_count"], unread["highlight_count"]


def read(client: Client, room_id: str, event_id: str, receipt_type: str = "m.read", **body: str) -> None:
    client.post("rooms", room_id, "receipt", receipt_type, event_id, body=body)


def receipts(client: Client, room_id: str, since: str | None = None) -> dict[str, Any]:
    room = client.sync(since).get("rooms", {}).get("join", {}).get(room_id, {})
    shown: dict[str, Any] = {}
    for event in room.get("ephemeral", {}).get("events", []):
        if event["type"] == "m.receipt":
            shown |= event["content"]
    return shown


def test_messages_of_others_count_and_mentions_are_highlighted(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    bob.say(room_id, "mine")

    alice.say(room_id, "one")
    alice.say(room_id, "for you", **{"m.mentions": {"user_ids": [bob.user_id]}})
    alice.set_state(room_id, "m.room.topic", {"topic": "counts for nobody"})

    assert counts(bob, room_id) == (2, 1)


@pytest.mark.parametrize("receipt_type", ["m.read", "m.read.private"])
def test_a_receipt_ends_what_was_unread_up_to_it(alice: Client, bob: Client, receipt_type: str) -> None:
    room_id = alice.create_room_with(bob)
    sent = [alice.say(room_id, str(number)) for number in range(3)]
    since = bob.token()

    read(bob, room_id, sent[1], receipt_type)

    assert counts(bob, room_id) == (1, 0)
    assert counts(bob, room_id, since=since) == (1, 0)
    read(bob, room_id, sent[2], receipt_type)
    assert counts(bob, room_id) == (0, 0)


def test_a_receipt_does_not_go_back(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    first, second = alice.say(room_id, "one"), alice.say(room_id, "two")

    read(bob, room_id, second)
    read(bob, room_id, first)

    assert counts(bob, room_id) == (0, 0)
    assert set(receipts(alice, room_id)) == {second}


def test_a_public_receipt_is_shown_to_others_and_a_private_one_to_nobody_else(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    event_id = alice.say(room_id, "x")
    since, other = alice.token(), bob.login_again()
    of_bob = other.token()

    read(bob, room_id, event_id, "m.read.private")
    privately = (receipts(alice, room_id, since), receipts(other, room_id, of_bob))
    read(bob, room_id, event_id)
    publicly = receipts(alice, room_id, since)

    assert privately[0] == {}
    assert set(privately[1][event_id]["m.read.private"]) == {bob.user_id}
    assert set(publicly[event_id]) == {"m.read"}
    assert publicly[event_id]["m.read"][bob.user_id]["ts"] > 0
    assert "m.read.private" not in str(receipts(alice, room_id))


def test_a_receipt_wakes_who_waits(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    event_id = alice.say(room_id, "x")
    since = alice.token()

    with meanwhile(lambda: alice.sync(since, timeout_ms=60_000)) as waiting:
        read(bob, room_id, event_id)

    assert "ephemeral" in waiting.result()["rooms"]["join"][room_id]


def test_threads_are_counted_apart_for_who_asks_and_together_for_who_does_not(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    root = alice.say(room_id, "root")
    alice.say(room_id, "in the thread", **thread(root))
    alice.say(room_id, "for you", **thread(root), **{"m.mentions": {"user_ids": [bob.user_id]}})

    room = bob.sync(filter=THREADS)["rooms"]["join"][room_id]

    assert room["unread_notifications"] == {"notification_count": 1, "highlight_count": 0}
    assert room["unread_thread_notifications"] == {root: {"notification_count": 2, "highlight_count": 1}}
    assert counts(bob, room_id) == (3, 1)


def test_a_receipt_in_a_thread_is_for_that_thread_and_one_without_for_all(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    roots = [alice.say(room_id, "one"), alice.say(room_id, "other")]
    replies = [alice.say(room_id, "reply", **thread(root)) for root in roots]

    def unread() -> tuple[int, dict[str, int]]:
        room = bob.sync(filter=THREADS)["rooms"]["join"][room_id]
        threads = room.get("unread_thread_notifications", {})
        main: int = room["unread_notifications"]["notification_count"]
        return main, {root: each["notification_count"] for root, each in threads.items() if each["notification_count"]}

    assert unread() == (2, {roots[0]: 1, roots[1]: 1})
    read(bob, room_id, replies[0], thread_id=roots[0])
    assert unread() == (2, {roots[1]: 1})
    read(bob, room_id, roots[1], thread_id="main")
    assert unread() == (0, {roots[1]: 1})
    read(bob, room_id, replies[1])
    assert unread() == (0, {})


def test_the_fully_read_marker_reaches_the_users_other_devices(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    event_id = alice.say(room_id, "x")
    other = bob.login_again()
    since = other.token()

    bob.post("rooms", room_id, "read_markers", body={"m.fully_read": event_id, "m.read": event_id})

    room = other.sync(since)["rooms"]["join"][room_id]
    assert room["account_data"]["events"] == [{"type": "m.fully_read", "content": {"event_id": event_id}}]
    assert room["unread_notifications"]["notification_count"] == 0
    assert event_id in receipts(alice, room_id)


@pytest.mark.parametrize(
    ("receipt_type", "body"), [("m.odd", {}), ("m.read", {"thread_id": ""}), ("m.read", {"thread_id": 5})]
)
def test_a_receipt_of_the_wrong_shape_is_refused(alice: Client, receipt_type: str, body: dict[str, Any]) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "x")

    answer = alice.post("rooms", room_id, "receipt", receipt_type, event_id, body=body, status=400)

    assert answer["errcode"] in ("M_INVALID_PARAM", "M_BAD_JSON")


def test_a_muted_room_counts_mentions_alone(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    bob.put("pushrules", "global", "room", room_id, body={"actions": []})

    alice.say(room_id, "quiet")
    alice.say(room_id, "for you", **{"m.mentions": {"user_ids": [bob.user_id]}})

    assert counts(bob, room_id) == (1, 1)


def test_counts_outlive_leaving_and_coming_back_without_old_ones(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat")
    alice.say(room_id, "before")
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, "meanwhile")

    bob.join(room_id)
    alice.say(room_id, "after")

    assert counts(bob, room_id) == (1, 0)
