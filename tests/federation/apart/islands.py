"""Servers that reach each other over links only: each is an island, and any two can be parted."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Final

from tests.federation.apart.links import Link, Passage
from tests.federation.peers import COLUMBA, Peer, columba
from tests.server import Port, Server
from tests.tls import CertificateAuthority

PROGRAM: Final = "tests.federation.apart.elsewhere"


@dataclass
class Islands:
    """Columba, several times."""

    peers: Sequence[Peer]
    ports: dict[tuple[int, int], Port]  # where the link from one to another is found
    links: dict[tuple[int, int], Link] = field(default_factory=dict)

    def server(self, number: int) -> Server:
        """One of them, as the process that it is."""
        server = self.peers[number].contestant.server
        assert isinstance(server, Server)
        return server

    async def start(self) -> None:
        """Start those that do not run, all at once."""
        await asyncio.gather(*(peer.start() for peer in self.peers if peer.contestant.server.process is None))

    def close(self) -> None:
        """End all, and delete what they have."""
        with contextlib.ExitStack() as stack:
            for peer in self.peers:
                stack.callback(peer.close)
            for port in self.ports.values():
                stack.callback(port.close)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Links between all of them, for as long as the context lasts. Servers that do not run are started."""
        targets = [peer.federation_port.number for peer in self.peers]
        self.links = {(one, other): Link(port, targets[other]) for (one, other), port in self.ports.items()}
        try:
            await self.heal()
            await self.start()
            yield
        finally:
            await asyncio.gather(*(link.close() for link in self.links.values()))

    async def cut(self, pairs: Iterable[tuple[int, int]], passage: Passage) -> None:
        """Have these links pass nothing on, or not everything."""
        await asyncio.gather(*(self.links[pair].become(passage) for pair in pairs))

    async def heal(self) -> None:
        """Have all links pass everything on at once."""
        for link in self.links.values():
            link.delay_s = 0.0
        await asyncio.gather(*(link.become(Passage.OPEN) for link in self.links.values()))

    def between(self, some: Iterable[int], others: Iterable[int]) -> list[tuple[int, int]]:
        """All links, of both directions, between two groups."""
        pairs = [(one, other) for one in some for other in others]
        return pairs + [(other, one) for one, other in pairs]

    def kill(self, number: int) -> None:
        """End one as a power cut would."""
        self.server(number).kill()

    def copy_of(self, number: int, folder: Path) -> Path:
        """The database as a server left it: it is to find its own as it was."""
        original = self.server(number).sqlite_file
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{original}{suffix}", folder / f"copy.db{suffix}")
        return folder / "copy.db"


def islands(authority: CertificateAuthority, ahead_ms: Sequence[int]) -> Islands:
    """As many servers as are given, each with so much ahead of time as its clock is; none runs yet."""
    # The name's host stands for nothing but what an access control list and a certificate say.
    peers = [columba(authority, f"127.0.0.{number}") for number in range(1, len(ahead_ms) + 1)]
    ports = {pair: Port() for pair in permutations(range(len(peers)), 2)}
    made = Islands(peers, ports)
    for number, peer in enumerate(peers):
        assert peer.kind == COLUMBA
        linked = [
            f"{peers[other].federation_port.number}={port.number}"
            for (one, other), port in ports.items()
            if one == number
        ]
        made.server(number).program = ("-m", PROGRAM, str(ahead_ms[number]), ",".join(linked))
    return made


@contextlib.contextmanager
def running(authority: CertificateAuthority, ahead_ms: Sequence[int]) -> Iterator[Islands]:
    """Such servers, running for as long as the context lasts."""
    made = islands(authority, ahead_ms)
    try:
        asyncio.run(made.start())
        yield made
    finally:
        made.close()
