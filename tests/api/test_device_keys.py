"""Publishing, querying and claiming device keys, and how sync tells of them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.client import Client, new_user
from tests.server import Server, running
from tests.services.e2ee.signed_keys import device_keys, identity, one_time_key, public, signed

SIGNED = "signed_curve25519"


def keys_of(client: Client, **more: Any) -> Any:
    return device_keys(client.user_id, client.device_id, **more)


def one_time(client: Client, text: str = "public") -> Any:
    return one_time_key(client.user_id, text, client.device_id)


def publish(client: Client, **keys: Any) -> Any:
    """Upload keys, the device's own among them."""
    return client.post("keys", "upload", body={"device_keys": keys_of(client), **keys})


def query(client: Client, *users: Client) -> Any:
    return client.post("keys", "query", body={"device_keys": {user.user_id: [] for user in users}})


def claim(client: Client, other: Client, algorithm: str = SIGNED) -> Any:
    body = {"one_time_keys": {other.user_id: {other.device_id: algorithm}}}
    return client.post("keys", "claim", body=body)["one_time_keys"].get(other.user_id, {}).get(other.device_id, {})


def test_a_device_is_published_and_queried(alice: Client, bob: Client) -> None:
    answer = publish(alice, one_time_keys={f"{SIGNED}:1": one_time(alice)})

    found = query(bob, alice)

    assert answer == {"one_time_key_counts": {SIGNED: 1}}
    seen = found["device_keys"][alice.user_id][alice.device_id]
    assert {name: value for name, value in seen.items() if name != "unsigned"} == keys_of(alice)
    assert found["failures"] == {}


def test_the_name_of_a_device_is_shown_beside_its_keys(alice: Client, bob: Client) -> None:
    publish(alice)

    alice.put("devices", alice.device_id, body={"display_name": "kitchen radio"})

    unsigned = query(bob, alice)["device_keys"][alice.user_id][alice.device_id]["unsigned"]
    assert unsigned == {"device_display_name": "kitchen radio"}


def test_users_of_other_servers_are_failures(alice: Client) -> None:
    wanted: Any = {"@eve:elsewhere.example": []}

    queried = alice.post("keys", "query", body={"device_keys": wanted})
    claimed = alice.post("keys", "claim", body={"one_time_keys": {"@eve:elsewhere.example": {"X": SIGNED}}})

    assert queried["failures"].keys() == claimed["failures"].keys() == {"elsewhere.example"}
    assert queried["device_keys"] == claimed["one_time_keys"] == {}


def test_the_time_that_a_client_gives_other_servers_may_be_any(alice: Client) -> None:
    for timeout_ms in (-1, 0, 1, 2**53 - 1):
        body = {"device_keys": {"@eve:elsewhere.example": []}, "timeout": timeout_ms}

        assert alice.post("keys", "query", body=body)["failures"].keys() == {"elsewhere.example"}


def test_keys_of_another_device_or_user_are_refused(alice: Client, bob: Client) -> None:
    other_device = device_keys(alice.user_id, "OTHER")

    alice.post("keys", "upload", body={"device_keys": other_device}, status=400, errcode="M_BAD_JSON")
    bob.post("keys", "upload", body={"device_keys": keys_of(alice)}, status=400, errcode="M_BAD_JSON")

    assert query(bob, alice)["device_keys"] == {alice.user_id: {}}


def test_a_one_time_key_is_handed_out_once_then_the_fallback_key(alice: Client, bob: Client) -> None:
    fallback = {**one_time(alice, "fallback"), "fallback": True}
    publish(alice, one_time_keys={f"{SIGNED}:1": one_time(alice)}, fallback_keys={f"{SIGNED}:F": fallback})
    before = alice.sync()

    first, second, third = (claim(bob, alice) for _ in range(3))

    assert first == {f"{SIGNED}:1": one_time(alice)}
    assert second == third == {f"{SIGNED}:F": fallback}
    assert before["device_one_time_keys_count"][SIGNED] == 1
    assert before["device_unused_fallback_key_types"] == [SIGNED]
    after = alice.sync(before["next_batch"])
    assert after["device_one_time_keys_count"].get(SIGNED, 0) == 0
    assert after["device_unused_fallback_key_types"] == []


def test_a_key_is_uploaded_again_but_not_replaced(alice: Client) -> None:
    body = {"one_time_keys": {f"{SIGNED}:1": one_time(alice)}}

    alice.post("keys", "upload", body=body)
    alice.post("keys", "upload", body=body)

    other = {"one_time_keys": {f"{SIGNED}:1": one_time(alice, "other")}}
    alice.post("keys", "upload", body=other, status=400)
    assert alice.post("keys", "upload")["one_time_key_counts"] == {SIGNED: 1}


