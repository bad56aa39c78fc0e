"""Receipts and read markers over HTTP: who sees which, and what is refused."""

from typing import Any

from tests.api.client import Client


def shown_receipts(client: Client, room_id: str, since: str | None = None) -> dict[str, Any]:
    """The content of a room's m.receipt in a sync."""
    room = client.sync(since).get("rooms", {}).get("join", {}).get(room_id, {})
    events = room.get("ephemeral", {}).get("events", [])
    return next((event["content"] for event in events if event["type"] == "m.receipt"), {})


def read(client: Client, room_id: str, event_id: str, kind: str = "m.read", **options: Any) -> Any:
    """Send a receipt."""
    return client.post("rooms", room_id, "receipt", kind, event_id, **options)


def test_a_receipt_is_seen_by_all_and_a_private_one_by_oneself(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    event_id = alice.say(room_id, "hello")
    since = alice.token()

    assert read(bob, room_id, event_id, "m.read.private") == {}
    hidden = shown_receipts(alice, room_id, since)
    assert read(bob, room_id, event_id) == {}

    assert hidden == {}
    assert list(shown_receipts(alice, room_id, since)[event_id]) == ["m.read"]
    assert sorted(shown_receipts(bob, room_id)[event_id]) == ["m.read", "m.read.private"]
    assert list(shown_receipts(alice, room_id)[event_id]["m.read"]) == [bob.user_id]


def test_a_receipt_takes_what_it_covers_from_the_unread_count(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    first = alice.say(room_id, "one")
    alice.say(room_id, "two")

    read(bob, room_id, first)

    counts = bob.sync()["rooms"]["join"][room_id]["unread_notifications"]
    assert counts["notification_count"] == 1


def test_a_threaded_receipt_says_its_thread(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    root = alice.say(room_id, "root")
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    answer = alice.say(room_id, "answer", **relation)

    read(bob, room_id, answer, body={"thread_id": root})
    read(bob, room_id, root, body={"thread_id": "main"})

    shown = shown_receipts(alice, room_id)
    assert shown[answer]["m.read"][bob.user_id]["thread_id"] == root
    assert shown[root]["m.read"][bob.user_id]["thread_id"] == "main"


def test_wrong_threads_are_refused(alice: Client) -> None:
    room_id = alice.create_room()
    event_id, other = alice.say(room_id, "one"), alice.say(room_id, "two")

    for thread_id in ("", 3, None, other, "somewhere", ["main"]):
        body = {"thread_id": thread_id}
        read(alice, room_id, event_id, body=body, status=400, errcode="M_INVALID_PARAM")
    body = {"thread_id": "main"}
    read(alice, room_id, event_id, "m.fully_read", body=body, status=400, errcode="M_INVALID_PARAM")
    read(alice, room_id, event_id, "m.other", status=400, errcode="M_INVALID_PARAM")


def test_receipts_are_for_members_and_for_events_of_the_room(alice: Client, bob: Client) -> None:
    room_id, other = alice.create_room(), alice.create_room()
    event_id, elsewhere = alice.say(room_id, "here"), alice.say(other, "there")

    read(bob, room_id, event_id, status=403, errcode="M_FORBIDDEN")
    read(alice, "!nowhere:example.org", event_id, status=403, errcode="M_FORBIDDEN")
    read(alice, room_id, elsewhere, status=404, errcode="M_NOT_FOUND")
    read(alice, room_id, "$" + "x" * 43, status=404, errcode="M_NOT_FOUND")


def test_read_markers_move_together_and_reach_ones_other_devices(alice: Client) -> None:
    room_id = alice.create_room()
    first, second = alice.say(room_id, "one"), alice.say(room_id, "two")
    since = alice.token()

    markers = {"m.fully_read": first, "m.read": second, "m.read.private": second}
    assert alice.post("rooms", room_id, "read_markers", body=markers) == {}

    room = alice.sync(since)["rooms"]["join"][room_id]
    assert room["account_data"]["events"] == [{"type": "m.fully_read", "content": {"event_id": first}}]
    assert sorted(shown_receipts(alice, room_id, since)[second]) == ["m.read", "m.read.private"]


def test_the_read_marker_may_be_moved_like_a_receipt_and_is_read_as_account_data(alice: Client) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "one")

    read(alice, room_id, event_id, "m.fully_read")

    path = ("user", alice.user_id, "rooms", room_id, "account_data", "m.fully_read")
    assert alice.get(*path) == {"event_id": event_id}
    assert shown_receipts(alice, room_id) == {}
