"""Canonical JSON: bytes to hash, sign and store, and back. Spec: appendices/#canonical-json

Room versions 6 and later demand it to the letter ("strict"); earlier ones let floats and large integers pass
("lenient"). What is only sent to clients need not come through here.
"""

import json
from typing import Any, Final, NoReturn

import orjson

from homeserver.core.errors import BadJson
from homeserver.core.room_versions import RoomVersion

# JSON values are `Any` here: the one type that callers can index without a cast, after they looked at its shape.

INTEGER_LIMIT: Final = 2**53 - 1

# orjson writes 254 levels, and what clients receive wraps an event in a few more. Other servers stop at 128 (those in
# Rust) or near 1,000 (those in Python), so no room can rely on deeper ones.
NESTING_LIMIT: Final = 200

_PRINT_LENIENT: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode


def check_canonical(value: Any) -> None:
    """Refuse what canonical JSON cannot carry: floats, integers beyond 2^53 - 1, deep nesting, other types.

    Lone surrogates and keys that aren't strings are found by the encoder; JSON that decode_strict or orjson has read
    has none of them. Raises BadJson.
    """
    level = [value]
    for _ in range(NESTING_LIMIT + 1):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict:
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif kind is int:
                if not -INTEGER_LIMIT <= item <= INTEGER_LIMIT:
                    raise BadJson("an integer is beyond the range of canonical JSON")
            elif kind is not bool and item is not None:
                raise BadJson(f"canonical JSON has no {kind.__name__}")
        if not below:
            return
        level = below
    raise BadJson(f"nested deeper than {NESTING_LIMIT} levels")


def encode_canonical(value: Any) -> bytes:
    """The canonical JSON of `value`. Raises BadJson."""
    check_canonical(value)
    return encode_checked(value)


def encode_checked(value: Any) -> bytes:
    """The canonical JSON of a value that check_canonical has passed, or that was assembled of such values.

    Raises BadJson for the rest: lone surrogates, keys that aren't strings.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise BadJson(f"not canonical JSON: {error}") from error


def encode_lenient(value: Any) -> bytes:
    """As encode_canonical, but floats and integers of any size pass, printed as Python prints them.

    All servers of rooms up to version 5 agree on that form, because the first of them was written in Python.
    Raises BadJson.
    """
    if _is_plain(value):
        return encode_checked(value)
    try:
        return _PRINT_LENIENT(value).encode()
    except (ValueError, TypeError, RecursionError) as error:  # NaN, lone surrogates, keys that cannot be sorted
        raise BadJson(f"not JSON: {error}") from error


def decode_strict(data: bytes) -> Any:
    """The value of JSON that could be canonical; spacing, escapes and the order of keys are free. Raises BadJson."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadJson(f"not JSON: {error}") from error
    check_canonical(value)
    return value


def decode_lenient(data: bytes) -> Any:
    """The value of any JSON in UTF-8, with numbers as they stand: integers of any size are integers.

    Raises BadJson, also for NaN, infinity, lone surrogates, and deep nesting.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, parse_float=_finite_float)
        if b"\\ud" in data or b"\\uD" in data:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError) as error:
        raise BadJson(f"not JSON: {error}") from error
    _is_plain(value)
    return value


def encode_for(version: RoomVersion, value: Any) -> bytes:
    """The canonical JSON of `value` as that room version understands it. Raises BadJson."""
    return encode_canonical(value) if version.strict_canonical_json else encode_lenient(value)


def decode_for(version: RoomVersion, data: bytes) -> Any:
    """The value of JSON as that room version understands it. Raises BadJson."""
    return decode_strict(data) if version.strict_canonical_json else decode_lenient(data)


def decode_checked(version: RoomVersion, data: bytes) -> Any:
    """The value of JSON that encode_for has written; quicker than decode_for, because nothing is checked again."""
    return orjson.loads(data) if version.strict_canonical_json else json.loads(data)


def _is_plain(value: Any) -> bool:
    """True if strict canonical JSON can carry `value`, False if only the lenient form can.

    Raises BadJson if neither can, for its types or its nesting.
    """
    plain = True
    level = [value]
    for _ in range(NESTING_LIMIT + 1):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict:
                if any(type(key) is not str for key in item):
                    raise BadJson("a key is not a string")
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif kind is int:
                plain = plain and -INTEGER_LIMIT <= item <= INTEGER_LIMIT
            elif kind is float:
                plain = False
            elif kind is not bool and item is not None:
                raise BadJson(f"JSON has no {kind.__name__}")
        if not below:
            return plain
        level = below
    raise BadJson(f"nested deeper than {NESTING_LIMIT} levels")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite_float(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{text:.40} is beyond the range of numbers")
    return number
