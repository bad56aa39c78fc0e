"""The Authorization header of servers: every form that the grammar has, and what no server would send."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.core.errors import BadIdentifier, BadJson, BadSignature
from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.x_matrix import (
    HEADER_LIMIT,
    MOST_BRACKETS,
    MOST_PARAMETERS,
    XMatrix,
    is_x_matrix,
    parse_x_matrix,
    signed_request,
)

ORIGIN, HERE = ServerName("one.example:8448"), ServerName("here.example")
CLAIM = XMatrix(ORIGIN, HERE, KeyID("ed25519:a_1"), "q8+/QSdF")
USUAL = 'X-Matrix origin="one.example:8448",destination="here.example",key="ed25519:a_1",sig="q8+/QSdF"'

BLANKS = st.text(" \t", max_size=3)
COMMAS = st.tuples(BLANKS, st.just(","), BLANKS, st.sampled_from(["", "", ","]), BLANKS).map("".join)
SERVERS = st.from_regex(r"[a-z0-9]{1,20}\.example(:[0-9]{1,4})?", fullmatch=True)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """The same text with each letter in either case."""
    return "".join(draw(st.sampled_from([letter.upper(), letter.lower()])) for letter in text)


@st.composite
def quoted(draw: st.DrawFn, value: str) -> str:
    """A value as a quoted string, some characters with a backslash that need none."""
    return '"' + "".join("\\" + each if each in '"\\' or draw(st.booleans()) else each for each in value) + '"'


@st.composite
def headers(draw: st.DrawFn) -> tuple[XMatrix, str]:
    """What is claimed, and one of the many ways to write it."""
    claim = XMatrix(
        ServerName(draw(SERVERS)),
        draw(st.none() | SERVERS),
        KeyID(draw(st.from_regex(r"ed25519:[A-Za-z0-9_]{1,20}", fullmatch=True))),
        draw(st.from_regex(r"[A-Za-z0-9+/]{1,86}={0,2}", fullmatch=True)),
    )
    named = {"origin": claim.origin, "destination": claim.destination, "key": claim.key_id, "sig": claim.signature}
    named["unknown"] = draw(st.none() | st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=20))
    parts = []
    for name, value in draw(st.permutations(list(named.items()))):
        if value is not None:
            equals = draw(BLANKS) + "=" + draw(BLANKS)
            is_bare = name != "unknown" and draw(st.booleans())
            parts.append(draw(spelled(name)) + equals + (value if is_bare else draw(quoted(value))))
    text = parts[0]
    for part in parts[1:]:
        text += draw(COMMAS) + part
    return claim, f"{draw(spelled('X-Matrix'))} {draw(BLANKS)}{text}{draw(BLANKS | COMMAS)}"


def test_the_usual_form_is_read() -> None:
    assert parse_x_matrix(USUAL) == CLAIM


@given(headers())
def test_every_form_of_the_grammar_is_read(claim_and_header: tuple[XMatrix, str]) -> None:
    claim, header = claim_and_header

    assert is_x_matrix(header)
    assert parse_x_matrix(header) == claim


def test_a_signature_may_have_its_whole_name() -> None:
    assert parse_x_matrix(USUAL.replace("sig=", "signature=")) == CLAIM


@given(st.text(max_size=60) | st.text(' ,="\\ab:x', max_size=60))
def test_nothing_but_a_refusal_comes_of_what_is_no_header(text: str) -> None:
    with pytest.raises(BadSignature):
        parse_x_matrix(text)
    with pytest.raises(BadSignature):
        parse_x_matrix(f"X-Matrix {text}")


@pytest.mark.parametrize("name", ["origin", "key", "sig"])
def test_what_is_needed_must_be_there(name: str) -> None:
    header = re.sub(rf',?{name}="[^"]*"', "", USUAL)

    with pytest.raises(BadSignature, match="lacks"):
        parse_x_matrix(header)


@pytest.mark.parametrize(
    "wrong",
    [
        USUAL.replace("one.example:8448", "one.example:99999"),
        USUAL.replace("one.example:8448", "one.example:http"),
        USUAL.replace("one.example:8448", "one_example"),
        USUAL.replace("one.example:8448", ""),
        USUAL.replace("ed25519:a_1", "ed25519"),
        USUAL.replace("ed25519:a_1", ""),
    ],
)
def test_a_server_or_a_key_that_cannot_be_is_no_wrong_signature(wrong: str) -> None:
    with pytest.raises(BadIdentifier):
        parse_x_matrix(wrong)


@pytest.mark.parametrize(
    "spoiled",
    [
        USUAL + ',origin="one.example:8448"',
        USUAL + ',Sig="other"',
        USUAL.replace('",key', '" key'),
        USUAL.replace('",key', '"key'),
        USUAL.replace('",key', '";key'),
        USUAL[:-1],
        USUAL + ',x="\\',
        USUAL + ",x=é",
        USUAL + ",=x",
        USUAL.replace("X-Matrix ", "X-Matrix"),
        USUAL.replace("X-Matrix", "Bearer"),
        USUAL + "," * HEADER_LIMIT,
        USUAL + "".join(f",x{number}=1" for number in range(MOST_PARAMETERS)),
    ],
)
def test_a_header_that_is_wrong_somewhere_is_refused(spoiled: str) -> None:
    with pytest.raises(BadSignature):
        parse_x_matrix(spoiled)


@pytest.mark.parametrize("header", ["Bearer secret", "X-Matrix", "X-Matrixes a=b", "", "Basic X-Matrix origin=a"])
def test_other_schemes_are_told_apart(header: str) -> None:
    assert not is_x_matrix(header)


def test_a_request_without_content_is_signed_without() -> None:
    assert signed_request("GET", "/_matrix/x?y=%21", ORIGIN, HERE, b"") == (
        b'{"destination":"here.example","method":"GET","origin":"one.example:8448","uri":"/_matrix/x?y=%21"}'
    )


def test_content_is_signed_as_canonical_json_however_it_was_written() -> None:
    signed = signed_request("PUT", "/x", ORIGIN, HERE, b'{ "b": "\\u00e9", "a": [1, null, {}], "a": true }')

    assert signed == (
        b'{"content":{"a":true,"b":"\xc3\xa9"},"destination":"here.example","method":"PUT",'
        b'"origin":"one.example:8448","uri":"/x"}'
    )


def test_an_empty_object_is_content() -> None:
    assert b'"content":{}' in signed_request("PUT", "/x", ORIGIN, HERE, b"{}")


def test_numbers_of_old_room_versions_are_signed_as_other_servers_print_them() -> None:
    content = json.dumps({"pdus": [{"content": {"a": 1.5, "b": 2**64, "c": 1e16}}]}).encode()

    signed = signed_request("PUT", "/x", ORIGIN, HERE, content)

    assert b'{"a":1.5,"b":18446744073709551616,"c":1e+16}' in signed


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"no JSON",
        b"\xff",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b"[" * 300 + b"]" * 300,
        b"[" * 100_000,
        b"[" + b"[]," * MOST_BRACKETS + b"[]]",
        b'{"a":1' + b"0" * 5000 + b"}",
    ],
)
def test_content_that_nobody_can_have_signed_is_refused(content: bytes) -> None:
    with pytest.raises(BadJson):
        signed_request("PUT", "/x", ORIGIN, HERE, content)
