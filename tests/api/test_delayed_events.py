"""Delayed events over HTTP, by the names of the proposal and by those that it had before."""

from typing import Any

import pytest

from tests.api.client import Client, new_user
from tests.server import Server, new_server

UNSTABLE = "/_matrix/client/unstable/org.matrix.msc4140"
BYE = {"msgtype": "m.text", "body": "bye"}
LONG_MS = 3_600_000


def schedule(client: Client, room_id: str, delay_ms: int = LONG_MS, **more: Any) -> str:
    """Have a message sent later; its delay ID."""
    body = {"delay": delay_ms, "content": BYE, **more}
    path = ("rooms", room_id, "delayed_event", "m.room.message", client.new_transaction())
    delay_id: str = client.put(UNSTABLE, *path, body=body)["delay_id"]
    return delay_id


def wait_for_message(client: Client, room_id: str) -> Any:
    """The next message that comes down in sync."""
    since = None
    while True:
        answer = client.sync(since, timeout_ms=10_000 if since else 0)
        since = answer["next_batch"]
        joined = answer.get("rooms", {}).get("join", {}).get(room_id, {})
        for event in joined.get("timeline", {}).get("events", ()):
            if event["type"] == "m.room.message":
                return event


def test_a_message_comes_by_itself(alice: Client) -> None:
    room_id = alice.create_room()

    delay_id = schedule(alice, room_id, 200)

    assert wait_for_message(alice, room_id)["unsigned"]["delay_id"] == delay_id


def test_whoever_knows_the_id_commands_the_event(alice: Client, nobody: Client) -> None:
    room_id = alice.create_room()
    to_send, to_cancel = schedule(alice, room_id), schedule(alice, room_id)

    nobody.post(UNSTABLE, "delayed_events", to_send, "restart", body={})
    nobody.post("/_matrix/client/v1/delayed_events", to_send, "send", body={})
    nobody.post(UNSTABLE, "delayed_events", to_cancel, body={"action": "cancel"})

    assert wait_for_message(alice, room_id)["content"] == BYE
    for delay_id, action in ((to_send, "cancel"), (to_send, "restart"), (to_cancel, "send"), (to_cancel, "restart")):
        nobody.post("/_matrix/client/v1/delayed_events", delay_id, action, body={}, status=409, errcode="M_UNKNOWN")
        # By this name clients such as matrix-js-sdk know only that there is none any more: then they join anew.
        nobody.post(UNSTABLE, "delayed_events", delay_id, action, body={}, status=404, errcode="M_NOT_FOUND")
        older = {"action": action}
        nobody.post(UNSTABLE, "delayed_events", delay_id, body=older, status=404, errcode="M_NOT_FOUND")
    nobody.post(UNSTABLE, "delayed_events", "nonsense", "send", body={}, status=404, errcode="M_NOT_FOUND")
    nobody.post(UNSTABLE, "delayed_events", to_send, "explode", body={}, status=404, errcode="M_UNRECOGNIZED")


def test_events_are_looked_at_one_by_one_and_in_lists_by_their_user_alone(alice: Client, bob: Client) -> None:
    room_id = alice.create_room()
    delay_id = schedule(alice, room_id)
    of_state = schedule(alice, room_id, LONG_MS + 1, state_key="x")

    one = alice.get("/_matrix/client/v1/delayed_events", delay_id)

    since = one.pop("running_since")
    assert one == {
        "delay_id": delay_id,
        "room_id": room_id,
        "type": "m.room.message",
        "delay": LONG_MS,
        "content": BYE,
    }
    listed = alice.get(UNSTABLE, "delayed_events")
    assert listed["delayed_events"][0] == {**one, "running_since": since}
    assert [event["state_key"] for event in listed["delayed_events"][1:]] == ["x"]
    alice.post(UNSTABLE, "delayed_events", of_state, "cancel", body={})
    finalised = alice.get(UNSTABLE, "delayed_events", query={"status": "finalised", "since_ts": "0"})
    assert [event["delay_id"] for event in finalised["delayed_events"]] == [of_state]
    assert alice.get(UNSTABLE, "delayed_events", query={"dir": "b", "since_ts": "end"})["delayed_events"]
    bob.get(UNSTABLE, "delayed_events", delay_id, status=404, errcode="M_NOT_FOUND")
    assert bob.get(UNSTABLE, "delayed_events")["delayed_events"] == []


def test_older_clients_ask_where_they_would_send_at_once(alice: Client) -> None:
    room_id = alice.create_room()
    query = {"org.matrix.msc4140.delay": LONG_MS}

    message = alice.put("rooms", room_id, "send", "m.room.message", "t1", body=BYE, query=query)
    state = alice.put("rooms", room_id, "state", "org.example.call", "", body={}, query=query)

    kept = alice.get(UNSTABLE, "delayed_events")["delayed_events"]
    assert {event["delay_id"] for event in kept} == {message["delay_id"], state["delay_id"]}
    alice.get("rooms", room_id, "state", "org.example.call", "", status=404)
    at_once = alice.put("rooms", room_id, "send", "m.room.message", "t1", body=BYE)
    assert at_once["event_id"].startswith("$")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"delay": 10**12, "content": {}}, "M_MAX_DELAY_EXCEEDED"),
        ({"delay": 0, "content": {}}, "M_INVALID_PARAM"),
        ({"delay": "1", "content": {}}, "M_BAD_JSON"),
        ({"delay": 1}, "M_BAD_JSON"),
        ({"delay": 1, "content": []}, "M_BAD_JSON"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(alice: Client, body: Any, errcode: str) -> None:
    room_id = alice.create_room()
    path = ("rooms", room_id, "delayed_event", "m.room.message", "t1")

    refused = alice.put(UNSTABLE, *path, body=body, status=400, errcode=errcode)

    assert ("max_delay" in refused) is (errcode == "M_MAX_DELAY_EXCEEDED")
    assert alice.get(UNSTABLE, "delayed_events", query={"since_ts": "0"})["delayed_events"] == []


@pytest.mark.parametrize("query", [{"dir": "x"}, {"status": "x"}, {"since_ts": "x"}, {"from": "x"}])
def test_a_wish_that_is_not_understood_is_refused(alice: Client, query: dict[str, str]) -> None:
    alice.get(UNSTABLE, "delayed_events", query=query, status=400, errcode="M_INVALID_PARAM")


def test_what_comes_due_while_the_server_is_down_is_sent_when_it_is_up() -> None:
    server: Server = new_server()
    try:
        server.start()
        alice = new_user(server.url, "alice")
        room_id = alice.create_room()
        schedule(alice, room_id, 1)
        schedule(alice, room_id, 300)
        server.kill()
        server.start()

        assert wait_for_message(alice, room_id)["content"] == BYE
        while len(messages(alice, room_id)) < 2:
            alice.sync(timeout_ms=200)
        assert len(messages(alice, room_id)) == 2
    finally:
        server.close()


def messages(client: Client, room_id: str) -> list[Any]:
    """Everything that was said in a room."""
    return [event for event in client.messages(room_id)["chunk"] if event["type"] == "m.room.message"]
