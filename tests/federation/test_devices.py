"""Devices, their keys and their messages, across servers. Who encrypts with them is in test_encryption.py."""

import secrets
from typing import Any, Final

import orjson
import pytest
from signedjson.key import encode_verify_key_base64, generate_signing_key, get_verify_key
from signedjson.sign import sign_json
from signedjson.types import SigningKey

from tests.connection import Refused
from tests.federation.peers import Peer
from tests.federation.people import Person
from tests.federation.scenes import people, shared_room
from tests.users import PASSWORD

# Any: JSON.

pytestmark = pytest.mark.peers
ALGORITHMS: Final = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]


async def upload_device_keys(person: Person) -> dict[str, Any]:
    """Give a device keys that are signed as they should be; the keys."""
    key = generate_signing_key(person.user.device_id)
    keys = {
        "user_id": person.user_id,
        "device_id": person.user.device_id,
        "algorithms": ALGORITHMS,
        "keys": {
            f"curve25519:{person.user.device_id}": _public(generate_signing_key("any")),
            f"ed25519:{person.user.device_id}": _public(key),
        },
    }
    signed: dict[str, Any] = sign_json(keys, person.user_id, key)
    await person.post("keys", "upload", body={"device_keys": signed})
    return signed


async def upload_cross_signing_keys(person: Person) -> dict[str, Any]:
    """Make a master and a self-signing key and upload them; the master key."""
    return (await upload_identity(person))[0]


async def upload_identity(person: Person) -> tuple[dict[str, Any], SigningKey]:
    """Likewise; the master key, and what signs devices."""
    master, self_signing = (_named_after_itself(generate_signing_key("any")) for _ in range(2))
    master_key: dict[str, Any] = _cross_signing_key(person, "master", master)
    signed = sign_json(_cross_signing_key(person, "self_signing", self_signing), person.user_id, master)
    body = {"master_key": master_key, "self_signing_key": signed}
    try:
        await person.post("keys", "device_signing", "upload", body=body)
    except Refused as asked:  # for the password: keys of somebody who had some, or a server that always asks
        auth = {
            "type": "m.login.password",
            "session": orjson.loads(asked.body)["session"],
            "identifier": {"type": "m.id.user", "user": person.user_id},
            "password": PASSWORD,
        }
        await person.post("keys", "device_signing", "upload", body={**body, "auth": auth})
    return master_key, self_signing


def _cross_signing_key(person: Person, usage: str, key: SigningKey) -> dict[str, Any]:
    return {"user_id": person.user_id, "usage": [usage], "keys": {f"ed25519:{key.version}": key.version}}


def _named_after_itself(key: SigningKey) -> SigningKey:
    key.version = _public(key)
    return key


def _public(key: SigningKey) -> str:
    return encode_verify_key_base64(get_verify_key(key))


async def test_a_message_to_a_device_arrives_once(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)

    for number in range(3):
        body = {"messages": {bob.user_id: {bob.user.device_id: {"number": number}}}}
        await alice.put("sendToDevice", "org.example.test", secrets.token_hex(8), body=body)
    await bob.until(lambda: len(bob.messages_to_device) >= 3)
    await bob.look()

    assert [each["content"]["number"] for each in bob.messages_to_device] == [0, 1, 2]
    assert {(each["sender"], each["type"]) for each in bob.messages_to_device} == {(alice.user_id, "org.example.test")}


async def test_a_message_to_all_devices_of_a_user_arrives(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)

    body = {"messages": {bob.user_id: {"*": {"to": "all"}}}}
    await alice.put("sendToDevice", "org.example.test", secrets.token_hex(8), body=body)

    await bob.until(lambda: bob.messages_to_device)
    assert bob.messages_to_device[0]["content"] == {"to": "all"}


