"""The JSON of other servers' answers: read exactly, and looked at from outside only.

What is inside an answer (events, keys, profiles) its caller must judge as an enemy's.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from homeserver.core.canonical_json import INTEGER_LIMIT, decode_lenient
from homeserver.core.errors import BadJson
from homeserver.outbound.errors import RemoteNonsense

# JSON values are `Any` here, as in core/canonical_json.py.


def decode_json(raw: bytes) -> Any:
    """The value of JSON, its numbers as they stand, because old rooms have floats and large integers in their events.

    An event that is not possible in its room's version spoils nothing but itself: it is for others to find.
    Raises RemoteNonsense.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RemoteNonsense(f"the answer is not JSON: {error}") from error
    if not _has_odd_numbers(value):
        return value
    try:
        return decode_lenient(raw)
    except BadJson:  # nested too deep for the exact reader: what is so deep is refused with its event
        return value


def an_object(value: Any, *, lists: tuple[str, ...] = (), objects: tuple[str, ...] = ()) -> dict[str, Any]:
    """`value`, if it is an object that has these lists and objects. Raises RemoteNonsense."""
    if not isinstance(value, dict):
        raise RemoteNonsense("the answer is not a JSON object")
    for name in lists:
        if not isinstance(value.get(name), list):
            raise RemoteNonsense(f"the answer has no list {name!r}")
    for name in objects:
        if not isinstance(value.get(name), dict):
            raise RemoteNonsense(f"the answer has no object {name!r}")
    return value


def a_list(value: Any, name: str) -> list[Any]:
    """The list of that name in the object `value`. Raises RemoteNonsense."""
    found: list[Any] = an_object(value, lists=(name,))[name]
    return found


def text_of(value: Mapping[str, Any], name: str) -> str | None:
    """The text of that name, if there is one."""
    found = value.get(name)
    return found if isinstance(found, str) else None


def _has_odd_numbers(value: Any) -> bool:
    """True if there is a number that orjson may have read otherwise than it stood there."""
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif kind is float or (kind is int and not -INTEGER_LIMIT <= item <= INTEGER_LIMIT):
                return True
        level = below
    return False
