"""The kinds of values that a setting can have: each reads a place in a file, or refuses what stands there.

Which setting is of which kind is in sections.py.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import yaml

from homeserver.settings.reading import Place, Refused, compose, entries, is_null, refuse_unknown, word_of

T = TypeVar("T")
Kind = Callable[[Place], T]  # raises Refused

_SIZE: Final = re.compile(r"(\d{1,15}) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)
_OPAQUE_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,255}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/_-]{43}")
_LOCALPART: Final = re.compile(r"[a-z0-9._=/+-]{1,100}")
_MEDIA: Final = re.compile(r"mxc://[^/?#\s]+/[A-Za-z0-9_-]+")
_TURN: Final = re.compile(r"turns?:[^\s/?#]+(\?transport=(udp|tcp))?")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def reads(kind: Kind[object], *other_names: str) -> Mapping[str, object]:
    """Metadata of a dataclass's field: it is read from the file, by `kind`, from its name or an older one."""
    return {"kind": kind, "other_names": other_names}


def _scalar(place: Place, tag: str, expected: str) -> Any:  # Any: as the tag says
    node = place.node
    if not isinstance(node, yaml.ScalarNode) or node.tag != f"tag:yaml.org,2002:{tag}":
        raise place.refuse(f"must be {expected}")
    try:
        return yaml.SafeLoader("").construct_object(node)
    except ValueError as problem:
        raise place.refuse(f"must be {expected}") from problem


def flag(place: Place) -> bool:
    """`true` or `false`."""
    return bool(_scalar(place, "bool", "true or false"))


def text(place: Place) -> str:
    """Some text, not empty."""
    node = place.node
    if isinstance(node, yaml.ScalarNode) and not is_null(node) and not node.tag.endswith(":str"):
        raise place.refuse(f'must be text: write "{node.value}" with quotes')
    value = _scalar(place, "str", "text")
    if not value:
        raise place.refuse("must not be empty")
    return str(value)


