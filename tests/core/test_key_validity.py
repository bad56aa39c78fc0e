"""Tests of key validity: which keys count for which events, and which documents of keys are believed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadJson, BadKey, BadSignature
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import (
    COMPROMISED_KEYS,
    LONGEST_VALIDITY_MS,
    MOST_CURRENT_KEYS,
    MOST_OLD_KEYS,
    PublishedKey,
    beside_own_word,
    key_document,
    may_have_signed,
    may_sign_requests,
    merge_published,
    parse_published_keys,
)
from homeserver.core.room_versions import V11, RoomVersion
from homeserver.core.signing import SigningKey, VerifyKey, sign_json
from tests.core.rooms import in_every_version, in_versions_where

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


@in_versions_where("enforces_key_validity")
def test_a_key_signs_no_event_after_its_validity_from_version_5_on(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS)
    assert not may_have_signed(key, version, NOW_MS + 1)


@in_versions_where("enforces_key_validity", holds=False)
def test_validity_is_not_looked_at_before_version_5(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS + 1)


@in_every_version
def test_a_key_that_was_given_up_signs_earlier_events_alone(version: RoomVersion) -> None:
    key = PublishedKey(KEY.verify_key, valid_until_ms=NOW_MS + 1000, expired_ms=NOW_MS)

    assert may_have_signed(key, version, NOW_MS)
    assert not may_have_signed(key, version, NOW_MS + 1)


@in_every_version
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


def test_requests_are_signed_by_keys_that_are_published_at_that_moment() -> None:
    current = PublishedKey(KEY.verify_key, NOW_MS)

    assert may_sign_requests(current, NOW_MS)
    assert not may_sign_requests(current, NOW_MS + 1)
    assert not may_sign_requests(PublishedKey(KEY.verify_key, NOW_MS + 5, NOW_MS + 5), NOW_MS)
    assert not may_sign_requests(PublishedKey(COMPROMISED, NOW_MS), NOW_MS)


@pytest.mark.parametrize(("name", "most"), [("verify_keys", MOST_CURRENT_KEYS), ("old_verify_keys", MOST_OLD_KEYS)])
def test_a_document_with_too_many_keys_is_refused(name: str, most: int) -> None:
    entry = {"key": OLD_KEY.verify_key.to_base64(), "expired_ts": 1}
    many = {f"ed25519:x{number}": entry for number in range(most)}
    if name == "verify_keys":
        many[KEY.key_id] = {"key": KEY.verify_key.to_base64()}

    with pytest.raises(BadKey, match="more than"):
        parsed(**{name: {**many, "ed25519:y": entry}})


# What is known, and what a document says now, of the same key and of others.

KEYS = [SigningKey(name, bytes([seed]) * 32).verify_key for seed, name in enumerate(("a", "b", "a"))]
TIMES = st.integers(NOW_MS - 10, NOW_MS + 10)


@st.composite
def published_keys(draw: st.DrawFn) -> list[PublishedKey]:
    """Some of the keys, each current or old."""
    found = []
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        until_ms = draw(TIMES)
        found.append(PublishedKey(key, until_ms, draw(st.none() | st.just(until_ms))))
    return found


def merged(known: list[PublishedKey], published: list[PublishedKey], *, is_from_origin: bool) -> list[PublishedKey]:
    return merge_published(known, published, fetched_ms=NOW_MS, is_from_origin=is_from_origin)


def test_a_renewed_key_counts_for_longer() -> None:
    known, published = PublishedKey(KEY.verify_key, NOW_MS - 5), PublishedKey(KEY.verify_key, NOW_MS + 5)

    for is_from_origin in (True, False):
        assert merged([known], [published], is_from_origin=is_from_origin) == [published]


def test_beside_what_a_server_says_itself_others_know_of_old_keys_alone() -> None:
    own, other, old = PublishedKey(KEY.verify_key, 1, 1), SigningKey("c", b"\x03" * 32).verify_key, OLD_KEY.verify_key
    told = [own, PublishedKey(other, NOW_MS + 1000), PublishedKey(old, 5, 5)]

    added = beside_own_word(told, {KEY.verify_key}, told_ms=NOW_MS)

    assert added == [PublishedKey(other, NOW_MS, NOW_MS), PublishedKey(old, 5, 5)]


def test_two_keys_of_one_id_are_both_kept() -> None:
    first, second = PublishedKey(KEYS[0], NOW_MS - 5), PublishedKey(KEYS[2], NOW_MS + 5)
    assert first.verify_key.key_id == second.verify_key.key_id

    assert merged([first], [second], is_from_origin=True) == [first, second]


def test_a_key_that_its_server_does_not_mention_any_more_counts_up_to_now() -> None:
    known, published = PublishedKey(KEYS[0], NOW_MS + 5), PublishedKey(KEYS[1], NOW_MS + 5)

    assert merged([known], [published], is_from_origin=True) == [PublishedKey(KEYS[0], NOW_MS), published]
    assert merged([known], [published], is_from_origin=False) == [known, published]


def test_a_server_may_take_up_an_old_key_again_and_nobody_else_may_say_so() -> None:
    old = PublishedKey(KEY.verify_key, NOW_MS - 5, NOW_MS - 5)
    again = PublishedKey(KEY.verify_key, NOW_MS + 5)

    assert merged([old], [again], is_from_origin=True) == [again]
    assert merged([old], [again], is_from_origin=False) == [old]


def test_a_key_that_was_given_up_is_old() -> None:
    known, old = PublishedKey(KEY.verify_key, NOW_MS + 5), PublishedKey(KEY.verify_key, NOW_MS - 5, NOW_MS - 5)

    for is_from_origin in (True, False):
        assert merged([known], [old], is_from_origin=is_from_origin) == [old]


@given(published_keys(), published_keys(), st.booleans())
def test_no_key_is_ever_forgotten_and_the_same_document_again_changes_nothing(
    known: list[PublishedKey], published: list[PublishedKey], is_from_origin: bool
) -> None:
    once = merged(known, published, is_from_origin=is_from_origin)

    assert {key.verify_key for key in once} == {key.verify_key for key in (*known, *published)}
    assert merged(once, published, is_from_origin=is_from_origin) == once


@given(published_keys(), published_keys())
def test_what_others_tell_makes_no_request_valid_that_its_server_has_ended(
    known: list[PublishedKey], published: list[PublishedKey]
) -> None:
    after = {key.verify_key: key for key in merged(known, published, is_from_origin=False)}

    for key in known:
        if key.expired_ms is not None:
            expired_ms = after[key.verify_key].expired_ms
            assert expired_ms is not None
            assert expired_ms <= key.expired_ms


def test_the_own_document_is_one_that_others_believe() -> None:
    old = PublishedKey(OLD_KEY.verify_key, NOW_MS - 5, NOW_MS - 5)

    document = key_document(SERVER, KEY.verify_key, [old], KEY, valid_until_ms=NOW_MS + 1000)

    assert parse_published_keys(document, SERVER, fetched_ms=NOW_MS) == [
        PublishedKey(KEY.verify_key, NOW_MS + 1000),
        old,
    ]


def test_an_old_key_of_the_same_id_does_not_spoil_the_own_document() -> None:
    old = PublishedKey(SigningKey("a", b"\x09" * 32).verify_key, NOW_MS - 5, NOW_MS - 5)

    document = key_document(SERVER, KEY.verify_key, [old], KEY, valid_until_ms=NOW_MS + 1000)

    assert parse_published_keys(document, SERVER, fetched_ms=NOW_MS) == [PublishedKey(KEY.verify_key, NOW_MS + 1000)]
