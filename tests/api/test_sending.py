"""Sending events, state and redactions; transaction IDs."""

import pytest

from tests.api.client import Client, meanwhile, new_user
from tests.server import running

TEXT = {"msgtype": "m.text", "body": "hello"}


def test_the_same_transaction_is_sent_once_also_after_a_restart_and_a_kill() -> None:
    with running() as server:
        alice = new_user(server.url, "alice")
        room_id = alice.create_room()

        first = alice.send_event(room_id, "m.room.message", TEXT, "same")
        again = alice.send_event(room_id, "m.room.message", TEXT, "same")
        server.restart()
        after_restart = alice.send_event(room_id, "m.room.message", TEXT, "same")
        second = alice.send_event(room_id, "m.room.message", TEXT, "killed")
        server.kill()
        server.start()
        after_kill = alice.send_event(room_id, "m.room.message", TEXT, "killed")

        assert first == again == after_restart
        assert second == after_kill
        sent = [event["event_id"] for event in alice.messages(room_id)["chunk"] if event["type"] == "m.room.message"]
        assert sent == [second, first]


def test_two_requests_in_flight_with_one_transaction_are_one_event(alice: Client) -> None:
    room_id = alice.create_room()

    with meanwhile(lambda: alice.send_event(room_id, "m.room.message", TEXT, "same")) as other:
        mine = alice.send_event(room_id, "m.room.message", TEXT, "same")

    assert other.result() == mine


def test_a_transaction_belongs_to_one_device(alice: Client) -> None:
    room_id = alice.create_room()
    other = alice.login_again()

    assert alice.send_event(room_id, "m.room.message", TEXT, "same") != other.send_event(
        room_id, "m.room.message", TEXT, "same"
    )


