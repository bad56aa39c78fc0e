"""Devices that lie on the server, and what they receive there."""

from typing import Any

import pytest

from homeserver.services.accounts.dehydrated_devices import MESSAGES_PER_PAGE
from tests.api.client import Client
from tests.services.e2ee.signed_keys import device_keys, identity, one_time_key, public

PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
SIGNED = "signed_curve25519"
DATA = {"algorithm": "org.matrix.msc3814.v2", "device_pickle": "secret"}


def leave(client: Client, device_id: str, **changes: Any) -> Any:
    """Leave a device on the server."""
    key = one_time_key(client.user_id, "one", device_id)
    body = {
        "device_id": device_id,
        "device_data": DATA,
        "device_keys": device_keys(client.user_id, device_id),
        "one_time_keys": {f"{SIGNED}:1": key},
        "fallback_keys": {f"{SIGNED}:2": {**one_time_key(client.user_id, "two", device_id), "fallback": True}},
        "initial_device_display_name": "dry",
        **changes,
    }
    return client.put(PATH, body=body)


def devices_of(client: Client, other: Client) -> Any:
    """Which devices of another user one sees keys of."""
    return client.post("keys", "query", body={"device_keys": {other.user_id: []}})["device_keys"][other.user_id]


def test_a_device_left_here_is_encrypted_for_and_woken_by_another(alice: Client, bob: Client) -> None:
    alice.get(PATH, status=404, errcode="M_NOT_FOUND")
    assert leave(alice, "DRY") == {"device_id": "DRY"}

    assert alice.get(PATH) == {"device_id": "DRY", "device_data": DATA}
    assert list(devices_of(bob, alice)) == ["DRY"]
    claimed = bob.post("keys", "claim", body={"one_time_keys": {alice.user_id: {"DRY": SIGNED}}})["one_time_keys"]
    assert list(claimed[alice.user_id]["DRY"]) == [f"{SIGNED}:1"]
    for number in range(3):
        messages = {alice.user_id: {"DRY": {"n": number}, alice.device_id: {"n": -1}}}
        bob.put("sendToDevice", "m.room.encrypted", f"t{number}", body={"messages": messages})

    received = alice.get(PATH, "DRY", "events")
    assert [event["content"]["n"] for event in received["events"]] == [0, 1, 2]
    assert {event["sender"] for event in received["events"]} == {bob.user_id}
    assert "next_batch" not in received
    # A client that was interrupted begins again.
    assert alice.get(PATH, "DRY", "events") == received


def test_what_it_received_comes_by_pages_of_which_the_last_leads_no_further(alice: Client, bob: Client) -> None:
    leave(alice, "DRY")
    for number in range(MESSAGES_PER_PAGE + 1):
        messages = {alice.user_id: {"DRY": {"n": number}}}
        bob.put("sendToDevice", "m.room.encrypted", f"t{number}", body={"messages": messages})
        if number == MESSAGES_PER_PAGE - 1:
            assert "next_batch" not in alice.get(PATH, "DRY", "events")

    first = alice.get(PATH, "DRY", "events")
    last = alice.get(PATH, "DRY", "events", query={"from": first["next_batch"]})

    assert len(first["events"]) == MESSAGES_PER_PAGE
    assert [event["content"]["n"] for event in first["events"] + last["events"]] == list(range(MESSAGES_PER_PAGE + 1))
    assert "next_batch" not in last


def test_a_client_that_asks_as_the_proposal_once_had_it_reads_until_a_page_is_empty(alice: Client, bob: Client) -> None:
    leave(alice, "DRY")
    bob.put("sendToDevice", "m.test", "t1", body={"messages": {alice.user_id: {"DRY": {}}}})

    first = alice.post(PATH, "DRY", "events", body={})
    last = alice.post(PATH, "DRY", "events", body={"next_batch": first["next_batch"]})

    assert first["events"] == alice.get(PATH, "DRY", "events")["events"]
    assert last["events"] == []
    assert last["next_batch"] == first["next_batch"]


