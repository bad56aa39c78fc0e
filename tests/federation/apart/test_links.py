"""A link does what it is taken for, by whoever connects to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.federation.apart.links import Link, Passage
from tests.server import Port

ENDED = (ConnectionError, asyncio.IncompleteReadError)


@contextlib.asynccontextmanager
async def link_to_an_echo() -> AsyncIterator[tuple[Link, list[bytes]]]:
    """A link to a server that answers each line with the same; the lines that came there."""
    port, target = Port(), Port()
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", target.number)
    link = Link(port, target.number)
    await link.become(Passage.OPEN)
    try:
        yield link, heard
    finally:
        await link.close()
        server.close()
        port.close()
        target.close()


async def connect(link: Link) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", link.port.number)


async def test_an_open_link_passes_on_what_is_asked_and_answered_however_slow_it_is() -> None:
    async with link_to_an_echo() as (link, _):
        link.delay_s = 0.01
        reader, writer = await connect(link)

        for line in (b"one\n", b"two\n"):
            writer.write(line)
            assert await reader.readline() == line

        writer.close()


async def test_a_refused_link_takes_no_connection_and_ends_those_that_were() -> None:
    async with link_to_an_echo() as (link, _):
        reader, writer = await connect(link)
        writer.write(b"before\n")
        await reader.readline()

        await link.become(Passage.REFUSED)

        with pytest.raises(ENDED):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await connect(link)


async def test_a_link_that_hangs_up_takes_connections_for_nothing() -> None:
    async with link_to_an_echo() as (link, heard):
        await link.become(Passage.HUNG_UP)
        reader, writer = await connect(link)
        writer.write(b"in vain\n")

        with pytest.raises(ENDED):
            await reader.readexactly(1)
        assert heard == []


async def test_what_was_put_into_a_silent_link_comes_out_when_it_is_open_again() -> None:
    async with link_to_an_echo() as (link, heard):
        await link.become(Passage.SILENT)
        reader, writer = await connect(link)
        writer.write(b"late\n")
        answer = asyncio.create_task(reader.readline())
        other, _ = await connect(link)  # by now the link has had its turn
        assert heard == []
        assert not answer.done()

        await link.become(Passage.OPEN)

        assert await answer == b"late\n"
        assert not other.at_eof()


async def test_a_deaf_link_passes_on_what_is_asked_and_keeps_what_is_answered() -> None:
    async with link_to_an_echo() as (link, heard):
        reader, writer = await connect(link)
        writer.write(b"before\n")
        await reader.readline()

        await link.become(Passage.DEAF)
        writer.write(b"asked\n")
        answer = asyncio.create_task(reader.readline())
        async with asyncio.timeout(10):
            while heard != [b"before\n", b"asked\n"]:
                await asyncio.sleep(0)
                assert not answer.done()
        await link.become(Passage.OPEN)

        assert await answer == b"asked\n"