async def test_keys_of_a_device_are_queried(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    keys = await upload_device_keys(bob)

    found = await alice.post("keys", "query", body={"device_keys": {bob.user_id: []}})

    told = found["device_keys"][bob.user_id][bob.user.device_id]
    assert {name: told[name] for name in keys} == keys
    assert not found["failures"]


async def test_one_time_keys_are_claimed_once_each(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await upload_device_keys(bob)
    one_time = {f"signed_curve25519:{name}": {"key": f"{name}" * 43, "signatures": {}} for name in "AB"}
    fallback = {"signed_curve25519:F": {"key": "F" * 43, "fallback": True, "signatures": {}}}
    await bob.post("keys", "upload", body={"one_time_keys": one_time, "fallback_keys": fallback})

    claimed = []
    for _ in range(3):
        body = {"one_time_keys": {bob.user_id: {bob.user.device_id: "signed_curve25519"}}}
        answer = await alice.post("keys", "claim", body=body)
        claimed += list(answer["one_time_keys"][bob.user_id][bob.user.device_id])

    assert set(claimed[:2]) == set(one_time)
    assert claimed[2] == "signed_curve25519:F"


async def test_new_keys_of_somebody_in_a_shared_room_are_announced(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)
    await bob.look()
    bob.changed_devices.clear()

    keys = await upload_device_keys(alice)

    await bob.until(lambda: alice.user_id in bob.changed_devices)
    found = await bob.post("keys", "query", body={"device_keys": {alice.user_id: []}})
    assert found["device_keys"][alice.user_id][alice.user.device_id]["keys"] == keys["keys"]


async def test_a_device_that_is_logged_out_is_gone_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)
    await upload_device_keys(alice)
    phone = await alice.another_device()
    await upload_device_keys(phone)
    query: dict[str, Any] = {"device_keys": {alice.user_id: []}}

    async def known() -> set[str]:
        await bob.until(lambda: alice.user_id in bob.changed_devices)
        bob.changed_devices.clear()
        return set((await bob.post("keys", "query", body=query))["device_keys"][alice.user_id])

    while await known() != {alice.user.device_id, phone.user.device_id}:
        pass
    await phone.post("logout")

    while await known() != {alice.user.device_id}:
        pass


async def test_somebody_new_in_a_room_is_announced(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await upload_device_keys(bob)

    await shared_room(alice, bob)

    await alice.until(lambda: bob.user_id in alice.changed_devices)


async def test_cross_signing_keys_are_seen_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)
    await upload_device_keys(alice)
    await bob.until(lambda: alice.user_id in bob.changed_devices)
    bob.changed_devices.clear()

    master = await upload_cross_signing_keys(alice)

    await bob.until(lambda: alice.user_id in bob.changed_devices)
    found = await bob.post("keys", "query", body={"device_keys": {alice.user_id: []}})
    assert found["master_keys"][alice.user_id]["keys"] == master["keys"]
    assert alice.user_id in found["self_signing_keys"]
    assert alice.user_id not in found.get("user_signing_keys", {})


async def test_a_device_that_its_owner_signs_is_seen_as_signed_on_the_other_server(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    await shared_room(alice, bob)
    keys = await upload_device_keys(alice)
    _, self_signing = await upload_identity(alice)
    query: dict[str, Any] = {"device_keys": {alice.user_id: []}}

    signed = sign_json(keys, alice.user_id, self_signing)
    failures = await alice.post("keys", "signatures", "upload", body={alice.user_id: {alice.user.device_id: signed}})

    assert not failures.get("failures")
    while True:
        bob.changed_devices.clear()
        device = (await bob.post("keys", "query", body=query))["device_keys"][alice.user_id][alice.user.device_id]
        if f"ed25519:{self_signing.version}" in device["signatures"][alice.user_id]:
            break
        await bob.until(lambda: alice.user_id in bob.changed_devices)


async def test_cross_signing_keys_of_a_stranger_are_queried(host: Peer, guest: Peer) -> None:
    alice, bob = await people(host, guest)
    master = await upload_cross_signing_keys(alice)

    found = await bob.post("keys", "query", body={"device_keys": {alice.user_id: []}})

    assert found["master_keys"][alice.user_id]["keys"] == master["keys"]
