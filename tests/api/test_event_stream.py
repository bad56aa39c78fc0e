"""The event stream that came before /sync, over HTTP: waited for, peeked at, refused; and one event of any room."""

from tests.api.client import V3, Client, meanwhile

UNSEEN = {"set_presence": "offline"}  # the stream tells of who comes online, too


def test_the_stream_goes_on_where_the_initial_sync_ends_and_waits(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    start = bob.get("initialSync")["end"]
    event_id = alice.say(room_id, "one")

    first = bob.get("events", query={"from": start, **UNSEEN})
    with meanwhile(lambda: bob.get("events", query={"from": first["end"], "timeout": 60_000, **UNSEEN})) as waiting:
        alice.say(room_id, "two")
    second = waiting.result()
    third = bob.get("events", query={"from": second["end"], "timeout": 1, **UNSEEN})

    assert first["start"] == start
    assert [(event["event_id"], event["room_id"]) for event in first["chunk"]] == [(event_id, room_id)]
    assert [event["content"]["body"] for event in second["chunk"]] == ["two"]
    assert third["chunk"] == []
    assert bob.sync(third["end"]).get("rooms", {}) == {}


def test_a_room_that_all_may_read_is_followed_by_somebody_outside(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    query = {"room_id": room_id}
    bob.get("events", query=query, status=403, errcode="M_FORBIDDEN")
    alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "world_readable"})

    start = bob.get("events", query=query)["end"]
    with meanwhile(lambda: bob.get("events", query={**query, "from": start, "timeout": 60_000})) as waiting:
        event_id = alice.say(room_id, "hello")

    assert [event["event_id"] for event in waiting.result()["chunk"]] == [event_id]


def test_what_is_no_number_and_no_token_is_refused(alice: Client, nobody: Client) -> None:
    for query in (
        {"timeout": -1},
        {"timeout": "soon"},
        {"limit": -1},
        {"limit": "all"},
        {"from": "t1_2"},
        {"from": "s9"},
    ):
        alice.get("events", query=query, status=400, errcode="M_INVALID_PARAM")
    nobody.get("events", status=401, errcode="M_MISSING_TOKEN")


def test_one_event_is_told_to_those_who_may_see_it_whatever_its_room(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    event_id = alice.say(room_id, "hello")

    event = alice.get("events", event_id)

    assert (event["room_id"], event["content"]["body"]) == (room_id, "hello")
    assert alice.get(V3.replace("v3", "r0"), "events", event_id)["event_id"] == event_id
    bob.get("events", event_id, status=404, errcode="M_NOT_FOUND")
    bob.get("events", "$none:example.org", status=404, errcode="M_NOT_FOUND")
