"""HTTP as bytes: whatever is to be sent goes out as it is, over one connection that is kept alive.

A client that says sensible things is in tests/api/client.py.
"""

import contextlib
import gzip
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

TIMEOUT_S: Final = 60.0
SHOWN: Final = 1_500


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, byte for byte, but for the headers that every request needs."""

    method: str
    target: bytes  # path and query, as they stand in the first line
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None

    def __str__(self) -> str:
        """Tell it to a reader; long parts are cut."""
        headers = b", ".join(name + b": " + value for name, value in self.headers)
        return f"{self.method} {_cut(self.target)}\n  headers {_cut(headers)}\n  body {_cut(self.body)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def is_json(self) -> bool:
        """True when it says so."""
        return self.headers.get("content-type", "").partition(";")[0] == "application/json"

    @property
    def json(self) -> Any:
        """The body by the letter of RFC 8259. Any: JSON has any shape. Raises ValueError."""
        return json.loads(self.body.decode(), parse_constant=_refuse)

    @property
    def errcode(self) -> str | None:
        """The errcode of an error; None where there is none."""
        body = self.json if self.is_json and self.body else None
        found = body.get("errcode") if isinstance(body, dict) else None
        return found if isinstance(found, str) else None

    def __str__(self) -> str:
        """Tell it to a reader; a long body is cut."""
        return f"{self.status} {_cut(self.body)}"


@dataclass
class Wire:
    """One connection at a time to a port of this machine."""

    port: int
    _socket: socket.socket | None = field(default=None, repr=False)

    def send(self, sent: Sent) -> Answer:
        """Ask and wait for the answer. A connection that the server has closed in the meantime is made anew once."""
        was_kept = self._socket is not None
        try:
            return self._ask(sent)
        except (ConnectionError, http.client.BadStatusLine):
            self.close()
            if not was_kept:
                raise
            return self._ask(sent)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, sent: Sent) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [sent.method.encode() + b" " + sent.target + b" HTTP/1.1", b"Host: localhost"]
        lines += [name + b": " + value for name, value in sent.headers]
        if sent.body is not None:
            lines.append(b"Content-Length: %d" % len(sent.body))
        # A server that has seen enough answers, and may close before everything is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b"\r\n".join([*lines, b"", sent.body or b""]))
        response = http.client.HTTPResponse(self._socket, method=sent.method)
        response.begin()
        body = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        if response.will_close:
            self.close()
        response.close()
        return answer


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


def _cut(part: bytes | None) -> str:
    if part is None or len(part) <= SHOWN:
        return repr(part)
    return f"{part[:SHOWN]!r}… ({len(part)} bytes)"
