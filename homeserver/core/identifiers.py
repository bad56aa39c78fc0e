"""The identifiers of Matrix: their types and grammars. Spec: appendices/#identifier-grammar

What arrives is read as widely as the specification demands (historical user IDs); what this server makes itself
is held to the narrow grammar. Who is local, and whether something exists, is asked elsewhere.
"""

import re
import unicodedata
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NewType

from homeserver.core.errors import BadIdentifier
from homeserver.core.room_versions import EventIDFormat

UserID = NewType("UserID", str)
RoomID = NewType("RoomID", str)
EventID = NewType("EventID", str)
RoomAlias = NewType("RoomAlias", str)
ServerName = NewType("ServerName", str)
DeviceID = NewType("DeviceID", str)
KeyID = NewType("KeyID", str)  # a signing key: "ed25519:auto1"

ID_LIMIT_BYTES: Final = 255
DEVICE_ID_LIMIT_BYTES: Final = 512  # the specification names no limit for these

_LOCALPART: Final = r"[^:\x00]*"
_HOST: Final = r"(?:[0-9A-Za-z.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])"
_SERVER: Final = _HOST + r"(?::[0-9]{1,5})?"

_SERVER_NAME: Final = re.compile(_SERVER)
_USER_ID: Final = re.compile(f"@{_LOCALPART}:({_SERVER})")
_ROOM_ID_WITH_SERVER: Final = re.compile(f"!{_LOCALPART}:({_SERVER})")
_ROOM_ID_OF_HASH: Final = re.compile(r"![A-Za-z0-9_-]{43}")
_ROOM_ALIAS: Final = re.compile(f"#{_LOCALPART}:({_SERVER})")
_EVENT_ID_ASSIGNED: Final = re.compile(rf"\${_LOCALPART}:({_SERVER})")
_EVENT_ID_OF_HASH: Final = re.compile(r"\$[A-Za-z0-9+/_-]{43}")
_EVENT_IDS: Final = {
    EventIDFormat.ASSIGNED: _EVENT_ID_ASSIGNED,
    EventIDFormat.HASH_STANDARD: re.compile(r"\$[A-Za-z0-9+/]{43}"),
    EventIDFormat.HASH_URLSAFE: re.compile(r"\$[A-Za-z0-9_-]{43}"),
}
_KEY_ID: Final = re.compile(r"[a-z0-9_]+:[^\x00]+")
_NEW_LOCALPART: Final = re.compile(r"[a-z0-9._=/+-]+")
_COMPLIANT_LOCALPART: Final = re.compile(r"[!-9;-~]+")
_OPAQUE_ID: Final = re.compile(r"[0-9A-Za-z._~-]{1,255}")
_DOTTED_QUAD: Final = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")


def parse_server_name(value: str) -> ServerName:
    """`value`, if it is a server name: a DNS name, an IPv4 address or an [IPv6] address, with a port or without.

    Raises BadIdentifier.
    """
    if _SERVER_NAME.fullmatch(value) is None or not _is_possible_server(value):
        raise BadIdentifier(f"not a server name: {value!r:.60}")
    return ServerName(value)


@lru_cache(maxsize=16_384)  # the same users are named in many requests, and by the hundred in some
def parse_user_id(value: str) -> UserID:
    """`value`, if it is a user ID, however old: any localpart without colon and NUL counts. Raises BadIdentifier."""
    match = _USER_ID.fullmatch(value)
    if match is None or not _fits(value, ID_LIMIT_BYTES) or not _is_possible_server(match[1]):
        raise BadIdentifier(f"not a user ID: {value!r:.60}")
    return UserID(value)


def is_user_id(value: object) -> bool:
    """Whether a value is text that parse_user_id takes."""
    if not isinstance(value, str):
        return False
    try:
        parse_user_id(value)
    except BadIdentifier:
        return False
    return True


def parse_room_id(value: str) -> RoomID:
    """`value`, if it is a room ID of any room version, with a server name or without. Raises BadIdentifier."""
    if _ROOM_ID_OF_HASH.fullmatch(value) is not None:
        return RoomID(value)
    match = _ROOM_ID_WITH_SERVER.fullmatch(value)
    if match is None or not _fits(value, ID_LIMIT_BYTES) or not _is_possible_server(match[1]):
        raise BadIdentifier(f"not a room ID: {value!r:.60}")
    return RoomID(value)