def test_what_is_no_upload_is_refused(alice: Client) -> None:
    wrong: dict[str, list[Any]] = {
        "upload": [{"one_time_keys": []}, {"device_keys": "keys"}, {"fallback_keys": {"x": 1}}],
        "query": [{}, {"device_keys": []}, {"device_keys": {alice.user_id: 1}}, {"device_keys": {}, "timeout": "1"}],
        "claim": [{}, {"one_time_keys": {alice.user_id: []}}, {"one_time_keys": {}, "timeout": []}],
    }

    for operation, bodies in wrong.items():
        for body in bodies:
            alice.post("keys", operation, body=body, status=400, errcode="M_BAD_JSON")


def test_sync_and_changes_tell_those_who_share_a_room_of_new_keys(alice: Client, bob: Client, carol: Client) -> None:
    alice.create_room_with(bob, preset="public_chat")
    tokens = {client.user_id: client.token() for client in (alice, bob, carol)}

    publish(alice)

    for client, expected in ((alice, [alice.user_id]), (bob, [alice.user_id]), (carol, [])):
        since = tokens[client.user_id]
        synced = client.sync(since)
        changes = client.get("keys", "changes", query={"from": since, "to": synced["next_batch"]})
        assert synced.get("device_lists", {}).get("changed", []) == expected
        assert changes == {"changed": expected, "left": []}


def test_sync_tells_who_came_and_who_went(alice: Client, bob: Client) -> None:
    room_id = alice.create_room(preset="public_chat")
    publish(bob)
    before = alice.token()

    bob.join(room_id)
    joined = alice.sync(before)
    bob.post("rooms", room_id, "leave")
    left = alice.sync(joined["next_batch"])

    assert joined["device_lists"] == {"changed": [bob.user_id]}
    assert left["device_lists"] == {"left": [bob.user_id]}


def test_logging_out_takes_the_keys_along_and_is_told(alice: Client, bob: Client) -> None:
    alice.create_room_with(bob, preset="public_chat")
    publish(alice, one_time_keys={f"{SIGNED}:1": one_time(alice)})
    since = bob.token()

    alice.post("logout")

    assert bob.sync(since)["device_lists"]["changed"] == [alice.user_id]
    assert query(bob, alice)["device_keys"] == {alice.user_id: {}}
    assert claim(bob, alice) == {}


def test_changes_need_tokens_of_syncs(alice: Client) -> None:
    token = alice.token()

    alice.get("keys", "changes", query={"from": token}, status=400, errcode="M_MISSING_PARAM")
    alice.get("keys", "changes", query={"from": "x", "to": token}, status=400, errcode="M_INVALID_PARAM")
    alice.get("keys", "changes", query={"from": token, "to": "x"}, status=400, errcode="M_INVALID_PARAM")


def test_cross_signing_keys_are_in_the_answer(alice: Client, bob: Client) -> None:
    publish(alice)
    keys = identity(alice.user_id)
    alice.post("keys", "device_signing", "upload", body=keys)
    cross_signed = signed(keys_of(alice), alice.user_id, f"{alice.user_id} self_signing")
    body = {alice.user_id: {alice.device_id: cross_signed}}
    assert alice.post("keys", "signatures", "upload", body=body) == {"failures": {}}

    own, others = query(alice, alice), query(bob, alice)

    device = others["device_keys"][alice.user_id][alice.device_id]
    assert device["signatures"] == cross_signed["signatures"]
    assert others["user_signing_keys"] == {}
    assert own["user_signing_keys"][alice.user_id] == keys["user_signing_key"]
    for answer in (own, others):
        master = answer["master_keys"][alice.user_id]
        assert list(master["keys"].values()) == [public(f"{alice.user_id} master")]
        assert answer["self_signing_keys"][alice.user_id] == keys["self_signing_key"]


def test_whose_keys_are_told_can_be_limited_to_those_who_share_a_room(limited: Server) -> None:
    alice, bob, carol = (new_user(limited.url, name) for name in ("alice", "bob", "carol"))
    for client in (bob, carol):
        publish(client)
    alice.create_room(bob)

    found = query(alice, bob, carol)

    assert found["device_keys"].keys() == {bob.user_id}


@pytest.fixture
def limited() -> Iterator[Server]:
    """A server whose operator limits key queries."""
    with running(settings={"limit_key_queries": True}) as server:
        yield server
