"""Syncing rooms: first and next, with and without gaps, lazily, filtered; rooms invited to and left."""

from typing import Any

import pytest

from tests.api.client import Client, meanwhile

# Any: JSON, throughout.


def events_of(room: Any, section: str = "timeline") -> list[Any]:
    found: list[Any] = room.get(section, {}).get("events", [])
    return found


def texts(events: list[Any]) -> list[str]:
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


def members(events: list[Any]) -> set[str]:
    return {event["state_key"] for event in events if event["type"] == "m.room.member"}


def test_a_first_sync_shows_each_joined_room_with_its_state_and_newest_messages(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="Dovecote")
    for number in range(30):
        alice.say(room_id, f"message {number}")

    first = bob.sync(filter={"room": {"timeline": {"limit": 5}}})

    room = first["rooms"]["join"][room_id]
    assert texts(events_of(room)) == [f"message {number}" for number in range(25, 30)]
    assert room["timeline"]["limited"] is True
    state = {(event["type"], event["state_key"]): event["content"] for event in events_of(room, "state")}
    assert state["m.room.name", ""] == {"name": "Dovecote"}
    assert state["m.room.member", bob.user_id]["membership"] == "join"
    assert room["summary"]["m.joined_member_count"] == 2
    assert room["unread_notifications"] == {"notification_count": 30, "highlight_count": 0}
    assert "m.push_rules" in {event["type"] for event in first["account_data"]["events"]}


def test_a_short_history_comes_whole_and_nothing_of_it_twice(alice: Client) -> None:
    room_id = alice.create_room()
    alice.say(room_id, "only")

    room = alice.sync(filter={"room": {"timeline": {"limit": 100}}})["rooms"]["join"][room_id]

    assert room["timeline"].get("limited", False) is False
    assert events_of(room)[0]["type"] == "m.room.create"
    assert events_of(room, "state") == []