def test_only_the_sending_device_is_told_its_transaction(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    other = alice.login_again()

    event_id = alice.send_event(room_id, "m.room.message", TEXT, "mine")

    def unsigned(client: Client) -> str | None:
        event = client.get("rooms", room_id, "event", event_id)
        found: str | None = event.get("unsigned", {}).get("transaction_id")
        return found

    assert [unsigned(client) for client in (alice, other, bob)] == ["mine", None, None]


def test_a_room_has_state_by_type_and_key(alice: Client) -> None:
    room_id = alice.create_room()

    event_id = alice.set_state(room_id, "org.example.odd/type", {"a": [1, None, {"b": "ü"}]}, "key / with: §")
    same = alice.set_state(room_id, "org.example.odd/type", {"a": [1, None, {"b": "ü"}]}, "key / with: §")

    assert same == event_id
    assert alice.state(room_id, "org.example.odd/type", "key / with: §") == {"a": [1, None, {"b": "ü"}]}
    assert event_id in {event["event_id"] for event in alice.get("rooms", room_id, "state")}
    alice.state(room_id, "org.example.odd/type", "another", status=404, errcode="M_NOT_FOUND")


def test_an_empty_state_key_may_leave_out_its_slash(alice: Client) -> None:
    room_id = alice.create_room()

    alice.put("rooms", room_id, "state", "m.room.name", body={"name": "short"})

    assert alice.get("rooms", room_id, "state", "m.room.name") == {"name": "short"}


def test_state_needs_power_and_a_user_key_is_its_owners(alice: Client, bob: Client) -> None:
    levels = {"events": {"org.example.free": 0}}
    room_id = alice.create_room_with(bob, power_level_content_override=levels)

    bob.put("rooms", room_id, "state", "m.room.name", "", body={"name": "x"}, status=403, errcode="M_FORBIDDEN")
    bob.set_state(room_id, "org.example.free", {}, bob.user_id)
    bob.put("rooms", room_id, "state", "org.example.free", alice.user_id, status=403, errcode="M_FORBIDDEN")


def test_nobody_raises_others_above_themselves(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob, room_version="11")
    levels = alice.state(room_id, "m.room.power_levels")
    alice.set_state(
        room_id, "m.room.power_levels", {**levels, "users": {alice.user_id: 100, bob.user_id: 50}, "events": {}}
    )

    greedy = {**levels, "users": {alice.user_id: 100, bob.user_id: 51}, "events": {}}

    bob.put("rooms", room_id, "state", "m.room.power_levels", "", body=greedy, status=403, errcode="M_FORBIDDEN")


def test_a_redacted_event_keeps_no_content(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    event_id = bob.say(room_id, "regrettable")
    since = alice.token()

    redaction = bob.put("rooms", room_id, "redact", event_id, "txn", body={"reason": "oops"})["event_id"]
    again = bob.put("rooms", room_id, "redact", event_id, "txn", body={"reason": "oops"})["event_id"]

    assert again == redaction
    event = alice.get("rooms", room_id, "event", event_id)
    assert event["content"] == {}
    assert event["unsigned"]["redacted_because"]["event_id"] == redaction
    (told,) = alice.sync(since)["rooms"]["join"][room_id]["timeline"]["events"]
    assert (told["type"], told["content"]["redacts"], told["content"]["reason"]) == (
        "m.room.redaction",
        event_id,
        "oops",
    )
    assert "regrettable" not in str(alice.messages(room_id, limit=100))


def test_without_a_transaction_id_each_request_is_another_event(alice: Client) -> None:
    room_id, message = alice.create_room(), {"msgtype": "m.text", "body": "old"}

    sent = [alice.post("rooms", room_id, "send", "m.room.message", body=message)["event_id"] for _ in range(2)]
    redaction = alice.post("rooms", room_id, "redact", sent[0], body={"reason": "oops"})["event_id"]

    first, second = (alice.get("rooms", room_id, "event", event_id) for event_id in sent)
    assert sent[0] != sent[1]
    assert (first["content"], second["content"]) == ({}, message)
    assert first["unsigned"]["redacted_by"] == redaction


def test_others_messages_are_redacted_by_power_alone(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    of_alice, of_bob = alice.say(room_id, "mine"), bob.say(room_id, "yours")

    bob.put("rooms", room_id, "redact", of_alice, "1", status=403, errcode="M_FORBIDDEN")
    alice.put("rooms", room_id, "redact", of_bob, "1")

    assert bob.get("rooms", room_id, "event", of_alice)["content"]["body"] == "mine"
    assert bob.get("rooms", room_id, "event", of_bob)["content"] == {}


def test_redacting_what_is_not_there_is_refused(alice: Client) -> None:
    room_id = alice.create_room()

    answer = alice.call("PUT", "rooms", room_id, "redact", "$" + "n" * 43, "1", body={}, status=404)

    assert answer["errcode"] == "M_NOT_FOUND"


def test_an_event_that_is_too_large_is_refused(alice: Client) -> None:
    room_id = alice.create_room()

    alice.put(
        "rooms",
        room_id,
        "send",
        "m.room.message",
        "1",
        body={**TEXT, "body": "x" * 65_536},
        status=413,
        errcode="M_TOO_LARGE",
    )
    alice.say(room_id, "x" * 60_000)


@pytest.mark.parametrize("number", [1.5, 2**53, -(2**53), 1e300])
def test_a_number_that_canonical_json_does_not_have_is_refused(alice: Client, number: float) -> None:
    room_id = alice.create_room()

    answer = alice.put("rooms", room_id, "send", "org.example.number", "1", body={"n": number}, status=400)

    assert answer["errcode"] in ("M_BAD_JSON", "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("content", "errcode"),
    [(b"", "M_NOT_JSON"), (b"{", "M_NOT_JSON"), (b"[]", "M_BAD_JSON"), (b'{"a":"\xff"}', "M_NOT_JSON")],
)
def test_a_body_that_is_no_object_is_refused(alice: Client, content: bytes, errcode: str) -> None:
    room_id = alice.create_room()

    response = alice.send("PUT", "rooms", room_id, "send", "m.room.message", "1", content=content)

    assert (response.status, response.json["errcode"]) == (400, errcode)


def test_a_second_beginning_of_a_room_is_refused(alice: Client) -> None:
    room_id = alice.create_room()

    alice.call("PUT", "rooms", room_id, "state", "m.room.create", "", body={}, status=403)


def test_a_message_reaches_a_member_who_waits_for_it(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.token()

    with meanwhile(lambda: bob.sync(since, timeout_ms=60_000)) as waiting:
        event_id = alice.say(room_id, "wake up")

    (event,) = waiting.result()["rooms"]["join"][room_id]["timeline"]["events"]
    assert event["event_id"] == event_id
