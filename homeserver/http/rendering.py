"""Replies as bytes: JSON, compression, and the headers that every response carries.

Nothing is sent here: see resource.py.
"""

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
import orjson

from homeserver.http.endpoint import FileBody, Reply

COMPRESSED_FROM_BYTES: Final = 1400  # below this a response fits in one packet anyway
PREFLIGHT: Final = Reply(b"", 204, (("Access-Control-Max-Age", "86400"),))

# Spec: client-server-api/#web-browser-clients
_EVERYWHERE: Final = (
    ("Server", "Columba"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization, Date"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)
_WITHOUT_BODY: Final = frozenset({204, 304})
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_COMPRESSIBLE: Final = re.compile(rb"\r\ncontent-type: (?:application/json|text/)", re.IGNORECASE)
_UNSENDABLE: Final = re.compile(r"[\x00\r\n]")


class Rendered:
    """A reply, ready to be sent: the head ends before the lines that depend on the connection."""

    __slots__ = ("body", "head", "status")

    def __init__(self, status: int, head: bytes, body: bytes | FileBody) -> None:
        self.status: Final = status
        self.head: Final = head
        self.body: Final = body

    @property
    def has_body(self) -> bool:
        """False for the statuses that never have one."""
        return self.status not in _WITHOUT_BODY

    @property
    def size_bytes(self) -> int:
        """The length of the body."""
        return self.body.size_bytes if isinstance(self.body, FileBody) else len(self.body)


def render(reply: Reply) -> Rendered:
    """The reply as bytes, not compressed. Raises TypeError for a body that is no JSON, ValueError for a bad header."""
    body = reply.body
    if isinstance(body, bytes | FileBody):
        return Rendered(reply.status, _head(reply.status, _BYTES, tuple(reply.headers)), body)
    printed = orjson.dumps(body, default=_as_plain)
    if reply.headers:
        return Rendered(reply.status, _head(reply.status, _JSON, tuple(reply.headers)), printed)
    return Rendered(reply.status, _plain_head(reply.status), printed)


def may_be_compressed(rendered: Rendered, accept_encoding: Sequence[str]) -> bool:
    """True if the client takes gzip, and the body is large enough, and text."""
    if isinstance(rendered.body, FileBody) or len(rendered.body) < COMPRESSED_FROM_BYTES:
        return False
    return _accepts_gzip(accept_encoding) and _is_compressible(rendered.head)


def compress(rendered: Rendered) -> Rendered:
    """The reply with a compressed body; the reply itself when that would save less than a tenth.

    Native code that releases the interpreter: it may run in any thread.
    """
    if isinstance(rendered.body, FileBody):
        return rendered
    compressor = zlib.compressobj(level=1, wbits=31)
    compressed = compressor.compress(rendered.body) + compressor.flush()
    if len(compressed) * 10 > len(rendered.body) * 9:
        return rendered
    head = rendered.head + b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
    return Rendered(rendered.status, head, compressed)


def _as_plain(value: Any) -> Any:  # Any: whatever orjson does not know, and what it knows instead
    return msgspec.to_builtins(value)


@lru_cache(maxsize=64)
def _plain_head(status: int) -> bytes:
    return _head(status, _JSON, ())


def _head(status: int, content_type: str, headers: Sequence[tuple[str, str]]) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    given = {name.lower() for name, _ in headers}
    lines = [f"HTTP/1.1 {status} {reason}"]
    for name, value in (*_EVERYWHERE, ("Content-Type", content_type)):
        if name.lower() not in given and not (name == "Content-Type" and status == HTTPStatus.NO_CONTENT):
            lines.append(f"{name}: {value}")
    for name, value in headers:
        if _UNSENDABLE.search(name) or _UNSENDABLE.search(value):
            raise ValueError(f"The header {name!r} cannot be sent")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, ""]).encode()


def _accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    for part in ",".join(accept_encoding).lower().split(","):
        coding, _, weight = part.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


def _is_compressible(head: bytes) -> bool:
    return _COMPRESSIBLE.search(head) is not None
