"""An HTTP/1.1 connection for loads: kept alive, without a client library's cost, and honest about lost answers.

Tests of what the server answers use tests/api/client.py, which holds every answer against the specification.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

V3: Final = "/_matrix/client/v3"
ANSWER_S: Final = 120.0


class Lost(Exception):  # noqa: N818 - not an error of whoever asked
    """The connection could not be made, or ended before the answer was whole: what became of the request is open."""


class Refused(Exception):  # noqa: N818 - an answer
    """The server answered with something else than 200."""

    def __init__(self, asked: str, status: int, body: bytes) -> None:
        super().__init__(f"{asked} answered {status}: {body[:1000]!r}")
        self.status = status
        self.body = body


@dataclass
class Connection:
    """One connection to a server on the loopback interface; requests go over it one after another."""

    port: int
    access_token: str | None = None
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"  # what the server calls itself, on this interface
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask, and return the JSON of the answer, which must be 200. Raises Lost, Refused. Any: JSON."""
        content = None if body is None else orjson.dumps(body)
        status, answer = await self.send(method, path, content)
        if status != 200:
            raise Refused(f"{method} {path}", status, answer)
        return orjson.loads(answer)

    async def send(
        self, method: str, path: str, content: bytes | None = None, *, authorization: str | None = None
    ) -> tuple[int, bytes]:
        """Ask, and return status and body of the answer. Raises Lost."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        if authorization is None and self.access_token is not None:
            authorization = f"Bearer {self.access_token}"
        if authorization is not None:
            lines.append(f"Authorization: {authorization}")
        if content is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        request = "\r\n".join([*lines, "", ""]).encode() + (content or b"")
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await self._open()
                writer.write(request)
                return await self._answer(reader)
        except (OSError, EOFError, TimeoutError) as problem:
            self.close()
            raise Lost(f"{method} {path}: {problem}") from problem
        except asyncio.CancelledError:
            self.close()  # an answer may still come, and must not be taken for that of the next request
            raise

    def close(self) -> None:
        """Hang up; the next request makes a new connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1",
                self.port,
                limit=1 << 20,
                ssl=self.tls,
                server_hostname=None if self.tls is None else self.host,
            )
        return self._streams

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(first.split(" ", 2)[1]), body

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        pieces: list[bytes] = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(pieces)


def path_of(*segments: str, query: Mapping[str, Any] | None = None) -> str:
    """A path below /_matrix/client/v3, its segments quoted."""
    path = "/".join([V3, *(quote(segment, safe="") for segment in segments)])
    return f"{path}?{urlencode(query)}" if query else path