def parse_event_id(value: str, id_format: EventIDFormat | None = None) -> EventID:
    """`value`, if it is an event ID: of that format, or of any when no format is given. Raises BadIdentifier."""
    if id_format is None:
        id_format = EventIDFormat.ASSIGNED
        if _EVENT_ID_OF_HASH.fullmatch(value) is not None:
            return EventID(value)
    match = _EVENT_IDS[id_format].fullmatch(value)
    if match is None:
        raise BadIdentifier(f"not an event ID: {value!r:.60}")
    if id_format is EventIDFormat.ASSIGNED and not (_fits(value, ID_LIMIT_BYTES) and _is_possible_server(match[1])):
        raise BadIdentifier(f"not an event ID: {value!r:.60}")
    return EventID(value)


def parse_room_alias(value: str) -> RoomAlias:
    """`value`, if it is a room alias. Raises BadIdentifier."""
    match = _ROOM_ALIAS.fullmatch(value)
    if match is None or not _fits(value, ID_LIMIT_BYTES) or not _is_possible_server(match[1]):
        raise BadIdentifier(f"not a room alias: {value!r:.60}")
    return RoomAlias(value)


def parse_device_id(value: str) -> DeviceID:
    """`value`, if it can be a device ID: opaque, not empty, without NUL, not too long. Raises BadIdentifier."""
    if not value or "\x00" in value or not _fits(value, DEVICE_ID_LIMIT_BYTES):
        raise BadIdentifier(f"not a device ID: {value!r:.60}")
    return DeviceID(value)


def parse_key_id(value: str) -> KeyID:
    """`value`, if it is a key ID: "algorithm:identifier". The algorithm need not be known. Raises BadIdentifier."""
    if _KEY_ID.fullmatch(value) is None or not _fits(value, ID_LIMIT_BYTES):
        raise BadIdentifier(f"not a key ID: {value!r:.60}")
    return KeyID(value)


def is_valid_new_localpart(localpart: str) -> bool:
    """True if a new user may be called that. The length of the whole user ID is parse_user_id's to check."""
    return _NEW_LOCALPART.fullmatch(localpart) is not None


def is_legible_localpart(localpart: str) -> bool:
    """True if a new alias may be called that: something, all of which can be seen and typed.

    No blanks, controls, or marks that turn the direction of a text: with them an alias would look like another.
    """
    return localpart != "" and not any(unicodedata.category(character)[0] in "CZ" for character in localpart)


def is_compliant_user_id(user_id: UserID) -> bool:
    """False for a historical user ID, which clients see within events only.

    Spec: appendices/#historical-user-ids
    """
    return _COMPLIANT_LOCALPART.fullmatch(localpart_of(user_id)) is not None


def is_opaque_id(value: str) -> bool:
    """True if `value` keeps to the opaque identifier grammar. Spec: appendices/#opaque-identifiers"""
    return _OPAQUE_ID.fullmatch(value) is not None


def localpart_of(identifier: UserID | RoomAlias) -> str:
    """What stands between the sigil and the first colon."""
    return identifier[1:].partition(":")[0]


def server_name_of_user(user_id: UserID) -> ServerName:
    """The server that the user belongs to."""
    return ServerName(user_id.partition(":")[2])


def server_name_of(identifier: UserID | RoomID | EventID | RoomAlias) -> ServerName | None:
    """The server that an identifier names; None for IDs that are hashes."""
    server = identifier.partition(":")[2]
    return ServerName(server) if server else None


def _fits(value: str, limit_bytes: int) -> bool:
    """True if `value` has that many bytes at most; never so with a lone surrogate, which has no bytes at all."""
    if len(value) > limit_bytes:
        return False
    if value.isascii():
        return True
    try:
        return len(value.encode()) <= limit_bytes
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=4096)  # the names are many, and of few servers
def _is_possible_server(server: str) -> bool:
    """What the grammar leaves open: ports and IPv4 parts within their range, IPv6 addresses that are some."""
    if server[0] == "[":
        address, _, port = server[1:].partition("]")
        try:
            IPv6Address(address)
        except AddressValueError:
            return False
        return not port or int(port[1:]) <= 65535
    host, _, port = server.partition(":")
    if port and int(port) > 65535:
        return False
    if host[0].isdigit():
        quad = _DOTTED_QUAD.fullmatch(host)
        return quad is None or all(int(part) <= 255 for part in quad.groups())
    return True
