"""Tests of unpadded base64."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.unpadded_base64 import (
    decode_base64,
    decode_base64_urlsafe,
    encode_base64,
    encode_base64_urlsafe,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foob", "Zm9vYg"), (b"foobar", "Zm9vYmFy")],
)
def test_the_examples_of_the_specification(value: bytes, text: str) -> None:
    assert encode_base64(value) == text
    assert decode_base64(text) == value
    assert decode_base64(text + "=" * (-len(text) % 4)) == value


@given(st.binary())
def test_decoding_gives_back_what_was_encoded(value: bytes) -> None:
    assert decode_base64(encode_base64(value)) == value
    assert encode_base64_urlsafe(value) == encode_base64(value).replace("+", "-").replace("/", "_")
    assert decode_base64_urlsafe(encode_base64_urlsafe(value)) == value


@pytest.mark.parametrize("text", ["a", "Zm9v!", "Zm 9v", "Zm-_", "Zm9v\n", "ü", "Z=g", "\ud800"])
def test_what_is_no_base64_is_none(text: str) -> None:
    assert decode_base64(text) is None
    assert decode_base64_urlsafe(text) is None or text == "Zm-_"
