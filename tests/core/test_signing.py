"""Tests of signing: the specification's vectors, signedjson as second opinion, and what must not verify."""

import json
from pathlib import Path
from typing import Any

import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadEvent, BadJson, BadKey, BadSignature
from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.redaction import redact
from homeserver.core.room_versions import V1, V7, V8, V12, RoomVersion
from homeserver.core.signing import (
    SigningKey,
    VerifyKey,
    required_signers,
    sign_event,
    sign_json,
    signing_key_ids,
    verify_event_signature,
    verify_json,
)
from homeserver.core.unpadded_base64 import decode_base64, encode_base64
from tests.strategies import SERVER_NAME, SIGNING_KEY, json_values, versioned_pdus

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "signing_vectors.json").read_bytes())
VECTOR_KEY = SigningKey(VECTORS["key_name"], decode_base64(VECTORS["seed"]) or b"")
OTHER_KEY = SigningKey("test", b"\x01" * 32)

objects = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "signatures"), json_values(5), max_size=4)


def member(version: RoomVersion, **content: object) -> dict[str, Any]:
    """A membership event of @u:sender.example, signed by nobody."""
    pdu: dict[str, Any] = {
        "type": "m.room.member",
        "sender": "@u:sender.example",
        "state_key": "@u:sender.example",
        "content": content,
        "depth": 1,
        "origin_server_ts": 1,
        "hashes": {"sha256": ""},
        "signatures": {},
        "prev_events": [],
        "auth_events": [],
        "room_id": "!" + "a" * 43 if version.room_id_is_create_hash else "!a:room.example",
    }
    if not version.event_ids_are_hashes:
        pdu["event_id"] = "$a:assigner.example:8448"
    return pdu


@pytest.mark.parametrize("vector", VECTORS["signed_json"])
def test_the_signed_json_of_the_specification_comes_out(vector: dict[str, Any]) -> None:
    signed = sign_json(vector["given"], VECTORS["server_name"], VECTOR_KEY)

    assert signed == vector["signed"]
    verify_json(signed, VECTORS["server_name"], VECTOR_KEY.verify_key)


@pytest.mark.parametrize("vector", VECTORS["signed_events"])
def test_the_signed_events_of_the_specification_come_out(vector: dict[str, Any]) -> None:
    hashed = {**vector["given"], "hashes": vector["signed"]["hashes"]}

    signed = sign_event(hashed, V1, ServerName(VECTORS["server_name"]), VECTOR_KEY)

    assert signed == vector["signed"]
    verify_event_signature(signed, V1, ServerName(VECTORS["server_name"]), VECTOR_KEY.verify_key)


@given(objects)
def test_signedjson_verifies_what_was_signed_here(obj: dict[str, Any]) -> None:
    key = signedjson.key.decode_verify_key_bytes("ed25519:test", SIGNING_KEY.verify_key.public)

    signedjson.sign.verify_signed_json(sign_json(obj, "here.example", SIGNING_KEY), "here.example", key)


@given(objects)
def test_what_signedjson_has_signed_verifies_here(obj: dict[str, Any]) -> None:
    seed = SIGNING_KEY.to_line().split()[2]
    key = signedjson.key.decode_signing_key_base64("ed25519", "test", seed)

    signed = signedjson.sign.sign_json(dict(obj), "here.example", key)

    verify_json(signed, "here.example", SIGNING_KEY.verify_key)


@given(versioned_pdus())
def test_a_signature_survives_redaction_and_new_unsigned_data(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned

    signed = sign_event(pdu, version, SERVER_NAME, SIGNING_KEY)

    verify_event_signature(signed, version, SERVER_NAME, SIGNING_KEY.verify_key)
    verify_event_signature(redact(signed, version), version, SERVER_NAME, SIGNING_KEY.verify_key)
    verify_event_signature({**signed, "unsigned": {"age": 1}}, version, SERVER_NAME, SIGNING_KEY.verify_key)
    with pytest.raises(BadSignature):
        verify_event_signature({**signed, "sender": "@other:example.org"}, version, SERVER_NAME, SIGNING_KEY.verify_key)


def test_signing_keeps_the_signatures_of_others() -> None:
    first = sign_json({"a": 1, "unsigned": {"b": 2}}, "one.example", SIGNING_KEY)

    second = sign_json(sign_json(first, "one.example", VECTOR_KEY), "two.example", OTHER_KEY)

    assert second["unsigned"] == {"b": 2}
    verify_json(second, "one.example", SIGNING_KEY.verify_key)
    verify_json(second, "one.example", VECTOR_KEY.verify_key)
    verify_json(second, "two.example", OTHER_KEY.verify_key)
    assert "two.example" not in first["signatures"]


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        {},
        {"here.example": None},
        {"here.example": []},
        {"here.example": {}},
        {"here.example": {"ed25519:test": None}},
        {"here.example": {"ed25519:test": "!"}},
        {"here.example": {"ed25519:test": ""}},
        {"here.example": {"ed25519:test": "A" * 86}},
        {"here.example": {"ed25519:test": "A" * 88}},
    ],
)
def test_missing_and_malformed_signatures_are_refused(signatures: object) -> None:
    with pytest.raises(BadSignature):
        verify_json({"signatures": signatures}, "here.example", SIGNING_KEY.verify_key)


