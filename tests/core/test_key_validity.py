"""Tests of key validity: which keys count for which events, and which documents of keys are believed."""

from typing import Any

import pytest

from homeserver.core.errors import BadJson, BadKey, BadSignature
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import (
    COMPROMISED_KEYS,
    LONGEST_VALIDITY_MS,
    PublishedKey,
    may_have_signed,
    parse_published_keys,
)
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.core.signing import SigningKey, VerifyKey, sign_json
from tests.core.rooms import every_version, versions_where

SERVER = ServerName("one.example")
KEY = SigningKey("a", b"\x01" * 32)
OLD_KEY = SigningKey("b", b"\x02" * 32)
NOW_MS = 1_700_000_000_000
COMPROMISED = VerifyKey.from_base64(KeyID("ed25519:0"), min(COMPROMISED_KEYS))


def document(**changes: object) -> dict[str, Any]:
    """An unsigned document of keys with one current and one old key; a change to None leaves the field out."""
    whole = {
        "server_name": SERVER,
        "valid_until_ts": NOW_MS + 1000,
        "verify_keys": {KEY.key_id: {"key": KEY.verify_key.to_base64()}},
        "old_verify_keys": {
            OLD_KEY.key_id: {"key": OLD_KEY.verify_key.to_base64(), "expired_ts": NOW_MS - 5000},
        },
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def parsed(**changes: object) -> list[PublishedKey]:
    """What a document with these changes publishes once it is signed."""
    return parse_published_keys(sign_json(document(**changes), SERVER, KEY), SERVER, fetched_ms=NOW_MS)


@versions_where("enforces_key_validity")
def test_a_key_signs_no_event_after_its_validity_from_version_5_on(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS)
    assert not may_have_signed(key, version, NOW_MS + 1)


@versions_where("enforces_key_validity", holds=False)
def test_validity_is_not_looked_at_before_version_5(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS + 1)


@every_version
def test_a_key_that_was_given_up_signs_earlier_events_alone(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS + 1000, expired_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS)
    assert not may_have_signed(key, version, NOW_MS + 1)


@every_version
def test_a_compromised_key_signs_nothing(version: RoomVersion) -> None:
    assert not may_have_signed(PublishedKey(COMPROMISED, valid_until_ms=NOW_MS), version, 0)


def test_a_document_publishes_its_current_and_its_old_keys() -> None:
    assert parsed() == [
        PublishedKey(KEY.verify_key, NOW_MS + 1000),
        PublishedKey(OLD_KEY.verify_key, NOW_MS - 5000, NOW_MS - 5000),
    ]


def test_no_key_counts_for_longer_than_seven_days_after_it_was_fetched() -> None:
    far = 2**53 - 1
    old = {OLD_KEY.key_id: {"key": OLD_KEY.verify_key.to_base64(), "expired_ts": far}}

    keys = parsed(valid_until_ts=far, old_verify_keys=old)

    assert [key.valid_until_ms for key in keys] == [NOW_MS + LONGEST_VALIDITY_MS] * 2
    assert not any(may_have_signed(key, V11, NOW_MS + LONGEST_VALIDITY_MS + 1) for key in keys)


def test_a_key_that_is_both_current_and_old_is_old() -> None:
    keys = parsed(old_verify_keys={KEY.key_id: {"key": KEY.verify_key.to_base64(), "expired_ts": 7}})

    assert keys == [PublishedKey(KEY.verify_key, 7, 7)]


def test_keys_of_unknown_algorithms_are_left_out() -> None:
    keys = {KEY.key_id: {"key": KEY.verify_key.to_base64()}, "curve25519:x": {"key": "AAAA"}}

    assert parsed(verify_keys=keys, old_verify_keys=None) == [PublishedKey(KEY.verify_key, NOW_MS + 1000)]


def test_compromised_keys_are_left_out() -> None:
    entry = {"key": COMPROMISED.to_base64(), "expired_ts": NOW_MS}
    keys = {KEY.key_id: {"key": KEY.verify_key.to_base64()}, COMPROMISED.key_id: entry}

    assert [key.verify_key for key in parsed(verify_keys=keys, old_verify_keys={"ed25519:1": entry})] == [
        KEY.verify_key
    ]


def test_a_document_with_only_compromised_keys_is_refused() -> None:
    with pytest.raises(BadKey):
        parsed(verify_keys={COMPROMISED.key_id: {"key": COMPROMISED.to_base64()}})


def test_a_document_of_another_server_is_refused() -> None:
    other = ServerName("two.example")

    with pytest.raises(BadKey):
        parse_published_keys(sign_json(document(), SERVER, KEY), other, fetched_ms=NOW_MS)


@pytest.mark.parametrize(
    "signed",
    [
        document(),
        sign_json(document(), ServerName("two.example"), KEY),
        sign_json(document(), SERVER, OLD_KEY),
        sign_json(document(), SERVER, KEY) | {"valid_until_ts": NOW_MS + 1},
        sign_json(document(), SERVER, SigningKey("a", b"\x03" * 32)),
    ],
    ids=["unsigned", "signed by another server", "signed by an old key", "changed", "signed by another key"],
)
def test_a_document_that_its_own_current_keys_have_not_signed_is_refused(signed: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        parse_published_keys(signed, SERVER, fetched_ms=NOW_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_until_ts": None},
        {"valid_until_ts": "1"},
        {"valid_until_ts": True},
        {"verify_keys": None},
        {"verify_keys": {}},
        {"verify_keys": []},
        {"verify_keys": {KEY.key_id: KEY.verify_key.to_base64()}},
        {"verify_keys": {KEY.key_id: {"key": "AAAA"}}},
        {"verify_keys": {KEY.key_id: {"key": 1}}},
        {"verify_keys": {"ed25519:": {"key": KEY.verify_key.to_base64()}}},
        {"old_verify_keys": []},
        {"old_verify_keys": {OLD_KEY.key_id: {"key": OLD_KEY.verify_key.to_base64()}}},
        {"old_verify_keys": {KEY.key_id: {"key": OLD_KEY.verify_key.to_base64(), "expired_ts": 1}}},
    ],
    ids=repr,
)
def test_a_malformed_document_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadKey):
        parsed(**changes)


@pytest.mark.parametrize("value", [None, [], "keys", 1])
def test_what_is_no_object_is_no_document(value: object) -> None:
    with pytest.raises(BadKey):
        parse_published_keys(value, SERVER, fetched_ms=NOW_MS)


def test_a_document_that_canonical_json_cannot_carry_is_refused() -> None:
    signed = sign_json(document(), SERVER, KEY) | {"more": 0.5}

    with pytest.raises(BadJson):
        parse_published_keys(signed, SERVER, fetched_ms=NOW_MS)
