"""Dot-separated property paths, as push conditions and `event_fields` of filters use them.

Spec: appendices/#dot-separated-property-paths
"""

from collections.abc import Mapping
from typing import Any, Final

ABSENT: Final = object()  # what look_up returns for a property that is not there; null is a value


def split_path(path: str) -> tuple[str, ...]:
    r"""The property names in `path`; `\.` and `\\` stand for a dot and a backslash in a name."""
    if "\\" not in path:
        return tuple(path.split("."))
    names, name, position = [], "", 0
    while position < len(path):
        character = path[position]
        if character == "\\" and path[position + 1 : position + 2] in (".", "\\"):
            name += path[position + 1]
            position += 1
        elif character == ".":
            names.append(name)
            name = ""
        else:
            name += character
        position += 1
    names.append(name)
    return tuple(names)


def look_up(document: Mapping[str, Any], path: tuple[str, ...]) -> object:
    """The value at `path` in `document`, or ABSENT."""
    value: object = document
    for name in path:
        if not isinstance(value, dict):
            return ABSENT
        value = value.get(name, ABSENT)
    return value
