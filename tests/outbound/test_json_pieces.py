"""Large objects that are read while they arrive."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.outbound.errors import RemoteNonsense
from homeserver.outbound.json_pieces import LOT_BYTES, MOST_OF_AN_ELEMENT_BYTES, MOST_OF_THE_REST_BYTES, JsonPieces

NAMES = ("state", "auth_chain")

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def read(raw: bytes, portion_bytes: int = 1000) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return what was left over, and what was handed on."""
    taken: dict[str, list[Any]] = {name: [] for name in NAMES}
    pieces = JsonPieces(NAMES, lambda name, element: taken[name].append(element))
    for begin in range(0, len(raw), portion_bytes):
        pieces.feed(raw[begin : begin + portion_bytes])
    return pieces.finish(), taken


def feed(pieces: JsonPieces, portion: bytes, *, times: int) -> None:
    for _ in range(times):
        pieces.feed(portion)


@given(
    st.dictionaries(st.sampled_from(["a", "state", "servers", 'b"\\', "{"]), values, max_size=4),
    st.lists(values, max_size=5),
    st.sampled_from([None, 1]),
)
def test_whatever_an_object_holds_it_is_read_as_if_at_once(
    others: dict[str, Any], elements: list[Any], indent: int | None
) -> None:
    whole = {**others, "auth_chain": elements}

    left, taken = read(json.dumps(whole, indent=indent).encode())

    is_list = isinstance(others.get("state"), list)
    assert taken == {"state": others["state"] if is_list else [], "auth_chain": elements}
    assert left == {**whole, "auth_chain": [], **({"state": []} if is_list else {})}


@pytest.mark.parametrize("portion_bytes", [1, 7, LOT_BYTES - 1, LOT_BYTES, LOT_BYTES + 1, 1 << 22])
def test_where_the_portions_end_makes_no_difference(portion_bytes: int) -> None:
    events = [{"content": {"body": '\\"]}, {[' * 30, "n": number}, "prev": [[], ["\\"]]} for number in range(500)]
    whole = {"origin": "x", "state": events, "event": {"state": [1]}, "auth_chain": events[::-1]}

    left, taken = read(json.dumps(whole).encode(), portion_bytes)

    assert taken == {"state": events, "auth_chain": events[::-1]}
    assert left == {"origin": "x", "state": [], "event": {"state": [1]}, "auth_chain": []}


def test_elements_are_handed_on_before_the_end_has_come() -> None:
    taken: list[Any] = []
    pieces = JsonPieces(NAMES, lambda _, element: taken.append(element))

    pieces.feed(b'{"state": [' + b'{"type": "m.room.member"}, ' * LOT_BYTES)

    assert len(taken) > LOT_BYTES - 2


def test_a_name_that_is_written_in_another_way_is_the_same_name() -> None:
    left, taken = read(b'{"st\\u0061te": [1, 2]}')

    assert (left, taken["state"]) == ({"state": []}, [1, 2])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"state": [1, 2]',
        b'{"state": [1, 2',
        b'{"state": [1,, 2]}',
        b'{"state": [1, ]}',
        b'{"state": [,1]}',
        b'{"state": [1}}',
        b'{"state": [{]}]}',
        b'{"state": [1 2]}',
        b'{"state": ["unended]}',
        b'{"state": []} {"state": []}',
        b'{"state": []}}',
        b"}{",
        b'{"state" [1]}',
        b'"state": [1]',
        b'{"state": [NaN]}',
        b'{"state": ["\xff"]}',
        b"[" * 100_000,
        b'{"state": [' + b"[" * 100_000,
    ],
)
def test_what_is_no_object_is_nonsense(raw: bytes) -> None:
    with pytest.raises(RemoteNonsense):
        read(raw)


@pytest.mark.parametrize("opening", [b'{"state": ["', b'{"state": [{"a": ["', b'{"state": [1, {"a":['])
def test_an_element_without_end_is_refused_when_it_is_too_large(opening: bytes) -> None:
    pieces = JsonPieces(NAMES, lambda *_: None)
    pieces.feed(opening)

    with pytest.raises(RemoteNonsense, match="too large"):
        feed(pieces, b"1" * LOT_BYTES, times=2 + MOST_OF_AN_ELEMENT_BYTES // LOT_BYTES)


@pytest.mark.parametrize("part", [b"a", b"[],", b'"a",', b"{},", b"\\", b" "])
def test_whatever_else_there_is_has_its_limit(part: bytes) -> None:
    pieces = JsonPieces(NAMES, lambda *_: None)
    pieces.feed(b'{"other": [ "')

    with pytest.raises(RemoteNonsense, match="too large"):
        feed(pieces, part * LOT_BYTES, times=2 + MOST_OF_THE_REST_BYTES // LOT_BYTES)


def test_what_the_taker_raises_ends_the_reading() -> None:
    def refuse(name: str, element: Any) -> None:
        raise KeyError(name)

    pieces = JsonPieces(NAMES, refuse)
    pieces.feed(b'{"state": [1]}')

    with pytest.raises(KeyError):
        pieces.finish()
