"""Typing over HTTP: seen by the room, said by oneself."""

from typing import Any

from tests.api.client import Client, meanwhile


def shown_typing(answer: dict[str, Any], room_id: str) -> Any:
    """Who types, as a sync's answer says; None when it says nothing."""
    room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    events = room.get("ephemeral", {}).get("events", [])
    return next((event["content"]["user_ids"] for event in events if event["type"] == "m.typing"), None)


def types(client: Client, room_id: str, user: Client, *, typing: bool = True, **options: Any) -> Any:
    """Say that somebody types, or stopped."""
    return client.put("rooms", room_id, "typing", user.user_id, body={"typing": typing, "timeout": 30_000}, **options)


def test_who_waits_is_told_who_types_and_who_stopped(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    with meanwhile(lambda: bob.sync(since, timeout_ms=30_000)) as waiting:
        assert types(alice, room_id, alice) == {}
    begun = waiting.result()
    types(alice, room_id, alice, typing=False)
    ended = bob.sync(begun["next_batch"], timeout_ms=30_000)

    assert shown_typing(begun, room_id) == [alice.user_id]
    assert shown_typing(ended, room_id) == []


def test_one_types_for_oneself_and_where_one_is(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob)

    types(bob, room_id, alice, status=403, errcode="M_FORBIDDEN")
    types(carol, room_id, carol, status=403, errcode="M_FORBIDDEN")
    alice.put("rooms", room_id, "typing", alice.user_id, body={"timeout": 3}, status=400, errcode="M_BAD_JSON")

    assert shown_typing(alice.sync(), room_id) is None
