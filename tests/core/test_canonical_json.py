"""Tests of canonical JSON: the specification's examples, the canonicaljson package as second opinion, refusals."""

import datetime
import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import canonicaljson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.canonical_json import (
    NESTING_LIMIT,
    check_canonical,
    decode_checked,
    decode_for,
    decode_lenient,
    decode_strict,
    encode_canonical,
    encode_for,
    encode_lenient,
)
from homeserver.core.errors import BadJson
from homeserver.core.room_versions import V5, V6, RoomVersion
from tests.strategies import json_values, lenient_json_values, room_versions

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "signing_vectors.json").read_bytes())


@dataclass
class Record:
    """Something that orjson would write as an object."""

    name: str


class Number(IntEnum):
    """Something that orjson would write as an integer."""

    ONE = 1


class Text(str):
    """Something that orjson would write as a string."""

    __slots__ = ()


def nested(levels: int) -> list[Any]:
    """A list of a list of … with that many levels."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("vector", VECTORS["canonical_json"])
def test_the_examples_of_the_specification_come_out_as_printed(vector: dict[str, str]) -> None:
    assert encode_canonical(decode_strict(vector["json"].encode())) == vector["canonical"].encode()


@given(json_values(30))
def test_canonical_json_is_that_of_the_canonicaljson_package(value: Any) -> None:
    assert encode_canonical(value) == canonicaljson.encode_canonical_json(value)


@given(lenient_json_values(30))
def test_lenient_json_is_that_of_the_canonicaljson_package(value: Any) -> None:
    assert encode_lenient(value) == canonicaljson.encode_canonical_json(value)


@given(json_values(30))
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    encoded = encode_canonical(value)

    assert decode_strict(encoded) == value
    assert decode_lenient(encoded) == value
    assert encode_canonical(decode_strict(encoded)) == encoded


@given(lenient_json_values(30))
def test_lenient_json_is_idempotent(value: Any) -> None:
    encoded = encode_lenient(value)

    assert encode_lenient(decode_lenient(encoded)) == encoded
    assert encode_lenient(decode_checked(V5, encoded)) == encoded


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=2))
def test_keys_are_sorted_by_code_point(value: dict[str, int]) -> None:
    assert list(decode_strict(encode_canonical(value))) == sorted(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        2**64,
        Record("a"),
        Number.ONE,
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        Text("a"),
        (1, 2),
        b"a",
        {1: 2},
        {None: 1},
        {"a": {Text("b"): 1}},
        "\ud800",
        {"\udfff": 1},
        [[{"a": 1.5}]],
        {1, 2},
        object(),
    ],
)
def test_what_canonical_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(BadJson):
        encode_canonical(value)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        Record("a"),
        {1: 2},
        {1: 2, "a": 1.5},
        "\ud800",
        [1.5, "\ud800"],
        (1, 2),
        [10**5000],  # more digits than Python prints
        nested(NESTING_LIMIT + 2),
    ],
)
def test_what_no_json_can_carry_is_refused_leniently_too(value: object) -> None:
    with pytest.raises(BadJson):
        encode_lenient(value)


def test_integers_are_bounded_at_both_ends() -> None:
    assert encode_canonical([2**53 - 1, -(2**53) + 1]) == b"[9007199254740991,-9007199254740991]"


def test_deep_nesting_is_refused_without_recursion() -> None:
    assert encode_canonical(nested(NESTING_LIMIT)) == b"[" * NESTING_LIMIT + b"]" * NESTING_LIMIT
    for levels in (NESTING_LIMIT + 2, 300, 100_000):
        deep = nested(levels)
        with pytest.raises(BadJson):
            encode_canonical(deep)
        with pytest.raises(BadJson):
            check_canonical({"a": deep})
        while deep:  # taken apart here, because the interpreter would do it recursively
            deep = deep.pop()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nul",
        b"{} {}",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"\xff",
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'["\\uDC00\\uD800"]',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": "\n"}',
        b"[" * 300 + b"]" * 300,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 5000,
    ],
)
def test_bytes_that_hold_no_json_are_refused(data: bytes) -> None:
    for decode in (decode_strict, decode_lenient):
        with pytest.raises(BadJson):
            decode(data)


@pytest.mark.parametrize("data", [b"1.0", b"[1e10]", b"-0.0", b"18446744073709551616", b"9007199254740992"])
def test_numbers_beyond_canonical_json_pass_leniently_alone(data: bytes) -> None:
    with pytest.raises(BadJson):
        decode_for(V6, data)
    assert decode_for(V5, data) == json.loads(data)


def test_large_integers_and_floats_survive_a_lenient_round_trip() -> None:
    data = b'{"a":18446744073709551616,"b":1e+16,"c":-0.0,"d":123456789012345678901234567890}'

    assert encode_for(V5, decode_for(V5, data)) == data


def test_of_duplicate_keys_the_last_one_counts() -> None:
    data = b'{"a":1,"b":2,"a":3}'

    assert decode_strict(data) == decode_lenient(data) == {"a": 3, "b": 2}


@given(
    room_versions(), st.one_of(st.binary(), st.text().map(str.encode), json_values().map(json.dumps).map(str.encode))
)
def test_any_bytes_are_decoded_or_refused(version: RoomVersion, data: bytes) -> None:
    try:
        value = decode_for(version, data)
    except BadJson:
        return
    assert decode_for(version, encode_for(version, value)) == value
    assert decode_checked(version, encode_for(version, value)) == value