def test_a_signature_holds_for_its_server_its_key_and_its_object_alone() -> None:
    signed = sign_json({"a": 1}, "here.example", SIGNING_KEY)

    with pytest.raises(BadSignature):
        verify_json(signed, "there.example", SIGNING_KEY.verify_key)
    with pytest.raises(BadSignature):
        verify_json(signed, "here.example", OTHER_KEY.verify_key)
    with pytest.raises(BadSignature):
        verify_json({**signed, "a": 2}, "here.example", SIGNING_KEY.verify_key)


def test_what_canonical_json_cannot_carry_is_neither_signed_nor_verified() -> None:
    with pytest.raises(BadJson):
        sign_json({"a": 1.5}, "here.example", SIGNING_KEY)
    with pytest.raises(BadJson):
        verify_json({"a": 1.5}, "here.example", SIGNING_KEY.verify_key)
    with pytest.raises(BadEvent):
        sign_event({"a": 1}, V12, SERVER_NAME, SIGNING_KEY)


def test_only_known_algorithms_are_listed() -> None:
    signatures = {"a": {"ed25519:1": "x", "ed448:1": "y", "ed25519:2": "z"}, "b": []}

    assert signing_key_ids({"signatures": signatures}, "a") == ("ed25519:1", "ed25519:2")
    assert signing_key_ids({"signatures": signatures}, "b") == ()
    assert signing_key_ids({}, "a") == ()


def test_a_signing_key_survives_its_file() -> None:
    line = SIGNING_KEY.to_line()

    again = SigningKey.from_line(line)

    assert line == f"ed25519 test {encode_base64(bytes(range(32)))}\n"
    assert again.verify_key == SIGNING_KEY.verify_key
    assert again.sign(b"message") == SIGNING_KEY.sign(b"message")
    assert again.key_id == "ed25519:test"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ed25519 a",
        "ed25519 a AAAA",
        f"rsa a {'A' * 43}",
        f"ed25519 a:b {'A' * 43}",
        f"ed25519 a {'!' * 43}",
        f"ed25519 a {'A' * 43} more",
    ],
)
def test_a_malformed_key_file_is_refused(line: str) -> None:
    with pytest.raises(BadKey):
        SigningKey.from_line(line)


def test_a_signing_key_does_not_print_its_secret() -> None:
    assert repr(SIGNING_KEY) == "SigningKey('ed25519:test')"


def test_a_verify_key_is_read_from_base64() -> None:
    key_id = KeyID("ed25519:test")
    text = SIGNING_KEY.verify_key.to_base64()

    assert VerifyKey.from_base64(key_id, text) == SIGNING_KEY.verify_key
    assert VerifyKey.from_base64(key_id, text + "=") == SIGNING_KEY.verify_key
    for bad in ("", "AAAA", "!" * 43, text + "AAAA"):
        with pytest.raises(BadKey):
            VerifyKey.from_base64(key_id, bad)
    with pytest.raises(BadKey):
        VerifyKey.from_base64(KeyID("ed448:test"), text)


def test_an_event_is_signed_by_its_senders_server() -> None:
    assert required_signers(parse_event(member(V12, membership="join"), V12)) == {"sender.example"}


def test_in_early_versions_the_server_that_assigned_the_id_signs_too() -> None:
    assert required_signers(parse_event(member(V1, membership="join"), V1)) == {
        "sender.example",
        "assigner.example:8448",
    }


def test_a_third_party_invite_may_be_sent_on_by_anybody() -> None:
    content = {"membership": "invite", "third_party_invite": {}}

    assert required_signers(parse_event(member(V12, **content), V12)) == set()
    assert required_signers(parse_event(member(V1, **content), V1)) == {"assigner.example:8448"}
    content["membership"] = "join"
    assert required_signers(parse_event(member(V12, **content), V12)) == {"sender.example"}


def test_a_restricted_join_is_signed_by_the_server_that_let_the_user_in() -> None:
    content = {"membership": "join", "join_authorised_via_users_server": "@v:helper.example"}

    assert required_signers(parse_event(member(V7, **content), V7)) == {"sender.example"}
    assert required_signers(parse_event(member(V8, **content), V8)) == {"sender.example", "helper.example"}
    for bad in (None, 1, "", "helper.example", ["@v:helper.example"]):
        event = parse_event(member(V8, **{**content, "join_authorised_via_users_server": bad}), V8)
        with pytest.raises(BadSignature):
            required_signers(event)
