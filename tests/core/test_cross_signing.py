"""Cross-signing: well-formed keys, and no signature that was not verified."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.cross_signing import (
    CrossSigningKey,
    KeyUsage,
    VerifiedSignature,
    check_device_id,
    check_signed_by_master,
    device_signers,
    has_new_keys,
    parse_cross_signing_key,
    parse_cross_signing_upload,
    verify_new_signatures,
    visible_to,
    with_signatures,
)
from homeserver.core.errors import BadJson, BadKeySignature, KeyIDInUse, MissingMasterKey, ProtocolError
from homeserver.core.unpadded_base64 import encode_base64
from tests.strategies import lenient_json_values

ALICE, BOB = "@alice:one.example", "@bob:two.example"
MASTER, SELF_SIGNING, USER_SIGNING, DEVICE, BOBS_MASTER, STRANGER = (SigningKey(bytes([n]) * 32) for n in range(6))
JsonObject = dict[str, Any]


def public(key: SigningKey) -> str:
    return encode_base64(bytes(key.verify_key))


def signed(payload: Mapping[str, Any], key: SigningKey, *, by: str = ALICE, name: str | None = None) -> JsonObject:
    """The payload with one more signature, made without the code under test."""
    message = encode_canonical({n: v for n, v in payload.items() if n not in ("signatures", "unsigned")})
    signatures = {user: dict(by_key) for user, by_key in payload.get("signatures", {}).items()}
    signature = encode_base64(key.sign(message).signature)
    signatures.setdefault(by, {})[f"ed25519:{name or public(key)}"] = signature
    return {**payload, "signatures": signatures}


def signature_in(payload: Mapping[str, Any], key_name: str, by: str = ALICE) -> str:
    signature: str = payload["signatures"][by][f"ed25519:{key_name}"]
    return signature


def key_of(key: SigningKey, usage: str, user_id: str = ALICE) -> JsonObject:
    return {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{public(key)}": public(key)}}


DEVICE_KEYS: JsonObject = signed(
    {
        "user_id": ALICE,
        "device_id": "PHONE",
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {"curve25519:PHONE": "x", "ed25519:PHONE": public(DEVICE)},
    },
    DEVICE,
    name="PHONE",
)
DEVICES = {"PHONE": DEVICE_KEYS, "BROKEN": {"keys": {"ed25519:BROKEN": "ed25519+key"}}, "NONE": {}}
MASTER_KEY = key_of(MASTER, "master")
SELF_SIGNING_KEY = signed(key_of(SELF_SIGNING, "self_signing"), MASTER)
USER_SIGNING_KEY = signed(key_of(USER_SIGNING, "user_signing"), MASTER)
STORED_MASTER = parse_cross_signing_key(MASTER_KEY, user_id=ALICE, usage=KeyUsage.MASTER)


def parsed(payload: object, usage: KeyUsage = KeyUsage.MASTER) -> CrossSigningKey:
    return parse_cross_signing_key(payload, user_id=ALICE, usage=usage)


def upload(stored_master: CrossSigningKey | None = None, **body: object) -> tuple[CrossSigningKey, ...]:
    return parse_cross_signing_upload(body, user_id=ALICE, stored_master=stored_master, devices=DEVICES).keys


def test_a_well_formed_key_is_read() -> None:
    key = parsed(MASTER_KEY)

    assert (key.user_id, key.usage, key.public_key, key.payload) == (
        ALICE,
        KeyUsage.MASTER,
        public(MASTER),
        MASTER_KEY,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": BOB},
        {"user_id": None},
        {"usage": "master"},
        {"usage": []},
        {"usage": ["self_signing"]},
        {"usage": ["master", "self_signing"]},
        {"keys": []},
        {"keys": {}},
        {"keys": {**MASTER_KEY["keys"], **SELF_SIGNING_KEY["keys"]}},
        {"keys": {f"ed25519:{public(MASTER)}": public(STRANGER)}},
        {"keys": {f"curve25519:{public(MASTER)}": public(MASTER)}},
        {"keys": {public(MASTER): public(MASTER)}},
        {"keys": {"ed25519:abc": "abc"}},
        {"keys": {f"ed25519:{public(MASTER)}=": public(MASTER) + "="}},
        {"keys": {"ed25519:": ""}},
        {"keys": {"ed25519:x": 1}},
        {"signatures": []},
        {"signatures": {ALICE: {"ed25519:x": 1}}},
        {"extra": 0.5},
        {"extra": "x" * 40_000},
    ],
)
def test_a_key_of_another_shape_is_refused(wrong: JsonObject) -> None:
    with pytest.raises(BadJson):
        parsed({**MASTER_KEY, **wrong})


def test_all_three_keys_are_uploaded_at_once() -> None:
    keys = upload(master_key=MASTER_KEY, self_signing_key=SELF_SIGNING_KEY, user_signing_key=USER_SIGNING_KEY)

    assert [key.payload for key in keys] == [MASTER_KEY, SELF_SIGNING_KEY, USER_SIGNING_KEY]
    assert [key.usage for key in keys] == list(KeyUsage)


def test_a_key_may_be_signed_by_the_stored_master_key() -> None:
    assert [key.payload for key in upload(STORED_MASTER, user_signing_key=USER_SIGNING_KEY)] == [USER_SIGNING_KEY]


def test_without_any_master_key_there_is_nothing_to_verify_by() -> None:
    with pytest.raises(MissingMasterKey):
        upload(self_signing_key=SELF_SIGNING_KEY)


@pytest.mark.parametrize(
    "self_signing_key",
    [
        key_of(SELF_SIGNING, "self_signing"),
        signed(key_of(SELF_SIGNING, "self_signing"), STRANGER),
        signed(key_of(SELF_SIGNING, "self_signing"), STRANGER, name=public(MASTER)),
        signed(key_of(SELF_SIGNING, "self_signing"), MASTER, by=BOB),
        {**SELF_SIGNING_KEY, "extra": 1},
        {**SELF_SIGNING_KEY, "signatures": {ALICE: {f"ed25519:{public(MASTER)}": "garbage!"}}},
    ],
)
def test_a_key_that_the_master_key_has_not_signed_is_refused(self_signing_key: JsonObject) -> None:
    for stored in (STORED_MASTER, None):
        with pytest.raises(BadKeySignature):
            upload(stored, master_key=None if stored else MASTER_KEY, self_signing_key=self_signing_key)


def test_an_uploaded_master_key_counts_not_the_stored_one() -> None:
    with pytest.raises(BadKeySignature):
        upload(STORED_MASTER, master_key=key_of(STRANGER, "master"), self_signing_key=SELF_SIGNING_KEY)


def test_a_key_is_not_verified_by_another_users_master_key() -> None:
    bobs = parse_cross_signing_key(key_of(MASTER, "master", BOB), user_id=BOB, usage=KeyUsage.MASTER)

    with pytest.raises(BadKeySignature):
        check_signed_by_master(parsed(SELF_SIGNING_KEY, KeyUsage.SELF_SIGNING), bobs)


def test_signatures_that_nobody_can_vouch_for_are_left_out_of_an_upload() -> None:
    key = signed(signed(signed(MASTER_KEY, STRANGER), STRANGER, by=BOB), DEVICE, name="PHONE")

    (master,) = upload(master_key=key)

    assert master.payload == signed(MASTER_KEY, DEVICE, name="PHONE")


def test_a_wrong_signature_by_a_device_refuses_the_upload() -> None:
    with pytest.raises(BadKeySignature):
        upload(master_key=signed(MASTER_KEY, STRANGER, name="PHONE"))


def test_no_key_may_have_the_id_of_a_device_nor_the_other_way_round() -> None:
    devices = {public(MASTER): DEVICE_KEYS}

    with pytest.raises(KeyIDInUse):
        parse_cross_signing_upload({"master_key": MASTER_KEY}, user_id=ALICE, stored_master=None, devices=devices)
    with pytest.raises(KeyIDInUse):
        check_device_id(public(MASTER), [STORED_MASTER])
    check_device_id("PHONE", [STORED_MASTER])


def test_the_same_keys_again_are_nothing_new() -> None:
    body = {"master_key": MASTER_KEY, "self_signing_key": SELF_SIGNING_KEY}
    again = parse_cross_signing_upload(body, user_id=ALICE, stored_master=None, devices={})

    assert has_new_keys(again, {})
    assert has_new_keys(again, {KeyUsage.MASTER: STORED_MASTER})
    assert not has_new_keys(again, {key.usage: key for key in again.keys})


def test_the_self_signing_key_signs_a_device() -> None:
    uploaded = signed(DEVICE_KEYS, SELF_SIGNING)
    signer = parsed(SELF_SIGNING_KEY, KeyUsage.SELF_SIGNING).verify_key

    added = verify_new_signatures(uploaded, stored=DEVICE_KEYS, signer_id=ALICE, signers=[signer])

    assert added == (VerifiedSignature(ALICE, signer.key_id, signature_in(uploaded, public(SELF_SIGNING))),)
    assert with_signatures(DEVICE_KEYS, added) == uploaded
    assert verify_new_signatures(uploaded, stored=uploaded, signer_id=ALICE, signers=[signer]) == ()


def test_a_device_signs_its_users_master_key() -> None:
    uploaded = signed(MASTER_KEY, DEVICE, name="PHONE")

    (added,) = verify_new_signatures(uploaded, stored=MASTER_KEY, signer_id=ALICE, signers=device_signers(DEVICES))

    assert added.key_id == "ed25519:PHONE"
    assert with_signatures(MASTER_KEY, [added]) == uploaded


def test_the_user_signing_key_signs_somebody_elses_master_key() -> None:
    stored = signed(key_of(BOBS_MASTER, "master", BOB), STRANGER, by=BOB, name="BOBSPHONE")
    uploaded = signed(key_of(BOBS_MASTER, "master", BOB), USER_SIGNING)
    signer = parsed(USER_SIGNING_KEY, KeyUsage.USER_SIGNING).verify_key

    added = verify_new_signatures(uploaded, stored=stored, signer_id=ALICE, signers=[signer])
    whole = with_signatures(stored, added)

    assert visible_to(ALICE, whole) == whole
    assert visible_to(BOB, whole) == stored
    assert visible_to("@eve:x", whole) == stored
    assert stored["signatures"].keys() == {BOB}


@pytest.mark.parametrize(
    "uploaded",
    [
        signed(DEVICE_KEYS, STRANGER),
        signed(DEVICE_KEYS, STRANGER, name=public(SELF_SIGNING)),
        signed(DEVICE_KEYS, SELF_SIGNING, by=BOB),
        signed({**DEVICE_KEYS, "algorithms": []}, SELF_SIGNING),
        DEVICE_KEYS,
    ],
)
def test_an_unverified_signature_is_never_accepted(uploaded: JsonObject) -> None:
    signer = parsed(SELF_SIGNING_KEY, KeyUsage.SELF_SIGNING).verify_key

    with pytest.raises(BadKeySignature):
        verify_new_signatures(uploaded, stored=DEVICE_KEYS, signer_id=ALICE, signers=[signer])


def test_a_signature_is_verified_over_what_is_stored() -> None:
    signer = parsed(SELF_SIGNING_KEY, KeyUsage.SELF_SIGNING).verify_key

    with pytest.raises(BadKeySignature):
        verify_new_signatures(
            signed({**DEVICE_KEYS, "extra": True}, SELF_SIGNING),
            stored={**DEVICE_KEYS, "extra": 1},
            signer_id=ALICE,
            signers=[signer],
        )


def test_a_verified_signature_beside_a_foreign_one_is_taken_alone() -> None:
    uploaded = signed(signed(DEVICE_KEYS, SELF_SIGNING), STRANGER)
    signer = parsed(SELF_SIGNING_KEY, KeyUsage.SELF_SIGNING).verify_key

    added = verify_new_signatures(uploaded, stored=DEVICE_KEYS, signer_id=ALICE, signers=[signer])

    assert [one.key_id for one in added] == [signer.key_id]


_NAMES = st.sampled_from([ALICE, f"ed25519:{public(MASTER)}", "ed25519:PHONE", "keys", "signatures", "usage"])
_GARBAGE = st.recursive(lenient_json_values(2), lambda inner: st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8)


@given(_GARBAGE, _GARBAGE)
def test_garbage_is_refused_or_read_without_complaint(body: object, other: object) -> None:
    key = {**MASTER_KEY, **body} if isinstance(body, dict) else body
    signer = STORED_MASTER.verify_key
    for read in (
        lambda: upload(STORED_MASTER, master_key=key, self_signing_key=other),
        lambda: upload(master_key=other, user_signing_key=key),
        lambda: verify_new_signatures(key, stored=MASTER_KEY, signer_id=ALICE, signers=[signer]),
        lambda: verify_new_signatures(other, stored=DEVICE_KEYS, signer_id=ALICE, signers=[signer]),
    ):
        try:
            read()
        except ProtocolError:
            continue


def test_a_key_without_signatures_stays_without() -> None:
    unsigned = {name: value for name, value in DEVICE_KEYS.items() if name != "signatures"}

    assert with_signatures(unsigned, []) == unsigned
    assert with_signatures({**unsigned, "signatures": {}}, []) == {**unsigned, "signatures": {}}
