"""Pages of history, context, single events, and who may see them."""

from typing import Any

import pytest

from tests.api.client import V1, Client


def ids(events: list[Any]) -> list[str]:  # Any: JSON, throughout
    return [event["event_id"] for event in events]


def walk(client: Client, room_id: str, direction: str, **query: Any) -> list[Any]:
    """All of a room's history, page by page."""
    events: list[Any] = []
    while True:
        page = client.messages(room_id, direction, **query)
        events += page["chunk"]
        if "end" not in page:
            return events
        query["begin"] = page["end"]


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_history_is_the_same_in_both_directions_whatever_the_size_of_its_pages(alice: Client, limit: int) -> None:
    room_id = alice.create_room()
    sent = [alice.say(room_id, str(number)) for number in range(12)]

    backwards = walk(alice, room_id, "b", limit=limit)
    forwards = walk(alice, room_id, "f", limit=limit)

    assert ids(backwards) == ids(forwards)[::-1]
    assert ids(forwards)[-12:] == sent
    assert forwards[0]["type"] == "m.room.create"
    assert len(set(ids(forwards))) == len(forwards)


def test_a_page_ends_where_it_is_told_to(alice: Client) -> None:
    room_id = alice.create_room()
    alice.say(room_id, "before")
    token = alice.token()
    after = [alice.say(room_id, text) for text in ("one", "two")]

    page = alice.messages(room_id, "b", to=token, limit=100)

    assert ids(page["chunk"]) == after[::-1]


def test_forwards_from_a_sync_token_comes_what_is_new(alice: Client) -> None:
    room_id = alice.create_room()
    token = alice.token()
    sent = [alice.say(room_id, text) for text in ("one", "two")]

    page = alice.messages(room_id, "f", begin=token)

    assert ids(page["chunk"]) == sent


def test_forwards_at_the_end_of_a_room_one_goes_on_when_there_is_more(alice: Client) -> None:
    room_id = alice.create_room()
    alice.say(room_id, "one")
    whole = alice.messages(room_id, "f", limit=100)

    nothing = alice.messages(room_id, "f", begin=whole["end"])
    two = alice.say(room_id, "two")
    new = alice.messages(room_id, "f", begin=whole["end"])

    assert nothing["chunk"] == []
    assert "end" not in nothing
    assert ids(new["chunk"]) == [two]


