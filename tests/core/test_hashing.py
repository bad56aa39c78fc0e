"""Tests of content hashes, reference hashes and the IDs made of them."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import canonicaljson
import pytest
from hypothesis import given

from homeserver.core.errors import BadEvent, BadJson
from homeserver.core.hashing import (
    content_hash,
    create_event_id_of,
    event_id_of,
    event_id_of_hash,
    has_valid_content_hash,
    reference_hash,
    room_id_of_create,
)
from homeserver.core.redaction import redact
from homeserver.core.room_versions import V1, V2, V3, V4, V5, V6, V12, RoomVersion
from homeserver.core.unpadded_base64 import encode_base64
from tests.strategies import versioned_pdus

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "signing_vectors.json").read_bytes())


@pytest.mark.parametrize("vector", VECTORS["signed_events"])
def test_the_content_hashes_of_the_specification_come_out(vector: dict[str, Any]) -> None:
    assert encode_base64(content_hash(vector["given"], V1)) == vector["signed"]["hashes"]["sha256"]
    assert has_valid_content_hash(vector["signed"], V1)


@given(versioned_pdus())
def test_the_reference_hash_covers_the_redacted_form(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned
    redacted = {key: value for key, value in redact(pdu, version).items() if key != "signatures"}

    digest = hashlib.sha256(canonicaljson.encode_canonical_json(redacted)).digest()

    assert reference_hash(pdu, version) == digest


@given(versioned_pdus())
def test_neither_signatures_nor_unsigned_change_a_hash(versioned: tuple[RoomVersion, dict[str, Any]]) -> None:
    version, pdu = versioned
    changed = {**pdu, "signatures": {"a": {"ed25519:b": "c"}}, "unsigned": {"age": 1}}

    assert content_hash(changed, version) == content_hash(pdu, version)
    assert reference_hash(changed, version) == reference_hash(pdu, version)


def test_event_ids_are_written_as_the_version_says() -> None:
    digest = b"\xfb\xff" * 16
    standard = base64.b64encode(digest).decode().rstrip("=")

    assert event_id_of_hash(digest, V3) == f"${standard}"
    assert event_id_of_hash(digest, V4) == "$" + standard.replace("+", "-").replace("/", "_")


@pytest.mark.parametrize("version", [V1, V2])
def test_early_versions_take_the_event_id_that_was_assigned(version: RoomVersion) -> None:
    pdu = {"type": "a", "content": {}, "event_id": "$a:example.org"}

    assert event_id_of(pdu, version) == "$a:example.org"
    for event_id in (None, 1, "", "$a", "a:example.org"):
        with pytest.raises(BadEvent):
            event_id_of({**pdu, "event_id": event_id}, version)


def test_the_create_event_gives_the_room_its_id() -> None:
    pdu = {"type": "m.room.create", "state_key": "", "content": {}}

    room_id = room_id_of_create(pdu, V12)

    assert room_id[0] == "!"
    assert create_event_id_of(room_id) == event_id_of(pdu, V12)


@pytest.mark.parametrize("hashes", [None, {}, [], {"sha256": 1}, {"sha256": "!"}, {"sha512": "a"}, {"sha256": ""}])
def test_a_missing_or_malformed_content_hash_is_not_valid(hashes: object) -> None:
    assert not has_valid_content_hash({"type": "a", "content": {}, "hashes": hashes}, V12)


def test_a_changed_content_is_noticed() -> None:
    pdu = {"type": "a", "content": {"body": "one"}}
    pdu["hashes"] = {"sha256": encode_base64(content_hash(pdu, V12)) + "="}

    assert has_valid_content_hash(pdu, V12)
    assert not has_valid_content_hash({**pdu, "content": {"body": "two"}}, V12)


def test_floats_are_hashed_up_to_version_5_alone() -> None:
    pdu = {"type": "m.room.power_levels", "content": {"ban": 50.0, "kick": 2**70}}

    assert reference_hash(pdu, V5) == hashlib.sha256(canonicaljson.encode_canonical_json(pdu)).digest()
    with pytest.raises(BadJson):
        reference_hash(pdu, V6)
