"""A large JSON object read while it arrives: the elements of some of its lists are handed on one by one.

So the state of a large room is never in memory as one text, and reading it never holds up the reactor for long.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from homeserver.outbound.errors import RemoteNonsense
from homeserver.outbound.json_answers import an_object, decode_json

# Bytes are looked at in lots, so that an answer that trickles in costs no more than one that flows.
LOT_BYTES: Final = 1 << 16
MOST_OF_AN_ELEMENT_BYTES: Final = 1 << 20  # an event has 64 KiB; escapes and spaces can make it longer
MOST_OF_THE_REST_BYTES: Final = 1 << 21

_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
# Everything up to a bracket (or a comma), which is the group; without the group, the end has not arrived yet.
_TO_BRACKET: Final = re.compile(rb'(?:[^][{}"]++|' + _STRING + rb")*+([][{}])?", re.DOTALL)
_TO_BRACKET_OR_COMMA: Final = re.compile(rb'(?:[^][{},"]++|' + _STRING + rb")*+([][{},])?", re.DOTALL)
_OPENED_LIST: Final = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*\[", re.DOTALL)


class JsonPieces:
    """Reads one object from bytes that come in any portions.

    `take(name, element)` is called for each element of the lists of those names at the top of the object. What it
    raises ends the reading.
    """

    def __init__(self, names: Iterable[str], take: Callable[[str, Any], None]) -> None:  # Any: JSON
        self._names = {f'"{name}"'.encode(): name for name in names}
        self._take = take
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._kept = b""  # begins with an element, or a part of the rest, whose end has not been seen
        self._scanned = 0  # bytes of it that need not be looked at again
        self._depth = 0
        self._list: str | None = None  # of which the elements are being read
        self._has_elements = False
        self._rest: list[bytes] = []  # the object, with those lists empty
        self._rest_bytes = 0

    def feed(self, portion: bytes) -> None:
        """Read on. Raises RemoteNonsense."""
        self._waiting.append(portion)
        self._waiting_bytes += len(portion)
        if self._waiting_bytes >= LOT_BYTES:
            self._scan()

    def finish(self) -> dict[str, Any]:
        """What the object has besides: the lists are there, but empty. Raises RemoteNonsense, also if it has no end."""
        self._scan()
        rest = an_object(decode_json(b"".join((*self._rest, self._kept))))
        for name in self._names.values():
            elements = rest.get(name)
            if isinstance(elements, list) and elements:  # its name was written in another way
                rest[name] = []
                for element in elements:
                    self._take(name, element)
        return rest

    def _scan(self) -> None:
        lot = b"".join((self._kept, *self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
        begin, at = 0, self._scanned
        while True:
            run = (_TO_BRACKET_OR_COMMA if self._depth <= 2 else _TO_BRACKET).match(lot, at)
            if run is None or run[1] is None:
                at = at if run is None else run.end()
                break
            at = run.end()
            begin = self._pass(run[1], lot, begin, at)
        self._kept = lot[begin:]
        self._scanned = at - begin
        if self._list is not None and len(self._kept) > MOST_OF_AN_ELEMENT_BYTES:
            raise RemoteNonsense(f"an element of {self._list!r} is too large")
        if len(self._kept) + self._rest_bytes > MOST_OF_THE_REST_BYTES:
            raise RemoteNonsense("the answer is too large")

    def _pass(self, mark: bytes, lot: bytes, begin: int, at: int) -> int:
        """Go past a bracket or comma that ends at `at`; where what has not been dealt with begins."""
        was_depth = self._depth
        if mark != b",":
            self._depth += 1 if mark in b"[{" else -1
        if self._list is not None:
            if was_depth > 2 or self._depth > 2:
                return begin
            return self._end_element(self._list, lot[begin : at - 1], mark, at)
        if self._depth < 0:
            raise RemoteNonsense("the answer is not JSON")
        if was_depth == 1 and mark == b"[":
            opened = _OPENED_LIST.fullmatch(lot, begin, at)
            self._list = None if opened is None else self._names.get(opened[1])
            self._has_elements = False
        if self._list is None and self._depth > 1:
            return begin
        return self._set_aside(lot[begin:at], at)

    def _end_element(self, name: str, element: bytes, mark: bytes, at: int) -> int:
        is_end = self._depth == 1
        if self._has_elements or not is_end or element.strip():
            if len(element) > MOST_OF_AN_ELEMENT_BYTES:
                raise RemoteNonsense(f"an element of {name!r} is too large")
            self._take(name, decode_json(element))
            self._has_elements = True
        if is_end:
            self._list = None
            return self._set_aside(mark, at)
        return at

    def _set_aside(self, part: bytes, at: int) -> int:
        self._rest.append(part)
        self._rest_bytes += len(part)
        if self._rest_bytes > MOST_OF_THE_REST_BYTES:
            raise RemoteNonsense("the answer is too large")
        return at