def test_the_next_sync_tells_what_is_new_and_the_one_after_nothing(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    alice.say(room_id, "one")
    alice.set_state(room_id, "m.room.topic", {"topic": "two"})

    news = bob.sync(since)
    nothing = bob.sync(news["next_batch"])

    room = news["rooms"]["join"][room_id]
    assert [event["type"] for event in events_of(room)] == ["m.room.message", "m.room.topic"]
    assert events_of(room, "state") == []
    assert room["timeline"].get("limited", False) is False
    assert nothing.get("rooms", {}).get("join", {}) == {}
    assert nothing["device_one_time_keys_count"] == {"signed_curve25519": 0} or "device_one_time_keys_count" in nothing
    assert nothing["device_unused_fallback_key_types"] == []


def test_the_same_token_gives_the_same_news_again(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    alice.say(room_id, "once")

    one, other = bob.sync(since), bob.sync(since)

    assert texts(events_of(one["rooms"]["join"][room_id])) == ["once"]
    assert texts(events_of(other["rooms"]["join"][room_id])) == ["once"]


def test_from_a_limited_timeline_the_gap_is_filled_by_prev_batch(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    sent = [alice.say(room_id, str(number)) for number in range(25)]

    room = bob.sync(since, filter={"room": {"timeline": {"limit": 7}}})["rooms"]["join"][room_id]
    newest = [event["event_id"] for event in events_of(room)]
    older: list[str] = []
    begin = room["timeline"]["prev_batch"]
    while len(older) < 18:
        page = bob.messages(room_id, begin=begin, to=since, limit=5)
        older += [event["event_id"] for event in page["chunk"]]
        if "end" not in page:
            break
        begin = page["end"]

    assert room["timeline"]["limited"] is True
    assert newest == sent[-7:]
    assert older[::-1] == sent[:-7]


def test_state_that_changed_within_the_gap_is_told_and_that_of_the_timeline_is_not(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="old")
    since = bob.token()
    in_gap = alice.set_state(room_id, "m.room.name", {"name": "in the gap"})
    for number in range(5):
        alice.say(room_id, str(number))
    alice.set_state(room_id, "m.room.topic", {"topic": "in the timeline"})

    room = bob.sync(since, filter={"room": {"timeline": {"limit": 3}}})["rooms"]["join"][room_id]

    assert [event["event_id"] for event in events_of(room, "state")] == [in_gap]
    assert [event["type"] for event in events_of(room)] == ["m.room.message"] * 2 + ["m.room.topic"]


def test_state_after_the_timeline_is_told_to_who_asks_for_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    topic = alice.set_state(room_id, "m.room.topic", {"topic": "new"})

    room = bob.sync(since, use_state_after=True)["rooms"]["join"][room_id]

    assert [event["event_id"] for event in events_of(room, "state_after")] == [topic]
    assert "state" not in room


def test_the_full_state_comes_when_asked_for(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, name="all of it")
    since = bob.token()

    room = bob.sync(since, full_state=True)["rooms"]["join"][room_id]

    types = {event["type"] for event in events_of(room, "state")}
    assert {"m.room.create", "m.room.name", "m.room.power_levels", "m.room.member"} <= types


def test_from_an_empty_timeline_one_can_go_back(alice: Client) -> None:
    room_id = alice.create_room()
    said = alice.say(room_id, "hello")

    full = alice.sync(alice.token(), full_state=True)["rooms"]["join"][room_id]
    filtered = alice.sync(filter={"room": {"timeline": {"types": ["m.sticker"]}}})["rooms"]["join"][room_id]

    for room in (full, filtered):
        assert room["timeline"]["events"] == []
        page = alice.messages(room_id, "b", begin=room["timeline"]["prev_batch"], limit=1)
        assert [event["event_id"] for event in page["chunk"]] == [said]


def test_a_room_that_was_just_joined_comes_with_its_whole_state(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(preset="public_chat", name="Joined late")
    alice.say(room_id, "before")
    since = bob.token()

    bob.join(room_id)

    room = bob.sync(since)["rooms"]["join"][room_id]
    whole = events_of(room, "state") + events_of(room)
    assert {event["type"] for event in whole} >= {
        "m.room.create",
        "m.room.name",
        "m.room.member",
        "m.room.power_levels",
    }
    assert "before" in texts(whole)


def test_who_came_back_after_leaving_is_told_what_changed_meanwhile(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, preset="public_chat", name="before")
    bob.post("rooms", room_id, "leave")
    since = bob.token()
    alice.set_state(room_id, "m.room.name", {"name": "meanwhile"})

    bob.join(room_id)

    room = bob.sync(since)["rooms"]["join"][room_id]
    names = [
        event["content"]["name"]
        for event in events_of(room, "state") + events_of(room)
        if event["type"] == "m.room.name"
    ]
    assert names[-1] == "meanwhile"


def test_lazily_only_the_members_who_speak_are_told_and_not_again(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob, carol, name="so that nobody need stand for it")
    lazy = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}
    bob.say(room_id, "one")

    first = alice.sync(filter=lazy)
    bob.say(room_id, "two")
    second = alice.sync(first["next_batch"], filter=lazy)
    carol.say(room_id, "three")
    third = alice.sync(second["next_batch"], filter=lazy)

    assert members(events_of(first["rooms"]["join"][room_id], "state")) == {alice.user_id, bob.user_id}
    assert members(events_of(second["rooms"]["join"][room_id], "state")) == set()
    assert members(events_of(third["rooms"]["join"][room_id], "state")) == {carol.user_id}


@pytest.mark.parametrize("state_after", [False, True])
@pytest.mark.parametrize("talk", [0, 5])
def test_lazily_a_member_who_leaves_is_told_of_even_in_a_gap(
    alice: Client, bob: Client, carol: Client, state_after: bool, talk: int
) -> None:
    room_id = alice.create_room_with(bob, carol, name="so that nobody need stand for it")
    lazy = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 2}}}
    carol.say(room_id, "who I am")
    since = bob.sync(filter=lazy, use_state_after=state_after)["next_batch"]
    carol.post("rooms", room_id, "leave")
    for number in range(talk):
        alice.say(room_id, str(number))

    room = bob.sync(since, filter=lazy, use_state_after=state_after)["rooms"]["join"][room_id]

    told = events_of(room, "state_after") if state_after else events_of(room, "state") + events_of(room)
    left = [event for event in told if event.get("state_key") == carol.user_id]
    assert left[-1]["content"]["membership"] == "leave"


def test_a_room_without_a_name_is_named_by_its_heroes_whose_members_are_told(
    alice: Client, bob: Client, carol: Client
) -> None:
    room_id = alice.create_room_with(bob, carol)
    lazy = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}

    first = alice.sync(filter=lazy)
    carol.post("rooms", room_id, "leave")
    second = alice.sync(first["next_batch"], filter=lazy)

    room, later = first["rooms"]["join"][room_id], second["rooms"]["join"][room_id]
    assert set(room["summary"]["m.heroes"]) == {bob.user_id, carol.user_id}
    assert {bob.user_id, carol.user_id} <= members(events_of(room, "state") + events_of(room))
    assert room["summary"]["m.joined_member_count"] == 3
    assert later["summary"]["m.joined_member_count"] == 2
    assert later["summary"]["m.heroes"] == [bob.user_id]


