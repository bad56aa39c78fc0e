"""The JSON of other servers' answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.canonical_json import decode_lenient
from homeserver.outbound.errors import RemoteNonsense
from homeserver.outbound.json_answers import a_list, an_object, decode_json, text_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_numbers_are_read_as_they_stand(value: Any) -> None:
    raw = json.dumps(value).encode()

    read = decode_json(raw)

    assert repr(read) == repr(decode_lenient(raw))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"nonsense", b"<html>", b"NaN", b'{"a": Infinity}', b'"\xff"', b'"\\ud800"']
)
def test_what_is_not_json_is_nonsense(raw: bytes) -> None:
    with pytest.raises(RemoteNonsense):
        decode_json(raw)


@pytest.mark.parametrize("depth", [100, 300, 1000, 2000, 1_000_000])
def test_something_deep_is_read_or_is_nonsense(depth: int) -> None:
    for raw in (b"[" * depth + b"1.5" + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        try:
            decode_json(raw)
        except RemoteNonsense:
            assert depth >= 1000


def test_an_event_that_is_too_deep_does_not_spoil_its_neighbours() -> None:
    deep = b"[" * 500 + b"1.5" + b"]" * 500

    read = decode_json(b'{"pdus": [{"a": ' + deep + b'}, {"b": 1}]}')

    assert read["pdus"][1] == {"b": 1}


@pytest.mark.parametrize("value", [None, [], 1, "a", {"state": 1}, {"state": {}}, {}])
def test_an_object_without_its_lists_is_nonsense(value: Any) -> None:
    with pytest.raises(RemoteNonsense):
        an_object(value, lists=("state",))
    with pytest.raises(RemoteNonsense):
        a_list(value, "state")


@pytest.mark.parametrize("value", [{"event": []}, {}, {"event": None}])
def test_an_object_without_its_objects_is_nonsense(value: Any) -> None:
    with pytest.raises(RemoteNonsense):
        an_object(value, objects=("event",))


def test_what_is_there_is_found() -> None:
    value = {"state": [1], "event": {"a": 2}, "name": "text", "number": 3}

    assert an_object(value, lists=("state",), objects=("event",)) is value
    assert a_list(value, "state") == [1]
    assert (text_of(value, "name"), text_of(value, "number"), text_of(value, "other")) == ("text", None, None)
