"""Messages from device to device, from the request that sends them to the sync that brings them."""

from typing import Any

from tests.api.client import Client, meanwhile


def send(client: Client, messages: Any, txn_id: str | None = None, **options: Any) -> Any:
    txn_id = client.new_transaction() if txn_id is None else txn_id
    return client.put("sendToDevice", "m.test", txn_id, body={"messages": messages}, **options)


def events(synced: Any) -> list[Any]:
    found: list[Any] = synced.get("to_device", {}).get("events", [])
    return found


def test_a_message_comes_with_the_next_sync_and_goes_with_the_one_after(alice: Client, bob: Client) -> None:
    since = bob.token()

    send(alice, {bob.user_id: {bob.device_id: {"n": 1}}})

    first = bob.sync(since)
    again = bob.sync(since)
    after = bob.sync(first["next_batch"])
    assert events(first) == events(again) == [{"sender": alice.user_id, "type": "m.test", "content": {"n": 1}}]
    assert events(after) == []


def test_a_transaction_id_sends_once(alice: Client, bob: Client) -> None:
    since = bob.token()

    for number in range(3):
        assert send(alice, {bob.user_id: {bob.device_id: {"n": number}}}, "same") == {}

    assert [event["content"] for event in events(bob.sync(since))] == [{"n": 0}]


def test_an_asterisk_reaches_all_devices_and_a_name_only_one(alice: Client, bob: Client) -> None:
    laptop = bob.login_again()
    tokens = {client.device_id: client.token() for client in (bob, laptop)}

    send(alice, {bob.user_id: {"*": {"for": "all"}}})
    send(alice, {bob.user_id: {laptop.device_id: {"for": "laptop"}}})

    assert [event["content"]["for"] for event in events(bob.sync(tokens[bob.device_id]))] == ["all"]
    assert [event["content"]["for"] for event in events(laptop.sync(tokens[laptop.device_id]))] == ["all", "laptop"]


def test_many_messages_come_in_pages_in_their_order(alice: Client, bob: Client) -> None:
    since = bob.token()
    for number in range(230):
        send(alice, {bob.user_id: {bob.device_id: {"n": number}}})

    pages = []
    while page := events(synced := bob.sync(since)):
        pages.append([event["content"]["n"] for event in page])
        since = synced["next_batch"]

    assert [len(page) for page in pages] == [100, 100, 30]
    assert [number for page in pages for number in page] == list(range(230))


def test_a_waiting_sync_is_woken(alice: Client, bob: Client) -> None:
    since = bob.token()

    with meanwhile(lambda: bob.sync(since, timeout_ms=60_000)) as waiting:
        send(alice, {bob.user_id: {bob.device_id: {"n": 1}}})

    assert [event["content"] for event in events(waiting.result())] == [{"n": 1}]


def test_users_and_devices_that_do_not_exist_are_passed_over(alice: Client) -> None:
    body: Any = {
        f"@nobody:{alice.server_name}": {"*": {}},
        "@eve:elsewhere.example": {"X": {}},
        alice.user_id: {"X": {}},
    }

    assert send(alice, body) == {}


def test_what_is_no_message_is_refused(alice: Client, bob: Client) -> None:
    since = bob.token()

    wrong: list[Any] = [[], {"bob": {"*": {}}}, {bob.user_id: []}, {bob.user_id: {"*": "text"}}]
    for messages in wrong:
        send(alice, messages, status=400, errcode="M_BAD_JSON")
    alice.put("sendToDevice", "m.test", "1", body={}, status=400)
    send(alice, {bob.user_id: {"*": {"x": "y" * 70_000}}}, status=413, errcode="M_TOO_LARGE")

    assert events(bob.sync(since)) == []