def test_redundant_members_come_when_asked_for(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    lazy = {"room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}}
    bob.say(room_id, "one")

    since = alice.sync(filter=lazy)["next_batch"]
    bob.say(room_id, "two")

    assert members(events_of(alice.sync(since, filter=lazy)["rooms"]["join"][room_id], "state")) == {bob.user_id}


def test_an_invite_is_told_once_and_gone_when_it_was_withdrawn(alice: Client, bob: Client) -> None:
    since = bob.token()
    room_id = alice.create_room(bob)

    invited = bob.sync(since)
    nothing = bob.sync(invited["next_batch"])
    alice.post("rooms", room_id, "kick", body={"user_id": bob.user_id})
    withdrawn = bob.sync(nothing["next_batch"])

    assert room_id in invited["rooms"]["invite"]
    assert nothing.get("rooms", {}).get("invite", {}) == {}
    (event,) = events_of(withdrawn["rooms"]["leave"][room_id])
    assert event["content"]["membership"] == "leave"
    assert room_id not in bob.sync().get("rooms", {}).get("invite", {})


def test_a_room_that_was_left_is_told_up_to_the_leave(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    alice.say(room_id, "before")
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, "after")

    news = bob.sync(since)

    assert room_id not in news["rooms"].get("join", {})
    timeline = events_of(news["rooms"]["leave"][room_id])
    assert texts(timeline) == ["before"]
    assert timeline[-1]["content"]["membership"] == "leave"


def test_a_room_that_was_left_has_a_state_even_when_nothing_of_it_changed(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    bob.post("rooms", room_id, "leave")

    assert bob.sync(since)["rooms"]["leave"][room_id]["state"] == {"events": []}


@pytest.mark.parametrize("act", ["kick", "ban"])
def test_who_is_removed_is_told_why_and_nothing_after_it(alice: Client, bob: Client, act: str) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    alice.post("rooms", room_id, act, body={"user_id": bob.user_id, "reason": "because"})
    alice.say(room_id, "after")

    news = bob.sync(since)
    (event,) = events_of(news["rooms"]["leave"][room_id])
    assert event["content"]["reason"] == "because"
    assert room_id not in bob.sync(news["next_batch"]).get("rooms", {}).get("leave", {})


def test_a_first_sync_shows_left_rooms_to_who_asks_and_forgotten_ones_to_nobody(alice: Client, bob: Client) -> None:
    left, forgotten = alice.create_room_with(bob), alice.create_room_with(bob)
    for room_id in (left, forgotten):
        bob.post("rooms", room_id, "leave")
    bob.post("rooms", forgotten, "forget")

    with_left = bob.sync(filter={"room": {"include_leave": True}})["rooms"]["leave"]
    without = bob.sync().get("rooms", {}).get("leave", {})

    assert (left in with_left, forgotten in with_left) == (True, False)
    assert without == {}


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        ({"types": ["m.room.message"]}, ["m.room.message"]),
        ({"types": ["org.example.*"]}, ["org.example.thing"]),
        ({"not_types": ["m.room.message"]}, ["org.example.thing"]),
        ({"not_types": ["*"]}, []),
        ({"contains_url": True}, ["org.example.thing"]),
    ],
)
def test_a_filter_chooses_among_the_events_of_the_timeline(
    alice: Client, bob: Client, chosen: dict[str, Any], seen: list[str]
) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    alice.say(room_id, "text")
    alice.send_event(room_id, "org.example.thing", {"url": "mxc://example.org/x"})

    news = bob.sync(since, filter={"room": {"timeline": chosen}})

    room = news.get("rooms", {}).get("join", {}).get(room_id, {})
    assert [event["type"] for event in events_of(room)] == seen


def test_a_filter_chooses_rooms_and_senders(alice: Client, bob: Client) -> None:
    one, other = alice.create_room_with(bob), alice.create_room_with(bob)
    since = bob.token()
    for room_id in (one, other):
        alice.say(room_id, "from alice")
        bob.say(room_id, "from bob")

    by_room = bob.sync(since, filter={"room": {"rooms": [one]}})["rooms"]["join"]
    by_not_room = bob.sync(since, filter={"room": {"not_rooms": [one]}})["rooms"]["join"]
    by_sender = bob.sync(since, filter={"room": {"timeline": {"senders": [bob.user_id]}}})["rooms"]["join"]

    assert (set(by_room), set(by_not_room)) == ({one}, {other})
    assert [texts(events_of(by_sender[room_id])) for room_id in (one, other)] == [["from bob"]] * 2


def test_a_filter_that_was_kept_is_used_by_its_number(alice: Client) -> None:
    room_id = alice.create_room(name="x")
    wanted = {"room": {"timeline": {"types": ["m.room.name"]}, "state": {"types": []}}}

    filter_id = alice.post("user", alice.user_id, "filter", body=wanted)["filter_id"]

    room = alice.sync(filter=filter_id)["rooms"]["join"][room_id]
    assert [event["type"] for event in events_of(room)] == ["m.room.name"]
    assert alice.get("user", alice.user_id, "filter", filter_id)["room"]["timeline"]["types"] == ["m.room.name"]


def test_events_keep_to_the_format_and_fields_that_a_filter_asks_for(alice: Client) -> None:
    room_id = alice.create_room()
    alice.say(room_id, "x")

    room = alice.sync(filter={"event_fields": ["type", "content.body", "event_id", "sender", "origin_server_ts"]})[
        "rooms"
    ]["join"][room_id]

    (message,) = [event for event in events_of(room) if event["type"] == "m.room.message"]
    assert set(message) == {"type", "content", "event_id", "origin_server_ts", "sender"}
    assert message["content"] == {"body": "x"}


def test_events_in_the_format_of_servers_are_whole(alice: Client) -> None:
    room_id = alice.create_room()
    said = alice.say(room_id, "x")

    room = alice.sync(filter={"event_format": "federation"})["rooms"]["join"][room_id]

    (message,) = [event for event in events_of(room) if event["type"] == "m.room.message"]
    assert (message["event_id"], message["room_id"]) == (said, room_id)
    assert {"auth_events", "prev_events", "depth", "hashes", "signatures"} <= set(message)


@pytest.mark.parametrize("bad", ["nonsense", "s1", "s-1.0.x.0", "p5", "s" + "9" * 30 + ".0.x.0"])
def test_a_token_that_is_none_is_refused(alice: Client, bad: str) -> None:
    answer = alice.get("sync", query={"since": bad}, status=400)

    assert answer["errcode"] in ("M_INVALID_PARAM", "M_UNKNOWN")


def test_a_token_from_another_time_is_answered_like_none(alice: Client) -> None:
    room_id = alice.create_room()
    position, rest = alice.token()[1:].split(".", 1)

    answer = alice.sync(f"s{int(position) + 1_000_000}.{rest}", timeout_ms=30_000)

    assert room_id in answer["rooms"]["join"]


@pytest.mark.parametrize(
    "query", [{"filter": "{"}, {"filter": '{"room": 7}'}, {"timeout": "soon"}, {"full_state": "perhaps"}]
)
def test_a_query_of_the_wrong_shape_is_refused(alice: Client, query: dict[str, str]) -> None:
    assert alice.get("sync", query=query, status=400)["errcode"].startswith("M_")


def test_a_filter_that_was_never_kept_is_refused(alice: Client) -> None:
    assert alice.get("sync", query={"filter": "99999"}, status=400)["errcode"] in ("M_INVALID_PARAM", "M_UNKNOWN")


def test_messages_of_ignored_users_do_not_come(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob, carol)
    ignored: dict[str, Any] = {"ignored_users": {bob.user_id: {}}}
    alice.put("user", alice.user_id, "account_data", "m.ignored_user_list", body=ignored)
    since = alice.token()

    bob.say(room_id, "unheard")
    carol.say(room_id, "heard")
    unwanted = bob.create_room(alice)

    news = alice.sync(since)
    assert texts(events_of(news["rooms"]["join"][room_id])) == ["heard"]
    assert unwanted not in news["rooms"].get("invite", {})


def test_who_waits_is_woken_by_an_invite(alice: Client, bob: Client) -> None:
    since = bob.token()

    with meanwhile(lambda: bob.sync(since, timeout_ms=60_000)) as waiting:
        room_id = alice.create_room(bob)

    assert room_id in waiting.result()["rooms"]["invite"]


def test_who_waits_for_nothing_gets_an_empty_answer_and_a_token_to_go_on_with(alice: Client) -> None:
    since = alice.token()

    nothing = alice.sync(since, timeout_ms=50)

    assert nothing.get("rooms", {}).get("join", {}) == {}
    room_id = alice.create_room()
    assert room_id in alice.sync(nothing["next_batch"])["rooms"]["join"]


def test_the_history_of_a_long_absence_is_told_by_many_small_syncs_without_a_hole(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()
    sent, heard = [], []

    for number in range(15):
        sent.append(f"{number}")
        alice.say(room_id, f"{number}")
        news = bob.sync(since)
        since = news["next_batch"]
        heard += texts(events_of(news["rooms"]["join"][room_id]))

    assert heard == sent
