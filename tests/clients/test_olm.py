"""Two devices with libolm by hand: keys, an Olm session, a Megolm session, and every byte as it was sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from canonicaljson import encode_canonical_json

from tests.api.client import Client, new_user
from tests.server import running

# Any: libolm has no types worth the name; and JSON, below.
olm: Any = pytest.importorskip(
    "olm", reason="NOT TRIED: python-olm is not installed; it has no wheel for Python 3.13 and newer"
)

OLM: Final = "m.olm.v1.curve25519-aes-sha2"
MEGOLM: Final = "m.megolm.v1.aes-sha2"
PLAINTEXT: Final = 'Grüße, 世界 \u2028 \\ "quoted" \U0001f54a and a tail'


@dataclass
class Device:
    """A client and the keys of its device."""

    client: Client
    account: Any

    @property
    def name(self) -> str:
        """What signatures of this device are filed under."""
        return f"ed25519:{self.client.device_id}"

    def signed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """The same with a signature of this device."""
        signature = self.account.sign(encode_canonical_json(dict(value)).decode())
        return {**value, "signatures": {self.client.user_id: {self.name: signature}}}

    def publish(self) -> dict[str, Any]:
        """Upload the device's keys and three one-time keys; what was uploaded."""
        keys = self.account.identity_keys
        device_keys = {
            "user_id": self.client.user_id,
            "device_id": self.client.device_id,
            "algorithms": [OLM, MEGOLM],
            "keys": {self.name: keys["ed25519"], f"curve25519:{self.client.device_id}": keys["curve25519"]},
        }
        self.account.generate_one_time_keys(3)
        one_time_keys = {
            f"signed_curve25519:{key_id}": self.signed({"key": key})
            for key_id, key in self.account.one_time_keys["curve25519"].items()
        }
        uploaded = {"device_keys": self.signed(device_keys), "one_time_keys": one_time_keys}
        answer = self.client.post("keys", "upload", body=uploaded)
        assert answer["one_time_key_counts"]["signed_curve25519"] == 3
        self.account.mark_keys_as_published()
        return uploaded


def verified(value: Mapping[str, Any], device: Client, key: str) -> dict[str, Any]:
    """What a device signed, without signatures. Raises when its signature does not fit."""
    signature = value["signatures"][device.user_id][f"ed25519:{device.device_id}"]
    content = {name: each for name, each in value.items() if name not in ("signatures", "unsigned")}
    olm.ed25519_verify(key, encode_canonical_json(content).decode(), signature)
    return content


def test_a_megolm_key_sent_through_an_olm_session_opens_the_message_that_crosses_the_room() -> None:
    with running() as server:
        alice = Device(new_user(server.url, "alice"), olm.Account())
        bob = Device(new_user(server.url, "bob"), olm.Account())
        alice.publish()
        uploaded = bob.publish()
        room_id = alice.client.create_room_with(
            bob.client, initial_state=[{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": MEGOLM}}]
        )
        since = bob.client.token()

        found = find_keys(alice.client, bob.client, uploaded)
        session_key, sent, event_id = send_encrypted(alice, bob, found, room_id)

        arrived = bob.client.sync(since)
        (to_device,) = arrived["to_device"]["events"]
        assert to_device == {"type": "m.room.encrypted", "sender": alice.client.user_id, "content": sent["to_device"]}
        assert open_olm(bob, to_device["content"])["session_key"] == session_key
        timeline = arrived["rooms"]["join"][room_id]["timeline"]["events"]
        (event,) = [each for each in timeline if each["type"] == "m.room.encrypted"]
        assert event["event_id"] == event_id
        assert event["content"] == sent["room"]
        plaintext, index = olm.InboundGroupSession(session_key).decrypt(event["content"]["ciphertext"])
        assert json.loads(plaintext)["content"]["body"] == PLAINTEXT
        assert index == 0
        assert arrived["device_one_time_keys_count"]["signed_curve25519"] == 2


def find_keys(asking: Client, other: Client, uploaded: Mapping[str, Any]) -> tuple[str, str]:
    """The other's identity key and one of its one-time keys, as the server hands them out; both bear its signature."""
    queried = asking.post("keys", "query", body={"device_keys": {other.user_id: []}})
    device_keys = queried["device_keys"][other.user_id][other.device_id]
    assert {name: each for name, each in device_keys.items() if name != "unsigned"} == uploaded["device_keys"]
    identity = verified(device_keys, other, device_keys["keys"][f"ed25519:{other.device_id}"])["keys"]
    wanted = {other.user_id: {other.device_id: "signed_curve25519"}}
    claimed = asking.post("keys", "claim", body={"one_time_keys": wanted})["one_time_keys"]
    ((key_id, one_time_key),) = claimed[other.user_id][other.device_id].items()
    assert one_time_key == uploaded["one_time_keys"][key_id]
    key = verified(one_time_key, other, identity[f"ed25519:{other.device_id}"])["key"]
    return identity[f"curve25519:{other.device_id}"], key


def send_encrypted(sender: Device, to: Device, keys: tuple[str, str], room_id: str) -> tuple[str, dict[str, Any], str]:
    """Send a Megolm key to a device and a message to the room: the key, the contents that were sent, the event ID."""
    megolm = olm.OutboundGroupSession()
    session_key = megolm.session_key
    identity_key, one_time_key = keys
    room_key = {"algorithm": MEGOLM, "room_id": room_id, "session_id": megolm.id, "session_key": session_key}
    message = olm.OutboundSession(sender.account, identity_key, one_time_key).encrypt(
        json.dumps({"type": "m.room_key", "content": room_key})
    )
    own_key = sender.account.identity_keys["curve25519"]
    to_device = {
        "algorithm": OLM,
        "sender_key": own_key,
        "ciphertext": {identity_key: {"type": message.message_type, "body": message.ciphertext}},
        "org.example.odd": {"": [None, True, -0, 2**53 - 1, "\u0000\u001f\u007f é \U0001f54a"]},
    }
    txn_id = sender.client.new_transaction()
    messages = {to.client.user_id: {to.client.device_id: to_device}}
    sender.client.put("sendToDevice", "m.room.encrypted", txn_id, body={"messages": messages})
    plaintext = {"type": "m.room.message", "content": {"msgtype": "m.text", "body": PLAINTEXT}, "room_id": room_id}
    content = {
        "algorithm": MEGOLM,
        "sender_key": own_key,
        "device_id": sender.client.device_id,
        "session_id": megolm.id,
        "ciphertext": megolm.encrypt(json.dumps(plaintext, ensure_ascii=False)),
        "org.example.odd": {"\U0001f54a": ["\u2028", "é", {"": {}}]},
    }
    event_id = sender.client.send_event(room_id, "m.room.encrypted", content)
    return session_key, {"to_device": to_device, "room": content}, event_id


def open_olm(receiver: Device, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the message within an Olm message that opens a session."""
    received = content["ciphertext"][receiver.account.identity_keys["curve25519"]]
    assert received["type"] == 0
    message = olm.OlmPreKeyMessage(received["body"])
    session = olm.InboundSession(receiver.account, message, content["sender_key"])
    opened: dict[str, Any] = json.loads(session.decrypt(message))
    receiver.account.remove_one_time_keys(session)
    found: dict[str, Any] = opened["content"]
    return found