def whole_number(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""

    def read(place: Place) -> int:
        value = int(_scalar(place, "int", "a whole number"))
        if not low <= value <= high:
            raise place.refuse(f"must be from {low} to {high}, not {value}")
        return value

    return read


def number(low: float, high: float) -> Kind[float]:
    """A number from `low` to `high`."""

    def read(place: Place) -> float:
        is_whole = place.node.tag.endswith(":int")
        value = float(_scalar(place, "int" if is_whole else "float", "a number"))
        if not low <= value <= high:
            raise place.refuse(f"must be from {low:g} to {high:g}, not {value:g}")
        return value

    return read


def size_bytes(low: int, high: int) -> Kind[int]:
    """A size: a number of bytes, or text like "64M" (of 1024 x 1024)."""

    def read(place: Place) -> int:
        match = _SIZE.fullmatch(word_of(place.node) or "")
        if match is None:
            raise place.refuse("must be a size: bytes, or a number with K, M or G, like 64M")
        value = int(match[1]) * _UNITS[match[2].upper()]
        if not low <= value <= high:
            raise place.refuse(f"must be from {_size_text(low)} to {_size_text(high)}, not {_size_text(value)}")
        return value

    return read


def _size_text(value: int) -> str:
    for unit in ("T", "G", "M", "K"):
        if value and value % _UNITS[unit] == 0:
            return f"{value // _UNITS[unit]}{unit}"
    return str(value)


def one_of(*choices: str) -> Kind[str]:
    """One of a few words."""

    def read(place: Place) -> str:
        word = word_of(place.node)
        if word is None or word not in choices:
            raise place.refuse(f"must be one of: {', '.join(choices)}")
        return word

    return read


def free_table(place: Place) -> Mapping[str, Any]:
    """A table with whatever somebody else reads. Any: YAML."""
    node = place.node
    if is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise place.refuse("must be a table")
    try:
        read = yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as problem:
        raise place.refuse(f"cannot be read: {problem}") from problem
    if not all(isinstance(name, str) for name in read):
        raise place.refuse("must have names of text")
    return dict(read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """`null`, or a value of `kind`."""
    return lambda place: None if is_null(place.node) else kind(place)


def list_of(kind: Kind[T], *, least: int = 0) -> Kind[tuple[T, ...]]:
    """A list of values of `kind`, at least so many."""

    def read(place: Place) -> tuple[T, ...]:
        return tuple(value for _, value in read_items(place, kind, least))

    return read


def read_items(place: Place, kind: Kind[T], least: int = 0) -> list[tuple[Place, T]]:
    """The items of a list, each with its place. Raises Refused when one is refused, after reading them all."""
    node = place.node
    if is_null(node) and not least:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise place.refuse("must be a list")
    if len(node.value) < least:
        raise place.refuse(f"must have at least {least} of them")
    items = [place.at(item, index) for index, item in enumerate(node.value)]
    read = [(item, value) for item in items for value in _read_or_none(item, kind)]
    if len(read) < len(items):
        raise Refused
    return read


def _read_or_none(place: Place, kind: Kind[T]) -> tuple[()] | tuple[T]:
    try:
        return (kind(place),)
    except Refused:
        return ()


def section(cls: type[T], *, strict: bool = True) -> Kind[T]:
    """A table whose keys are the fields of a dataclass; a field with a default may be left out.

    Where it is not `strict`, keys that no field has are passed over.
    """
    # Any: `cls` is a dataclass, which its type cannot say.
    own: tuple[Field[Any], ...] = tuple(each for each in fields(cls) if "kind" in each.metadata)  # type: ignore[arg-type]

    def read(place: Place) -> T:
        found = entries(place)
        values: dict[str, object] = {}
        is_refused = False
        for each in own:
            name = next((name for name in (each.name, *each.metadata["other_names"]) if name in found), None)
            if name is None:
                if each.default is MISSING and each.default_factory is MISSING:
                    place.below(place.node, each.name).refuse("is missing")
                    is_refused = True
                continue
            read = _read_or_none(found[name][1], each.metadata["kind"])
            if read:
                values[each.name] = read[0]
            else:
                is_refused = True
        if strict:
            refuse_unknown(found, [each.name for each in own])
        if is_refused:
            raise Refused
        return cls(**values)

    return read


def file_of(cls: type[T]) -> Kind[T]:
    """The path of another YAML file, whose settings are the fields of a dataclass; others in it are passed over."""
    read_section = section(cls, strict=False)

    def read(place: Place) -> T:
        document = place.document.beside(existing_file(place))
        whole = compose(document)
        if whole is None:
            raise place.refuse("the file is empty")
        return read_section(whole)

    return read


def path(place: Place) -> Path:
    """A path; a relative one counts from the folder of the configuration file."""
    return place.document.path.parent.resolve() / Path(text(place)).expanduser()


def existing_file(place: Place) -> Path:
    """The path of a file that is there and can be read."""
    found = path(place)
    try:
        found.open("rb").close()
    except OSError as problem:
        raise place.refuse(f"{found} cannot be read: {problem.strerror}") from problem
    return found


def server_name(place: Place) -> str:
    """A server name of Matrix."""
    value = text(place)
    if not place.document.rules.is_server_name(value):
        raise place.refuse(f"{value!r} is no server name: write example.org, or example.org:8448, without https://")
    return value


def room_version(place: Place) -> str:
    """A room version that this server can make."""
    # Written without quotes, 12 is a number in YAML; there is only one thing it can mean.
    value = word_of(place.node)
    if value is None or value not in place.document.rules.room_versions:
        raise place.refuse(f"must be a room version: {', '.join(place.document.rules.room_versions)}")
    return value


def web_address(place: Place) -> str:
    """An http or https URL, without a slash at its end."""
    value = text(place)
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or any(character.isspace() for character in value):
        raise place.refuse(f"{value!r} is no URL: write https://example.org/")
    if parts.query or parts.fragment or parts.username is not None:
        raise place.refuse("must be an URL without user, ? and #")
    return value.rstrip("/")


def _matching(pattern: re.Pattern[str], place: Place, complaint: str) -> str:
    """A text like a pattern; `complaint` says why another one is refused, and may show it."""
    value = text(place)
    if not pattern.fullmatch(value):
        raise place.refuse(complaint.format(value))
    return value


def opaque_id(place: Place) -> str:
    """A short name for programs: letters, digits, and . _ ~ -"""
    return _matching(_OPAQUE_ID, place, "{!r} is no name: write letters, digits, and . _ ~ -")


def language(place: Place) -> str:
    """The tag of a language (BCP 47)."""
    return _matching(_LANGUAGE, place, "{!r} is no language: write en, or pt-BR")


def public_key(place: Place) -> str:
    """An ed25519 public key, in base64 without padding."""
    return _matching(_PUBLIC_KEY, place, "is no public key: write the 43 characters of base64 that an ed25519 key has")


def localpart(place: Place) -> str:
    """The name of a user of this server: what stands between @ and :."""
    return _matching(_LOCALPART, place, "{!r} is no user name: write small letters, digits, and . _ = - / +")


def media(place: Place) -> str:
    """The address of a picture on a server of Matrix."""
    return _matching(_MEDIA, place, "{!r} is no address of a picture: write mxc://example.org/abc")


def turn_uri(place: Place) -> str:
    """The address of a TURN server (RFC 7065)."""
    return _matching(_TURN, place, "{!r} is no TURN server: write turn:turn.example.org:3478?transport=udp")


def web_folder(place: Place) -> str:
    """An http or https URL, with a slash at its end: paths can be added to it."""
    return web_address(place) + "/"


def address(place: Place) -> str:
    """The IP address of a network interface."""
    value = text(place)
    try:
        return str(ip_address(value))
    except ValueError as problem:
        raise place.refuse(
            f"{value!r} is no IP address: write 127.0.0.1 for this computer alone, 0.0.0.0 or :: for all"
        ) from problem


def network(place: Place) -> IPv4Network | IPv6Network:
    """A range of IP addresses, or one of them."""
    value = text(place)
    try:
        return ip_network(value)
    except ValueError as problem:
        raise place.refuse(
            f"{value!r} is no range of addresses: write 10.0.0.0/8 or 192.0.2.1 ({problem})"
        ) from problem


def pattern(place: Place) -> str:
    """A regular expression."""
    value = text(place)
    try:
        re.compile(value)
    except re.error as problem:
        raise place.refuse(f"is no regular expression: {problem}") from problem
    return value


def database(place: Place) -> str:
    """`sqlite`, or the URL of a PostgreSQL database. What is refused is not repeated: it may hold a password."""
    value = text(place)
    if value == "sqlite":
        return value
    message = "must be sqlite or postgresql://user:password@host:5432/name"
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("postgresql", "postgres") and parts.port != 0 and len(parts.path) > 1
    except ValueError as problem:
        raise place.refuse(message) from problem
    if not is_usable:
        raise place.refuse(message)
    return value
