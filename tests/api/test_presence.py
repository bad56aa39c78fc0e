"""Presence over HTTP: what users say of themselves, and to whom it is shown."""

from typing import Any

import pytest

from tests.api.client import Client, meanwhile


def shown(answer: dict[str, Any], user: Client) -> Any:
    """What a sync's answer says of a user; None when it says nothing."""
    events = answer.get("presence", {}).get("events", [])
    return next((event["content"] for event in events if event["sender"] == user.user_id), None)


def says(user: Client, presence: str, of: Client | None = None, **options: Any) -> Any:
    """Let a user say how present somebody is."""
    return user.put(
        "presence", (of or user).user_id, "status", body={"presence": presence, **options.pop("words", {})}, **options
    )


def sees(user: Client, other: Client, presence: str, since: str | None = None) -> Any:
    """Sync until it is told that somebody is so present; that answer. Raises AssertionError after some syncs."""
    for _ in range(20):
        answer = user.sync(since, timeout_ms=5_000)
        content = shown(answer, other)
        if content is not None and content["presence"] == presence:
            return content
        since = answer["next_batch"]
    raise AssertionError(f"{other.user_id} is not {presence}")


def test_who_waits_is_told_what_somebody_says(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    since = bob.sync()["next_batch"]

    with meanwhile(lambda: sees(bob, alice, "unavailable", since)) as waiting:
        assert says(alice, "unavailable", words={"status_msg": "away"}) == {}
    told = waiting.result()

    assert told["status_msg"] == "away"
    assert shown(bob.sync(), alice)["presence"] == "unavailable"
    status = bob.get("presence", alice.user_id, "status")
    assert (status["presence"], status["status_msg"], status["currently_active"]) == ("unavailable", "away", False)


def test_who_syncs_is_online_unless_the_sync_says_otherwise(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    alice.sync(set_presence="offline")
    before = bob.get("presence", alice.user_id, "status")

    alice.get("sync")
    sees(bob, alice, "online")
    alice.sync(set_presence="unavailable")
    sees(bob, alice, "unavailable")

    assert before == {"presence": "offline"}


def test_who_is_in_the_event_stream_or_in_sliding_sync_is_there(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob)
    unstable = "/_matrix/client/unstable/org.matrix.simplified_msc3575"

    alice.post(unstable, "sync", body={"lists": {}}, query={"timeout": 0, "set_presence": "unavailable"})
    bob.get("events", query={"timeout": 0})

    sees(bob, alice, "unavailable")
    sees(alice, bob, "online")


def test_filters_and_ignoring_hide_presence(alice: Client, bob: Client, carol: Client) -> None:
    alice.create_room_with(bob, carol)
    for user in (alice, carol):
        says(user, "online")
    for user in (alice, carol):
        sees(bob, user, "online")

    unwanted: list[dict[str, Any]] = [{"types": []}, {"limit": 0}, {"not_types": ["m.*"]}]
    for presence in unwanted:
        filtered = bob.sync(filter={"presence": presence})
        assert "presence" not in filtered
    one = bob.sync(filter={"presence": {"senders": [alice.user_id]}})
    body: dict[str, Any] = {"ignored_users": {alice.user_id: {}}}
    bob.put("user", bob.user_id, "account_data", "m.ignored_user_list", body=body)
    other = bob.sync()

    assert (shown(one, alice) is None, shown(one, carol) is None) == (False, True)
    assert (shown(other, alice) is None, shown(other, carol) is None) == (True, False)


def test_initial_sync_has_presence_of_all_and_of_a_room(alice: Client, bob: Client, carol: Client) -> None:
    room_id, other = alice.create_room_with(bob), alice.create_room_with(carol)
    for user in (bob, carol):
        says(user, "online")
    for user in (bob, carol):
        sees(alice, user, "online")

    everybody = alice.get("initialSync")["presence"]
    one, another = (alice.get("rooms", room, "initialSync")["presence"] for room in (room_id, other))

    assert {event["content"]["user_id"] for event in everybody} >= {bob.user_id, carol.user_id}
    assert bob.user_id in {event["sender"] for event in one}
    assert carol.user_id not in {event["sender"] for event in one}
    assert carol.user_id in {event["sender"] for event in another}


def test_who_asks_for_everything_is_online_and_sees_that_before_others_do(alice: Client) -> None:
    [own] = alice.get("initialSync")["presence"]

    assert (own["type"], own["sender"]) == ("m.presence", alice.user_id)
    assert (own["content"]["user_id"], own["content"]["presence"]) == (alice.user_id, "online")
    assert own["content"]["last_active_ago"] >= 0


def test_one_speaks_for_oneself_and_sees_those_with_whom_one_shares_a_room(
    alice: Client, bob: Client, carol: Client
) -> None:
    alice.create_room_with(bob)

    says(bob, "online", of=alice, status=403, errcode="M_FORBIDDEN")
    for stranger in (carol.user_id, "@nobody:" + alice.server_name, "@nobody:elsewhere.example"):
        alice.get("presence", stranger, "status", status=403, errcode="M_FORBIDDEN")

    assert alice.get("presence", bob.user_id, "status")["presence"] == "offline"
    assert alice.get("presence", alice.user_id, "status")["presence"] == "offline"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_BAD_JSON"),
        ({"presence": "busy"}, "M_BAD_JSON"),
        ({"presence": None}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": 5}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": "x" * 1_001}, "M_INVALID_PARAM"),
    ],
)
def test_nonsense_is_refused(alice: Client, body: Any, errcode: str) -> None:
    alice.put("presence", alice.user_id, "status", body=body, status=400, errcode=errcode)

    assert alice.get("presence", alice.user_id, "status") == {"presence": "offline"}
