"""Server access control lists: which servers a room's m.room.server_acl lets take part.

Spec: client-server-api/#server-access-control-lists-acls-for-rooms. Where it is asked: the federation's services.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_MAX_SERVER_NAME: Final = 255
_PORT: Final = re.compile(r":[0-9]*\Z")
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True)
class Globs:
    """Many glob patterns as one: a name is matched against all of them in one pass over its characters.

    Names without a wildcard are a set. The others are one automaton without memory of where it came from: each bit of
    an integer is a place in a pattern, and a character moves all of them at once. There is nothing to backtrack, so
    the time is the name's length times the patterns' length over the machine's word, whoever wrote the patterns.
    """

    names: frozenset[str]
    starts: int  # the places before a pattern's first character
    ends: int  # the places after a pattern's last character
    loops: int  # the places where a `*` stands: any character may pass
    steps: Mapping[str, int]  # by character: the places that it leads to
    any_step: int  # the places that any character leads to: `?`

    def matches(self, name: str) -> bool:
        """True when a pattern matches the whole of `name`. Case counts; patterns were lower-cased."""
        if name in self.names:
            return True
        if not self.starts:
            return False
        places = self.starts
        for character in name:
            places = (places << 1) & self.steps.get(character, self.any_step) | places & self.loops
            if not places:
                return False
        return bool(places & self.ends)


def compile_globs(patterns: Iterable[str]) -> Globs:
    """Build the matcher of all `patterns`, ready for lower-case ASCII names of at most 255 characters."""
    names: set[str] = set()
    globs: set[str] = set()
    for pattern in patterns:
        # A server name is ASCII and short: a pattern that asks for more never matches.
        if not pattern.isascii() or len(pattern) - pattern.count("*") > _MAX_SERVER_NAME:
            continue
        pattern = pattern.lower()
        (globs if "*" in pattern or "?" in pattern else names).add(pattern)

    size = sum(len(glob) - glob.count("*") + 1 for glob in globs)
    starts, ends, loops, any_step = (_Places(size) for _ in range(4))
    steps: dict[str, _Places] = {}
    place = 0
    for glob in globs:
        starts.add(place)
        for token in glob:
            if token == "*":  # noqa: S105 - a wildcard
                loops.add(place)
                continue
            place += 1
            if token == "?":  # noqa: S105 - a wildcard
                any_step.add(place)
            else:
                steps.setdefault(token, _Places(size)).add(place)
        ends.add(place)
        place += 1
    anywhere = any_step.bits()
    return Globs(
        names=frozenset(names),
        starts=starts.bits(),
        ends=ends.bits(),
        loops=loops.bits(),
        steps={character: places.bits() | anywhere for character, places in steps.items()},
        any_step=anywhere,
    )


class _Places:
    """A set of places that becomes an integer in one go: setting a bit of a long integer copies the whole of it."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size // 8 + 1)

    def add(self, place: int) -> None:
        self._bytes[place >> 3] |= 1 << (place & 7)

    def bits(self) -> int:
        return int.from_bytes(self._bytes, "little")


@dataclass(frozen=True, slots=True)
class ServerAcl:
    """A room's list, ready to be asked. It costs more to make than to ask: keep it as long as the event it is of."""

    allow: Globs
    deny: Globs
    allows_ip_literals: bool

    def allows(self, server_name: str) -> bool:
        """True when the server may take part. Its port doesn't count, nor does case."""
        host = _host(server_name)
        if host is None:
            return False
        if not self.allows_ip_literals and _is_ip_literal(host):
            return False
        return not self.deny.matches(host) and self.allow.matches(host)


def read_server_acl(content: Mapping[str, Any]) -> ServerAcl:
    """The list that an m.room.server_acl event's content means.

    What is no list or no string counts as absent; without an `allow` list nobody is allowed.
    """
    return ServerAcl(
        allow=compile_globs(_strings(content.get("allow"))),
        deny=compile_globs(_strings(content.get("deny"))),
        allows_ip_literals=content.get("allow_ip_literals") is not False,
    )


def is_server_allowed(server_name: str, content: Mapping[str, Any] | None) -> bool:
    """True when the room's m.room.server_acl content (None: there is no such event) lets the server take part."""
    return content is None or read_server_acl(content).allows(server_name)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _host(server_name: str) -> str | None:
    """The server name without its port, in lower case; None for what cannot be a server name."""
    if not server_name or len(server_name) > _MAX_SERVER_NAME or not server_name.isascii():
        return None
    if server_name.startswith("["):
        address, bracket, port = server_name.partition("]")
        return (address + bracket).lower() if bracket and (not port or _PORT.fullmatch(port)) else None
    host = _PORT.sub("", server_name)
    return host.lower() if host and ":" not in host else None


def _is_ip_literal(host: str) -> bool:
    return host.startswith("[") or _IPV4.fullmatch(host) is not None
