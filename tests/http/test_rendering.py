"""Replies as bytes."""

import gzip
from dataclasses import dataclass

import msgspec
import orjson
import pytest

from homeserver.http.endpoint import Reply
from homeserver.http.rendering import compress, may_be_compressed, render


@dataclass(frozen=True, slots=True)
class Record:
    name: str


class Struct(msgspec.Struct):
    name: str


def test_json_may_hold_records_structs_and_what_is_json_already() -> None:
    body = {"record": Record("a"), "struct": Struct("b"), "event": orjson.Fragment(b'{"c":1}'), "all": ("d", None)}

    rendered = render(Reply(body, 201))

    assert rendered.status == 201
    assert rendered.head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in rendered.head
    assert orjson.loads(rendered.body if isinstance(rendered.body, bytes) else b"") == {
        "record": {"name": "a"},
        "struct": {"name": "b"},
        "event": {"c": 1},
        "all": ["d", None],
    }


def test_given_headers_take_the_place_of_the_usual_ones() -> None:
    head = render(Reply(b"x", headers=(("content-type", "image/png"), ("Cache-Control", "public")))).head

    assert head.lower().count(b"content-type:") == 1
    assert b"content-type: image/png\r\n" in head
    assert head.count(b"Cache-Control:") == 1


@pytest.mark.parametrize("header", [("X-A", "a\r\nX-B: b"), ("X-A\n", "a"), ("X-A", "a\x00")])
def test_a_header_cannot_smuggle_another(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        render(Reply({}, headers=(header,)))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        render(Reply({"a": object()}))


@pytest.mark.parametrize(
    ("accepts", "may"),
    [
        (["gzip"], True),
        (["br", "GZIP; q=0.1"], True),
        (["deflate, gzip;q=1.0"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000"], False),
        (["identity"], False),
        ([], False),
    ],
)
def test_whether_gzip_is_accepted_is_read_from_the_header(accepts: list[str], may: bool) -> None:
    assert may_be_compressed(render(Reply({"a": "b" * 2000})), accepts) is may


def test_small_or_binary_bodies_are_not_compressed() -> None:
    assert not may_be_compressed(render(Reply({"a": "b" * 1000})), ["gzip"])
    assert not may_be_compressed(render(Reply(b"b" * 2000)), ["gzip"])
    assert may_be_compressed(render(Reply(b"b" * 2000, headers=(("content-type", "text/html"),))), ["gzip"])


def test_compression_that_saves_nothing_is_left_out() -> None:
    noise = render(Reply(bytes(range(256)) * 8, headers=(("Content-Type", "text/plain"),)))
    text = render(Reply({"a": "b" * 2000}))

    compressed = compress(text)

    assert isinstance(compressed.body, bytes)
    assert isinstance(text.body, bytes)
    assert gzip.decompress(compressed.body) == text.body
    assert b"\r\nContent-Encoding: gzip\r\n" in compressed.head
    assert compress(noise).size_bytes <= noise.size_bytes