def test_forwards_there_is_an_end_for_whoever_has_left(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    bob.post("rooms", room_id, "leave")
    alice.say(room_id, "not for bob")

    assert "end" not in bob.messages(room_id, "f", limit=100)


def test_a_filter_chooses_among_the_events_of_a_page(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    wanted = bob.say(room_id, "from bob")
    alice.say(room_id, "from alice")

    page = alice.messages(room_id, filter=f'{{"types":["m.room.message"],"senders":["{bob.user_id}"]}}')

    assert ids(page["chunk"]) == [wanted]


def test_lazily_a_page_brings_the_members_who_speak_in_it(alice: Client, bob: Client, carol: Client) -> None:
    room_id = alice.create_room_with(bob, carol)
    bob.say(room_id, "x")

    page = alice.messages(room_id, limit=1, filter='{"lazy_load_members":true}')

    assert [event["state_key"] for event in page["state"]] == [bob.user_id]


def test_context_is_what_was_said_before_and_after(alice: Client) -> None:
    room_id = alice.create_room(name="then")
    sent = [alice.say(room_id, str(number)) for number in range(9)]
    alice.set_state(room_id, "m.room.name", {"name": "now"})

    context = alice.get("rooms", room_id, "context", sent[4], query={"limit": 4})

    assert context["event"]["event_id"] == sent[4]
    assert ids(context["events_before"]) == [sent[3], sent[2]]
    assert ids(context["events_after"]) == [sent[5], sent[6]]
    assert [event["content"]["name"] for event in context["state"] if event["type"] == "m.room.name"] == ["then"]
    assert ids(alice.messages(room_id, "b", begin=context["start"], limit=1)["chunk"]) == [sent[1]]
    assert ids(alice.messages(room_id, "f", begin=context["end"], limit=1)["chunk"]) == [sent[7]]


def test_context_with_limit_zero_is_the_event_alone(alice: Client) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "x")

    context = alice.get("rooms", room_id, "context", event_id, query={"limit": 0})

    assert context["event"]["event_id"] == event_id
    assert context.get("events_before", []) == context.get("events_after", []) == []


@pytest.mark.parametrize(
    ("visibility", "sees"),
    [
        ("joined", ["after join"]),
        ("invited", ["after invite", "after join"]),
        ("shared", ["first", "after invite", "after join"]),
        ("world_readable", ["first", "after invite", "after join"]),
    ],
)
def test_a_newcomer_sees_as_much_of_the_past_as_the_room_shows(
    alice: Client, bob: Client, visibility: str, sees: list[str]
) -> None:
    state = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": visibility}}
    room_id = alice.create_room(initial_state=[state])
    sent = {"first": alice.say(room_id, "first")}
    alice.post("rooms", room_id, "invite", body={"user_id": bob.user_id})
    sent["after invite"] = alice.say(room_id, "after invite")
    bob.join(room_id)
    sent["after join"] = alice.say(room_id, "after join")

    history = [event["content"]["body"] for event in walk(bob, room_id, "f") if event["type"] == "m.room.message"]

    assert history == sees
    for text, event_id in sent.items():
        bob.get("rooms", room_id, "event", event_id, status=200 if text in sees else 404)
    synced = bob.sync()["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["content"]["body"] for event in synced if event["type"] == "m.room.message"] == sees


def test_who_left_sees_what_was_said_until_then(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    before = alice.say(room_id, "before")
    bob.post("rooms", room_id, "leave")
    after = alice.say(room_id, "after")
    alice.set_state(room_id, "m.room.name", {"name": "after"})

    history = [event["content"]["body"] for event in walk(bob, room_id, "b") if event["type"] == "m.room.message"]

    assert history == ["before"]
    assert bob.get("rooms", room_id, "event", before)["content"]["body"] == "before"
    bob.get("rooms", room_id, "event", after, status=404, errcode="M_NOT_FOUND")
    bob.state(room_id, "m.room.name", status=404, errcode="M_NOT_FOUND")


def test_a_world_readable_room_is_read_by_strangers(alice: Client, bob: Client) -> None:
    state = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "world_readable"}}
    room_id = alice.create_room(initial_state=[state], name="Open")
    event_id = alice.say(room_id, "to all")

    assert bob.state(room_id, "m.room.name") == {"name": "Open"}
    assert event_id in ids(bob.messages(room_id)["chunk"])


def test_strangers_see_nothing_of_a_room(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(name="Closed")
    event_id = alice.say(room_id, "secret")

    bob.get("rooms", room_id, "event", event_id, status=404, errcode="M_NOT_FOUND")
    bob.get("rooms", room_id, "context", event_id, status=403, errcode="M_FORBIDDEN")
    bob.get("rooms", room_id, "members", status=403, errcode="M_FORBIDDEN")
    bob.get("rooms", room_id, "joined_members", status=403, errcode="M_FORBIDDEN")
    bob.state(room_id, "m.room.name", status=403, errcode="M_FORBIDDEN")


@pytest.mark.parametrize(
    "query",
    [{}, {"dir": "x"}, {"dir": "b", "from": "nonsense"}, {"dir": "b", "limit": "x"}, {"dir": "b", "filter": "{"}],
)
def test_a_query_of_the_wrong_shape_is_refused(alice: Client, query: dict[str, str]) -> None:
    room_id = alice.create_room()

    assert alice.get("rooms", room_id, "messages", query=query, status=400)["errcode"].startswith("M_")


def test_the_event_closest_to_a_time_is_told_with_its_time(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    alice.say(room_id, "before")
    wanted = alice.messages(room_id, "b", limit=1)["chunk"][0]
    at_ms = wanted["origin_server_ts"]
    path = (V1, "rooms", room_id, "timestamp_to_event")

    told = [alice.get(*path, query={"ts": at_ms, "dir": direction}) for direction in "fb"]

    assert {event["origin_server_ts"] for event in told} == {at_ms}
    assert wanted["event_id"] in {event["event_id"] for event in told}
    alice.get(*path, query={"ts": at_ms + 1, "dir": "f"}, status=404, errcode="M_NOT_FOUND")
    alice.get(*path, query={"ts": 0, "dir": "b"}, status=404, errcode="M_NOT_FOUND")
    alice.get(*path, query={"ts": 0, "dir": "up"}, status=400, errcode="M_INVALID_PARAM")
    alice.get(*path, query={"ts": 2**70, "dir": "b"}, status=400, errcode="M_INVALID_PARAM")
    bob.get(*path, query={"ts": 0, "dir": "f"}, status=403, errcode="M_FORBIDDEN")
