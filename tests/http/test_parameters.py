"""What the door reads from path, query and body, and what it refuses."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import msgspec
import pytest

from homeserver.core.canonical_json import NESTING_LIMIT
from homeserver.core.errors import BadJson
from homeserver.http.endpoint import JsonObject, NoBody, NoQuery
from homeserver.http.parameters import (
    MOST_BRACKETS,
    BodyShape,
    NotJson,
    QueryShape,
    check_path,
    checked_limit,
    parse_json,
    parse_query,
    split_path,
)
from homeserver.services.errors import InvalidParameter, MissingParameter, TooLarge


class Page(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=0)] = 10
    full_state: bool = False
    start: str | None = msgspec.field(name="from", default=None)
    via: list[str] = []


class Needed(msgspec.Struct, frozen=True):
    direction: str = msgspec.field(name="dir")


class Login(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="type")
    lifetime_ms: int | None = None


class Join(msgspec.Struct, frozen=True):
    reason: str | None = None
    signed: JsonObject | None = None


def test_a_path_is_split_before_it_is_percent_decoded() -> None:
    assert split_path(b"/rooms/%21r%C3%B6om%3Aexample.org/a%2Fb+c/") == ["rooms", "!röom:example.org", "a/b+c", ""]
    assert split_path("/ö".encode()) == ["ö"]
    assert split_path(b"/") == [""]


@pytest.mark.parametrize("path", [b"/%", b"/%4", b"/%zz", b"/%ff", b"/\xff", b"/%00", b"/\x00", b"/a%C3/b"])
def test_a_path_that_cannot_be_decoded_is_refused(path: bytes) -> None:
    with pytest.raises(InvalidParameter):
        split_path(path)


def test_a_query_keeps_repeated_names_and_reads_plus_as_space() -> None:
    assert parse_query(b"via=a&via=b&q=x+y%2B&empty=&&lone") == {
        "via": ["a", "b"],
        "q": ["x y+"],
        "empty": [""],
        "lone": [""],
    }


@pytest.mark.parametrize("raw", [b"a=%zz", b"%ff=1", b"a=%00"])
def test_a_query_that_cannot_be_decoded_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidParameter):
        parse_query(raw)


def test_a_query_is_converted_to_the_types_of_its_struct() -> None:
    query = QueryShape(Page).read(parse_query(b"limit=5&full_state=true&from=t1&via=a&via=b&unknown=1&limit=7"))

    assert query == Page(limit=5, full_state=True, start="t1", via=["a", "b"])


def test_a_query_that_is_absent_is_read_as_its_defaults() -> None:
    assert QueryShape(Page).read({}) == Page()
    assert QueryShape(NoQuery).read({"a": ["1"]}) == NoQuery()


@pytest.mark.parametrize("raw", [b"limit=x", b"limit=", b"limit=-1", b"full_state=perhaps", b"limit=" + b"9" * 40])
def test_a_query_of_wrong_type_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidParameter):
        QueryShape(Page).read(parse_query(raw))


def test_a_query_without_what_is_needed_is_refused() -> None:
    with pytest.raises(MissingParameter, match="dir"):
        QueryShape(Needed).read({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("userId", "@a:example.org"),
        ("roomId", "!abc:example.org"),
        ("roomAlias", "#room:example.org"),
        ("roomIdOrAlias", "#room:example.org"),
        ("roomIdOrAlias", "!abc:example.org"),
        ("serverName", "[::1]:8448"),
        ("mediaId", "Abc-_1"),
        ("stateKey", ""),
        ("txnId", "m1234/ö"),
    ],
)
def test_a_parameter_of_its_grammar_passes(name: str, value: str) -> None:
    check_path({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("userId", "a:example.org"),
        ("roomId", "#abc:example.org"),
        ("eventId", "abc"),
        ("roomAlias", "!room:example.org"),
        ("roomIdOrAlias", "@room:example.org"),
        ("serverName", "example.org/x"),
        ("mediaId", "../x"),
        ("deviceId", ""),
        ("txnId", ""),
        ("txnId", "x" * 2000),
    ],
)
def test_a_parameter_against_its_grammar_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidParameter, match=name):
        check_path({name: value})


def test_a_body_is_read_into_its_struct_and_unknown_keys_are_ignored() -> None:
    body = BodyShape(Login).read(b'{"type": "m.login.password", "lifetime_ms": 5, "more": [1]}')

    assert body == Login("m.login.password", 5)


def test_of_duplicate_keys_the_last_counts_in_structs_and_in_opaque_objects() -> None:
    raw = b'{"type": "a", "type": "b"}'

    assert BodyShape(Login).read(raw) == Login("b")
    assert BodyShape(JsonObject).read(raw) == {"type": "b"}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"not json",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e400}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": 1} x',
        b"{'a': 1}",
        b'\xef\xbb\xbf{"a": 1}',
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
@pytest.mark.parametrize("declared", [JsonObject, Login, Join])
def test_a_body_that_is_not_json_is_refused(raw: bytes, declared: Any) -> None:
    with pytest.raises(NotJson):
        BodyShape(declared).read(raw)


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"x"'])
def test_a_body_that_is_not_an_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        BodyShape(JsonObject).read(raw)
    with pytest.raises(BadJson):
        BodyShape(Join).read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"type": 5}',
        b'{"type": null}',
        b'{"type": "a", "lifetime_ms": "5"}',
        b'{"type": "a", "lifetime_ms": 5.5}',
        b'{"type": "a", "lifetime_ms": 9007199254740992}',
        b'{"type": "a", "lifetime_ms": 99999999999999999999999}',
    ],
)
def test_a_body_of_wrong_shape_is_refused(raw: bytes) -> None:
    with pytest.raises(BadJson):
        BodyShape(Login).read(raw)


def test_digits_inside_a_string_are_no_integer() -> None:
    assert BodyShape(Login).read(b'{"type": "12345678901234567890"}') == Login("12345678901234567890")


def test_no_body_counts_as_an_empty_object_where_nothing_is_needed() -> None:
    assert BodyShape(Join).read(b"") == Join()
    assert BodyShape(NoBody).read(b"") == NoBody()
    with pytest.raises(NotJson):
        BodyShape(Login).read(b"")
    with pytest.raises(NotJson):
        BodyShape(JsonObject).read(b"")


def test_an_ignored_body_is_not_even_parsed() -> None:
    assert BodyShape(NoBody).read(b"garbage") == NoBody()
    assert BodyShape(bytes).read(b"garbage") == b"garbage"


def test_nesting_is_bounded_exactly() -> None:
    deepest = b'{"a":' * NESTING_LIMIT + b"1" + b"}" * NESTING_LIMIT

    assert isinstance(parse_json(deepest), dict)
    with pytest.raises(BadJson):
        parse_json(b"[" + deepest + b"]")


def test_many_brackets_side_by_side_or_in_strings_do_not_nest() -> None:
    assert len(parse_json(b"[" + b"[{}]," * 1000 + b"0]")) == 1001
    assert parse_json(b'["' + b"[" * 1000 + b'\\"{{"]')[0].startswith("[[[")


def test_how_deep_a_body_nests_is_not_counted_level_by_level() -> None:
    chain = b"[" * (NESTING_LIMIT - 1) + b"]" * (NESTING_LIMIT - 1)
    shallow = b"[" + b",".join([b"[]"] * 1000) + b"]"
    deep = b"[" + b",".join([chain] * 1000) + b"]"

    assert len(parse_json(deep)) == 1000
    assert calls_of(lambda: parse_json(deep)) == calls_of(lambda: parse_json(shallow))


def test_a_body_of_more_objects_and_lists_than_anybody_needs_is_refused_unread() -> None:
    most = b"[" + b"[]," * (MOST_BRACKETS - 1) + b"0]"

    assert len(parse_json(most)) == MOST_BRACKETS
    for more in (b"[" + most + b"]", b"{" * (MOST_BRACKETS + 1)):
        with pytest.raises(TooLarge):
            parse_json(more)


def calls_of(action: Callable[[], object]) -> int:
    """How many functions an action calls, those in C too."""
    calls: list[str] = []

    def note(_: FrameType, event: str, __: object) -> None:
        if event in ("call", "c_call"):
            calls.append(event)

    gc.disable()  # others have functions called whenever it runs
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
    return len(calls)


def test_a_limit_is_not_negative() -> None:
    assert [checked_limit(limit) for limit in (0, 7, None)] == [0, 7, None]
    with pytest.raises(InvalidParameter):
        checked_limit(-1)
