"""Keys of algorithms that no client has yet: post-quantum prekeys, made, signed, claimed and used as they will be."""

import base64
import secrets
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl.signing import VerifyKey

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.device_keys import MAX_KEY_BYTES
from homeserver.core.unpadded_base64 import encode_base64
from tests.api.client import Client
from tests.api.test_device_keys import SIGNED, claim, keys_of, one_time, publish, query
from tests.services.e2ee.signed_keys import signed

ML_KEM: Final = "org.example.signed_ml_kem_768"


def prekey(user_id: str, device_id: str, private: MLKEM768PrivateKey, **more: Any) -> Any:
    """The public half, of 1,184 bytes, signed by a device: see signed_keys.device_keys."""
    public = private.public_key().public_bytes_raw()
    assert len(public) == 1184
    return signed({"key": encode_base64(public), **more}, user_id, f"{user_id} {device_id}", device_id)


def raw(text: str) -> bytes:
    """What is in unpadded base64."""
    return base64.b64decode(f"{text}==")


def secret_for(key: Any, device: Any) -> tuple[bytes, bytes]:
    """What a client does with a key that it has claimed: see that the device signed it, and agree on a secret by it."""
    device_key = f"ed25519:{device['device_id']}"
    signature = raw(key["signatures"][device["user_id"]][device_key])
    message = encode_canonical({name: value for name, value in key.items() if name != "signatures"})
    VerifyKey(raw(device["keys"][device_key])).verify(message, signature)
    return MLKEM768PublicKey.from_public_bytes(raw(key["key"])).encapsulate()


def test_post_quantum_prekeys_are_counted_handed_out_once_as_they_came_and_fit_their_device(
    alice: Client, bob: Client
) -> None:
    owner = alice.user_id, alice.device_id
    private = [MLKEM768PrivateKey.generate() for _ in range(3)]
    prekeys = {f"{ML_KEM}:{number}": prekey(*owner, one) for number, one in enumerate(private[:2])}
    fallback = {f"{ML_KEM}:F": prekey(*owner, private[2], fallback=True)}
    uploaded = publish(alice, one_time_keys={**prekeys, f"{SIGNED}:A": one_time(alice)}, fallback_keys=fallback)
    before = alice.sync()

    claimed = [claim(bob, alice, ML_KEM) for _ in range(4)]

    after = alice.sync()
    assert uploaded == {"one_time_key_counts": {SIGNED: 1, ML_KEM: 2}}
    assert before["device_one_time_keys_count"] == {SIGNED: 1, ML_KEM: 2}
    assert before["device_unused_fallback_key_types"] == [ML_KEM]
    assert claimed == [{full_id: key} for full_id, key in prekeys.items()] + [fallback, fallback]
    assert after["device_one_time_keys_count"] == {SIGNED: 1}
    assert after["device_unused_fallback_key_types"] == []
    device = query(bob, alice)["device_keys"][alice.user_id][alice.device_id]
    for one, answer in zip(private, claimed, strict=False):
        (key,) = answer.values()
        secret, ciphertext = secret_for(key, device)
        assert one.decapsulate(ciphertext) == secret


def test_a_device_publishes_a_post_quantum_identity_and_a_full_upload_of_prekeys(alice: Client, bob: Client) -> None:
    identity = encode_base64(MLKEM768PrivateKey.generate().public_key().public_bytes_raw())
    signature = encode_base64(secrets.token_bytes(3309))  # as long as those of ML-DSA-65
    keys = keys_of(alice, algorithms=["org.example.olm.pq"])
    keys["keys"][f"ml_kem_768:{alice.device_id}"] = identity
    keys = signed({**keys, "signatures": {}}, alice.user_id, f"{alice.user_id} {alice.device_id}", alice.device_id)
    keys["signatures"][alice.user_id][f"ml_dsa_65:{alice.device_id}"] = signature
    private = MLKEM768PrivateKey.generate()
    prekeys = {
        f"{ML_KEM}:{number}": prekey(alice.user_id, alice.device_id, private, number=number) for number in range(100)
    }

    answer = alice.post("keys", "upload", body={"device_keys": keys, "one_time_keys": prekeys})

    shown = query(bob, alice)["device_keys"][alice.user_id][alice.device_id]
    assert answer == {"one_time_key_counts": {ML_KEM: 100}}
    assert {name: value for name, value in shown.items() if name != "unsigned"} == keys


@pytest.mark.parametrize("kind", ["one_time_keys", "fallback_keys"])
def test_a_key_of_whatever_algorithm_has_a_bounded_size(alice: Client, bob: Client, kind: str) -> None:
    text = "x" * (MAX_KEY_BYTES - len('{"key":"","signatures":{}}'))
    largest = {"key": text, "signatures": {}}
    publish(alice, **{kind: {f"{ML_KEM}:1": largest}})

    body = {kind: {f"{ML_KEM}:2": {**largest, "key": f"{text}x"}}}
    alice.post("keys", "upload", body=body, status=400, errcode="M_BAD_JSON")

    assert claim(bob, alice, ML_KEM) == {f"{ML_KEM}:1": largest}
