"""The Authorization header of requests between servers, and what the signature in it is over.

Which key must have signed is asked in services/federation/request_verification.py.
Spec: server-server-api/#request-authentication
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.canonical_json import decode_lenient, decode_strict, encode_canonical, encode_lenient
from homeserver.core.errors import BadJson, BadSignature
from homeserver.core.identifiers import KeyID, ServerName, parse_key_id, parse_server_name

MOST_PARAMETERS: Final = 32
HEADER_LIMIT: Final = 4096  # characters
# Opening ones in a request's content: a body of megabytes of empty lists would keep everybody waiting, and this is
# read before it is known who sent it.
MOST_BRACKETS: Final = 250_000

_SCHEME: Final = re.compile(r"[ \t]*x-matrix[ \t]+", re.IGNORECASE)
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Older servers write colons, and the slashes and equals signs of Base64, without quotes.
_BARE_VALUE: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z:/=\[\]-]*"
_QUOTED_VALUE: Final = r'"((?:[^"\\]|\\.)*)"'
_PARAMETER: Final = re.compile(rf"({_NAME})[ \t]*=[ \t]*(?:{_QUOTED_VALUE}|({_BARE_VALUE}))[ \t]*", re.DOTALL)
_SEPARATORS: Final = re.compile(r"[ \t]*,[ \t,]*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class XMatrix:
    """What one Authorization header claims. Servers of before version 1.3 name no destination."""

    origin: ServerName
    destination: str | None
    key_id: KeyID
    signature: str


def is_x_matrix(header: str) -> bool:
    """True if the header is of this scheme; others are none of our business."""
    return _SCHEME.match(header) is not None


def parse_x_matrix(header: str) -> XMatrix:
    """What a header of the scheme X-Matrix claims. Raises BadSignature, and BadIdentifier for a server or a key that
    cannot be: that is a wrong request, whoever has signed it.

    Spec: RFC 9110, section 11.4; unknown parameters are ignored, colons need no quotes.
    """
    scheme = _SCHEME.match(header)
    if scheme is None or len(header) > HEADER_LIMIT:
        raise BadSignature("the Authorization header is not one of X-Matrix, or too long")
    parameters = _parameters(header, scheme.end())
    return XMatrix(
        parse_server_name(_present(parameters, "origin")),
        parameters.get("destination"),
        parse_key_id(_present(parameters, "key")),
        # The specification calls it `sig` in its examples, as everybody does, and `signature` in its list.
        parameters["sig"] if "sig" in parameters else _present(parameters, "signature"),
    )


def signed_request(method: str, uri: str, origin: ServerName, destination: ServerName, content: bytes) -> bytes:
    """The bytes that are signed for a request: `uri` and `content` as they are on the wire, empty for no content.

    Content may hold numbers that only events of old room versions can. Raises BadJson.
    """
    request: dict[str, Any] = {"method": method, "uri": uri, "origin": origin, "destination": destination}
    if not content:
        return encode_canonical(request)
    if content.count(b"{") + content.count(b"[") > MOST_BRACKETS:
        raise BadJson(f"the content holds more than {MOST_BRACKETS} objects and lists")
    try:
        request["content"] = decode_strict(content)
        return encode_canonical(request)
    except BadJson:
        request["content"] = decode_lenient(content)
        return encode_lenient(request)


def _present(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if value is None:
        raise BadSignature(f"the Authorization header lacks {name}")
    return value


def _parameters(text: str, begin: int) -> dict[str, str]:
    """Names in lower case, with their values; empty ones between commas are allowed. Raises BadSignature."""
    found: dict[str, str] = {}
    position = _after_separators(text, begin)
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or len(found) >= MOST_PARAMETERS:
            raise BadSignature("the Authorization header is not a list of parameters, or too long")
        name = match[1].lower()
        if name in found:
            raise BadSignature(f"the Authorization header has {name:.60} twice")
        found[name] = match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])
        position = _after_separators(text, match.end())
        if position == match.end() < len(text):
            raise BadSignature("the Authorization header has no comma between two parameters")
    return found


def _after_separators(text: str, position: int) -> int:
    match = _SEPARATORS.match(text, position)
    return position if match is None else match.end()
