"""Links between servers on the loopback interface, which can be cut in the ways in which networks are cut.

A link goes one way: over it one server opens connections to another one, and is answered.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tests.server import Port

PIECE_BYTES: Final = 1 << 16


class Passage(Enum):
    """What a link does with what is put into it."""

    OPEN = "open"
    REFUSED = "refused"  # nobody listens, and whoever was connected is not any more
    HUNG_UP = "hung up"  # connections are taken, and ended at once
    SILENT = "silent"  # connections are taken; nothing comes out until the link is open again
    DEAF = "deaf"  # what is asked comes out, what is answered does not until the link is open again


CUTS: Final = (Passage.REFUSED, Passage.HUNG_UP, Passage.SILENT)


@dataclass
class Link:
    """A way from one server to another; `port` is where the first one finds it. It belongs to one event loop."""

    port: Port
    target: int  # the port of the server at its end
    delay_s: float = 0.0  # of each piece
    passage: Passage = Passage.OPEN
    _server: asyncio.Server | None = None
    _connections: "set[asyncio.Task[None]]" = field(default_factory=set)
    _asking: asyncio.Event = field(default_factory=asyncio.Event)
    _answering: asyncio.Event = field(default_factory=asyncio.Event)

    async def become(self, passage: Passage) -> None:
        """Pass things on like this from now on."""
        self.passage = passage
        for event, shut in ((self._asking, (Passage.SILENT,)), (self._answering, (Passage.SILENT, Passage.DEAF))):
            if passage in shut:
                event.clear()
            else:
                event.set()
        if passage in (Passage.REFUSED, Passage.HUNG_UP):
            await self._reset()
        if passage is Passage.REFUSED:
            self._end()
        elif self._server is None:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port.number)

    async def close(self) -> None:
        """End all connections, and take no more."""
        self._end()
        await self._reset()

    def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _reset(self) -> None:
        connections = tuple(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.passage in (Passage.REFUSED, Passage.HUNG_UP):  # the first: taken while the port was given up
            writer.transport.abort()
            return
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        ends = [writer]
        try:
            with contextlib.suppress(OSError):
                answers, onwards = await asyncio.open_connection("127.0.0.1", self.target)
                ends.append(onwards)
                await self._pass_on(reader, onwards, answers, writer)
        except asyncio.CancelledError:  # the link was cut
            for end in ends:
                end.transport.abort()
        finally:
            self._connections.discard(connection)
            for end in ends:
                end.close()

    async def _pass_on(
        self,
        questions: asyncio.StreamReader,
        onwards: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        """Until one end hangs up."""
        pumps = [
            asyncio.create_task(self._pump(questions, onwards, self._asking)),
            asyncio.create_task(self._pump(answers, back, self._answering)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        """Pass on what comes. A piece is under way for `delay_s`, and the next one begins after it has come."""
        while piece := await reader.read(PIECE_BYTES):
            await passes.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(piece)
            await writer.drain()