def test_a_new_one_takes_the_place_of_the_old_with_all_that_it_received(alice: Client, bob: Client) -> None:
    leave(alice, "DRY")
    bob.put("sendToDevice", "m.test", "t1", body={"messages": {alice.user_id: {"DRY": {}}}})

    leave(alice, "NEWER")

    assert alice.get(PATH)["device_id"] == "NEWER"
    assert list(devices_of(bob, alice)) == ["NEWER"]
    assert alice.get(PATH, "NEWER", "events") == {"events": []}
    alice.get(PATH, "DRY", "events", status=403, errcode="M_FORBIDDEN")
    alice.post(PATH, "DRY", "events", body={}, status=403, errcode="M_FORBIDDEN")


def test_it_is_let_go_of_by_name_or_as_any_device(alice: Client, bob: Client) -> None:
    leave(alice, "DRY")
    assert alice.delete(PATH) == {"device_id": "DRY"}
    alice.delete(PATH, status=404, errcode="M_NOT_FOUND")
    assert devices_of(bob, alice) == {}

    leave(alice, "DRY")
    alice.post("logout", "all")
    assert devices_of(bob, alice) == {}


def test_others_hear_that_there_is_one(alice: Client, bob: Client) -> None:
    room_id = alice.create_room_with(bob)
    since = bob.sync()["next_batch"]
    assert room_id

    leave(alice, "DRY")

    assert bob.sync(since)["device_lists"]["changed"] == [alice.user_id]


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"device_keys": device_keys("@eve:example.org", "DRY")}, "M_BAD_JSON"),
        ({"device_keys": {}}, "M_BAD_JSON"),
        ({"device_data": "text"}, "M_BAD_JSON"),
        ({"device_id": "x\0"}, "M_INVALID_PARAM"),
        ({"one_time_keys": {"nonsense": 1}}, "M_BAD_JSON"),
    ],
)
def test_what_is_refused_leaves_the_old_one_where_it_was(alice: Client, changes: Any, errcode: str) -> None:
    leave(alice, "OLD")
    body = {"device_id": "DRY", "device_data": DATA, "device_keys": device_keys(alice.user_id, "DRY"), **changes}

    alice.put(PATH, body=body, status=400, errcode=errcode)

    assert alice.get(PATH)["device_id"] == "OLD"


def test_one_cannot_be_called_like_a_cross_signing_key(alice: Client) -> None:
    alice.post("keys", "device_signing", "upload", body=identity(alice.user_id))
    leave(alice, "OLD")
    false_id = public(f"{alice.user_id} self_signing")
    body = {"device_id": false_id, "device_data": DATA, "device_keys": device_keys(alice.user_id, false_id)}

    alice.put(PATH, body=body, status=403, errcode="M_FORBIDDEN")

    assert alice.get(PATH)["device_id"] == "OLD"


def test_a_device_with_a_session_cannot_be_made_one(alice: Client) -> None:
    keys = device_keys(alice.user_id, alice.device_id)
    body = {"device_id": alice.device_id, "device_data": DATA, "device_keys": keys}

    alice.put(PATH, body=body, status=400, errcode="M_INVALID_PARAM")

    alice.get(PATH, status=404)
    assert alice.get("account", "whoami")["device_id"] == alice.device_id


def test_data_may_be_only_so_large(alice: Client) -> None:
    body = {
        "device_id": "DRY",
        "device_data": {"x": "y" * 300_000},
        "device_keys": device_keys(alice.user_id, "DRY"),
    }

    alice.put(PATH, body=body, status=413, errcode="M_TOO_LARGE")


@pytest.mark.parametrize("token", ["-1", "x", "9" * 40, "٣"])
def test_a_token_that_was_not_given_here_is_refused(alice: Client, token: str) -> None:
    leave(alice, "DRY")

    alice.get(PATH, "DRY", "events", query={"from": token}, status=400, errcode="M_INVALID_PARAM")
    alice.post(PATH, "DRY", "events", body={"next_batch": token}, status=400, errcode="M_INVALID_PARAM")
