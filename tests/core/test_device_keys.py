"""The payloads of device keys, one-time keys, claims and queries."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.device_keys import (
    KeyClaim,
    KeyQuery,
    OneTimeKey,
    checked_device_keys,
    is_same_key,
    parse_claims,
    parse_fallback_keys,
    parse_key_queries,
    parse_one_time_keys,
)
from homeserver.core.errors import BadJson, ProtocolError
from homeserver.core.identifiers import DeviceID, UserID
from tests.strategies import lenient_json_values

ALICE = UserID("@alice:example.com")
DEVICE = DeviceID("JLAFKJWSCS")
DEVICE_KEYS: dict[str, Any] = {
    "user_id": ALICE,
    "device_id": DEVICE,
    "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
    "keys": {
        "curve25519:JLAFKJWSCS": "3C5BFWi2Y8MaVvjM8M22DBmh24PmgR0nPvJOIArzgyI",
        "ed25519:JLAFKJWSCS": "lEuiRJBit0IG6nUf5pUzWTUEsRVVe/HJkoKuEww9ULI",
    },
    "signatures": {
        ALICE: {
            "ed25519:JLAFKJWSCS": (
                "dSO80A01XiigH3uBiDVx/EjzaoycHcjq9lfQX0uWsqxl2giMIiSPR8a4d291W1ihKJL/a+myXS367WT6NAIcBA"
            )
        }
    },
}
SIGNED_KEY: dict[str, Any] = {
    "key": "zKbLg+NrIjpnagy+pIY6uPL4ZwEG2v+8F9lmgsnlZzs",
    "signatures": {ALICE: {"ed25519:JLAFKJWSCS": "FLWxXqGbwrb8SM3Y795eB6OA8bwBcoMZFXBqnTn58AY"}},
}


def check(device_keys: object) -> dict[str, Any]:
    return checked_device_keys(device_keys, user_id=ALICE, device_id=DEVICE)


def test_the_specifications_device_keys_pass() -> None:
    assert check(DEVICE_KEYS) == DEVICE_KEYS


def test_keys_of_unknown_algorithms_and_unknown_fields_pass_untouched() -> None:
    keys = {
        **DEVICE_KEYS,
        "keys": {**DEVICE_KEYS["keys"], "ml-kem-768:JLAFKJWSCS": "x" * 1579, "org.example.pq:1": "y" * 2600},
        "algorithms": ["org.example.pqxdh"],
        "dehydrated": True,
    }

    assert check(keys) == keys


@pytest.mark.parametrize("missing", ["user_id", "device_id", "algorithms", "keys", "signatures"])
def test_a_missing_field_is_refused(missing: str) -> None:
    with pytest.raises(BadJson):
        check({name: value for name, value in DEVICE_KEYS.items() if name != missing})


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": "@bob:example.com"},
        {"device_id": "OTHER"},
        {"algorithms": "m.olm"},
        {"algorithms": [1]},
        {"algorithms": ["x"] * 65},
        {"keys": []},
        {"keys": {"ed25519": "x"}},
        {"keys": {":x": "x"}},
        {"keys": {"ed25519:": "x"}},
        {"keys": {"ed25519:a\x00": "x"}},
        {"keys": {"ed25519:JLAFKJWSCS": {}}},
        {"keys": {"ed25519:JLAFKJWSCS": "x" * 40_000}},
        {"signatures": []},
        {"signatures": {"alice": {}}},
        {"signatures": {ALICE: "x"}},
        {"signatures": {ALICE: {"ed25519:x": 1}}},
        {"unsigned": "x"},
        {"extra": 0.5},
        {"extra": 2**53},
    ],
)
def test_a_field_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadJson):
        check({**DEVICE_KEYS, **wrong})


def test_one_time_keys_are_split_and_left_as_they_are() -> None:
    keys = {"signed_curve25519:AAAAHg": SIGNED_KEY, "my_algorithm:id:1": "key", "ml-kem:1": {"key": 7, "more": [1]}}

    parsed = parse_one_time_keys(keys)

    assert parsed == (
        OneTimeKey("signed_curve25519", "AAAAHg", SIGNED_KEY),
        OneTimeKey("my_algorithm", "id:1", "key"),
        OneTimeKey("ml-kem", "1", {"key": 7, "more": [1]}),
    )
    assert {key.full_id: key.key for key in parsed} == keys


@pytest.mark.parametrize(
    "keys",
    [
        [],
        {"nocolon": "x"},
        {":id": "x"},
        {"a:": "x"},
        {"a" * 101 + ":id": "x"},
        {"a:" + "x" * 256: "x"},
        {"a:1": 1},
        {"a:1": None},
        {"a:1": "x" * 20_000},
        {"a:1": {"signatures": []}},
        {"a:1": {"number": 0.5}},
        {"signed_curve25519:1": "x"},
        {"signed_curve25519:1": {"key": "x"}},
        {"signed_curve25519:1": {**SIGNED_KEY, "key": 1}},
        {f"a:{number}": "x" for number in range(501)},
    ],
)
def test_one_time_keys_of_another_shape_are_refused(keys: object) -> None:
    with pytest.raises(BadJson):
        parse_one_time_keys(keys)


def test_there_is_one_fallback_key_per_algorithm() -> None:
    fallback = {**SIGNED_KEY, "fallback": True}

    assert len(parse_fallback_keys({"signed_curve25519:1": fallback, "other:1": "x"})) == 2
    with pytest.raises(BadJson):
        parse_fallback_keys({"signed_curve25519:1": fallback, "signed_curve25519:2": fallback})


def test_a_key_that_is_uploaded_again_is_the_same_even_if_signed_anew() -> None:
    assert is_same_key("x", "x")
    assert not is_same_key("x", "y")
    assert not is_same_key("x", {"key": "x"})
    assert is_same_key(SIGNED_KEY, {**SIGNED_KEY, "signatures": {}})
    assert not is_same_key(SIGNED_KEY, {**SIGNED_KEY, "key": "other"})


def test_claims_are_read() -> None:
    body = {ALICE: {DEVICE: "signed_curve25519", "OTHER": "ml-kem"}}

    assert parse_claims(body) == (
        KeyClaim(ALICE, DEVICE, "signed_curve25519"),
        KeyClaim(ALICE, DeviceID("OTHER"), "ml-kem"),
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"alice": {}},
        {ALICE: []},
        {ALICE: {DEVICE: 1}},
        {ALICE: {DEVICE: ""}},
        {ALICE: {DEVICE: "a:b"}},
        {ALICE: {"": "a"}},
        {ALICE: {str(number): "a" for number in range(10_001)}},
    ],
)
def test_claims_of_another_shape_are_refused(body: object) -> None:
    with pytest.raises(BadJson):
        parse_claims(body)


def test_queries_are_read() -> None:
    body = {ALICE: [], "@bob:example.com": [DEVICE, DEVICE], "@carol:example.com": {}}

    assert parse_key_queries(body) == (
        KeyQuery(ALICE, frozenset()),
        KeyQuery(UserID("@bob:example.com"), frozenset({DEVICE})),
        KeyQuery(UserID("@carol:example.com"), frozenset()),
    )


@pytest.mark.parametrize(
    "body", [None, [], {"alice": []}, {ALICE: "x"}, {ALICE: {"a": 1}}, {ALICE: [1]}, {ALICE: [[]]}, {ALICE: None}]
)
def test_queries_of_another_shape_are_refused(body: object) -> None:
    with pytest.raises(BadJson):
        parse_key_queries(body)


_NAMES = st.sampled_from([ALICE, DEVICE, "a:b", "signed_curve25519:1", "ed25519:x", "key", "keys", "signatures"])


@given(st.recursive(lenient_json_values(2), lambda inner: st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8))
def test_garbage_is_refused_or_read_without_complaint(body: Any) -> None:
    for read in (
        lambda: check({**DEVICE_KEYS, **body} if isinstance(body, dict) else body),
        lambda: parse_one_time_keys(body),
        lambda: parse_fallback_keys(body),
        lambda: parse_claims(body),
        lambda: parse_key_queries(body),
    ):
        try:
            read()
        except ProtocolError:
            continue
