"""Typed reads of a request's path, query and body; or the error that says what is wrong with them.

Which types an endpoint reads is in its declaration (endpoint.py). What an event's content may hold is core's to say.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
import orjson

from homeserver.core.canonical_json import NESTING_LIMIT
from homeserver.core.errors import BadIdentifier, BadJson, ProtocolError
from homeserver.core.filters import RoomEventFilter, parse_room_event_filter
from homeserver.core.identifiers import (
    parse_device_id,
    parse_event_id,
    parse_room_alias,
    parse_room_id,
    parse_server_name,
    parse_user_id,
)
from homeserver.core.sync_tokens import PaginationToken, SyncToken, parse_token
from homeserver.http.endpoint import JsonObject, NoBody, Upload
from homeserver.services.errors import InvalidParameter, MissingParameter, TooLarge

LARGEST_INTEGER: Final = 2**53 - 1  # of canonical JSON
SEGMENT_LIMIT_BYTES: Final = 1024
# Opening ones in a body, also those within strings. An empty list of two bytes takes some seventy in memory: eight
# megabytes of such would keep everybody waiting for more than a second.
MOST_BRACKETS: Final = 250_000

Limit = TypeVar("Limit", int, int | None)


class NotJson(ProtocolError):  # noqa: N818 - named for what is the case
    """The body is not JSON."""


def split_path(raw: bytes) -> list[str]:
    """The segments of a path after its first slash, percent-decoded. Raises InvalidParameter.

    "/rooms/%21a%2Fb/" is ["rooms", "!a/b", ""].
    """
    path = _as_text(raw, "path")
    segments = path.split("/")[1:]
    if "%" in path:
        return [_unquote(segment, "path") if "%" in segment else segment for segment in segments]
    return segments


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """The names and values of a query, in order; a name may come several times. Raises InvalidParameter."""
    values: dict[str, list[str]] = {}
    query = _as_text(raw, "query").replace("+", " ")
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            if "%" in pair:
                name, value = _unquote(name, "query"), _unquote(value, "query")
            values.setdefault(name, []).append(value)
    return values


_WRONG_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _as_text(raw: bytes, place: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidParameter(f"The {place} is not UTF-8") from None
    if "\x00" in text:
        raise InvalidParameter(f"The {place} holds a NUL")
    return text


def _unquote(encoded: str, place: str) -> str:
    if _WRONG_PERCENT.search(encoded) is not None:
        raise InvalidParameter(f"The {place} holds a % that two hexadecimal digits do not follow")
    return _as_text(unquote_to_bytes(encoded), place)


def _parse_room_id_or_alias(value: str) -> str:
    return parse_room_alias(value) if value.startswith("#") else parse_room_id(value)


_MEDIA_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def _parse_media_id(value: str) -> str:
    if _MEDIA_ID.fullmatch(value) is None:
        raise BadIdentifier(f"not a media ID: {value!r:.60}")
    return value


def _parse_opaque(value: str) -> str:
    if not value or len(value) > SEGMENT_LIMIT_BYTES or len(value.encode()) > SEGMENT_LIMIT_BYTES:
        raise BadIdentifier(f"empty, or longer than {SEGMENT_LIMIT_BYTES} bytes")
    return value


def _parse_state_key(value: str) -> str:
    return _parse_opaque(value) if value else value


_GRAMMARS: Final[Mapping[str, Callable[[str], str]]] = {
    "userId": parse_user_id,
    "roomId": parse_room_id,
    "eventId": parse_event_id,
    "roomAlias": parse_room_alias,
    "roomIdOrAlias": _parse_room_id_or_alias,
    "serverName": parse_server_name,
    "deviceId": parse_device_id,
    "mediaId": _parse_media_id,
    "stateKey": _parse_state_key,
}


def check_path(parameters: Mapping[str, str]) -> None:
    """Check a path's parameters against the grammars that go with their names. Raises InvalidParameter.

    A name without a grammar of its own is opaque: not empty, and not longer than SEGMENT_LIMIT_BYTES.
    """
    for name, value in parameters.items():
        try:
            _GRAMMARS.get(name, _parse_opaque)(value)
        except BadIdentifier as bad:
            raise InvalidParameter(f"{name}: {bad.reason}") from None


_SEQUENCES: Final = (
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.FrozenSetType,
    msgspec.inspect.VarTupleType,
)


def _alternatives(declared: msgspec.inspect.Type) -> tuple[msgspec.inspect.Type, ...]:
    return declared.types if isinstance(declared, msgspec.inspect.UnionType) else (declared,)


class QueryShape:
    """Reads queries of one type: a struct whose fields are strings, numbers, booleans, or lists of them.

    A name that comes several times fills a list; for any other field its first value counts.
    """

    def __init__(self, declared: Any) -> None:  # Any: a struct class, whose fields are known at run time
        self._declared = declared
        described = msgspec.inspect.type_info(declared)
        if not isinstance(described, msgspec.inspect.StructType):
            raise TypeError(f"A query is read into a struct, not into {declared}")
        self._names: dict[str, bool] = {}  # -> is it a sequence?
        self._required: list[str] = []
        self._integers: list[tuple[str, str]] = []
        for field in described.fields:
            kinds = _alternatives(field.type)
            self._names[field.encode_name] = any(isinstance(kind, _SEQUENCES) for kind in kinds)
            if field.required:
                self._required.append(field.encode_name)
            if any(isinstance(kind, msgspec.inspect.IntType) for kind in kinds):
                self._integers.append((field.name, field.encode_name))

    def read(self, values: Mapping[str, list[str]]) -> Any:  # Any: an instance of the declared struct
        """Raises InvalidParameter and MissingParameter."""
        flat: dict[str, str | list[str]] = {}
        for name, is_sequence in self._names.items():
            given = values.get(name)
            if given is not None:
                flat[name] = given if is_sequence else given[0]
        for name in self._required:
            if name not in flat:
                raise MissingParameter(f"The query lacks {name}")
        try:
            query = msgspec.convert(flat, self._declared, strict=False)
        except msgspec.ValidationError as wrong:
            raise InvalidParameter(f"The query has a wrong value: {wrong}") from None
        for attribute, name in self._integers:
            value = getattr(query, attribute)
            if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
                raise InvalidParameter(f"The query has a wrong value: {name} is out of range")
        return query


class BodyShape:
    """Reads bodies of one type. `Upload` is not among them: its bytes are not read here."""

    def __init__(self, declared: Any) -> None:  # Any: NoBody, bytes, JsonObject, or any type that msgspec knows
        self._declared = declared
        self.is_upload: Final = declared is Upload
        self.is_ignored: Final = declared is NoBody
        self._nothing = NoBody()

    def read(self, raw: bytes) -> Any:  # Any: an instance of the declared type
        """Raises NotJson and BadJson. No body at all counts as {}, where {} has what is needed."""
        if self._declared is bytes:
            return raw
        if self.is_ignored:
            return self._nothing
        if self._declared == JsonObject:
            body = parse_json(raw)
            if not isinstance(body, dict):
                raise BadJson("The body is not a JSON object")
            return body
        if not raw:
            try:
                return msgspec.convert({}, self._declared)
            except msgspec.ValidationError:
                raise NotJson("The body is empty") from None
        body = parse_json(raw)
        if _LONG_NUMBER in raw.translate(_DIGITS_AS_ZEROS):
            _check_integers(body)
        try:
            return msgspec.convert(body, self._declared)
        except msgspec.ValidationError as wrong:
            raise BadJson(f"The body has a wrong shape: {wrong}") from None


def parse_json(raw: bytes) -> Any:  # Any: what JSON can be
    """Parse a body: UTF-8, no NaN, of duplicate keys the last counts.

    Raises NotJson, BadJson for what nests too deep, and TooLarge for what would fill the memory.
    """
    brackets = raw.count(b"{") + raw.count(b"[")
    if brackets > MOST_BRACKETS:
        raise TooLarge(f"The body holds more than {MOST_BRACKETS} objects and lists")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise NotJson(f"The body is not JSON: {wrong}" if raw else "The body is empty") from None
    if brackets > NESTING_LIMIT and _nests_too_deep(body):
        raise BadJson(f"The body nests deeper than {NESTING_LIMIT} levels")
    return body


_WRITTEN_LEVELS: Final = 254  # orjson reads deeper, and refuses to write deeper


def _nests_too_deep(body: Any) -> bool:  # Any: JSON
    """True if it nests deeper than the limit.

    Counting in Python would take seconds for a body of megabytes: so it is wrapped up to the level at which orjson
    gives up writing.
    """
    for _ in range(_WRITTEN_LEVELS - NESTING_LIMIT):
        body = [body]
    try:
        orjson.dumps(body)
    except TypeError:
        return True
    return False


# To search a body for [0-9]{16} takes ten times as long as this.
_DIGITS_AS_ZEROS: Final = bytes(ord("0") if byte in b"0123456789" else ord(" ") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 16


def _check_integers(body: Any) -> None:  # Any: JSON
    """Refuse integers that canonical JSON cannot carry. Raises BadJson."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise BadJson("The body holds an integer that is out of range")


def read_event_filter(text: str | None) -> RoomEventFilter:
    """A filter of a room's events, written as JSON in a query. Raises InvalidParameter."""
    if text is None:
        return RoomEventFilter()
    try:
        return parse_room_event_filter(parse_json(text.encode()))
    except (NotJson, BadJson) as bad:
        raise InvalidParameter(f"filter: {bad.reason}") from bad


def read_token(text: str | None) -> PaginationToken | SyncToken | None:
    """A place in a room's history, if it is said: clients say nothing by an empty one, too. Raises BadToken."""
    return None if text is None or text == "" else parse_token(text)


def checked_limit(limit: Limit) -> Limit:
    """How many are asked for, if it is said; what is too much is the service's to say. Raises InvalidParameter."""
    if limit is not None and limit < 0:
        raise InvalidParameter("A limit is not negative")
    return limit
