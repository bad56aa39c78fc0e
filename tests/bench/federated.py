"""What rooms that are shared with other servers cost: to join a large one, to take in events, to send events to many.

The other servers are made by hand (hand_made.py) and cost nothing here: what is counted is the server that is measured.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.room_versions import V10
from tests.bench.hand_made import HandMadeServer, SignedConnection
from tests.bench.measures import Figure
from tests.connection import Refused, path_of
from tests.federation.peers import COLUMBA, KINDS, SYNAPSE, Peer
from tests.tls import CertificateAuthority
from tests.users import User

LOOK_EVERY_S: Final = 0.02
RESTS_S: Final = 1.0
IDLE: Final = 0.02  # of a core
PATIENCE_S: Final = 600.0
NAMES: Final = {COLUMBA: "Columba", SYNAPSE: "Synapse"}
OUR_HOST: Final = "127.0.0.1"  # the hand-made servers are called localhost


@dataclass(frozen=True, slots=True)
class FederatedCounts:
    """How much is measured."""

    members: int = 10_000  # of the room that is joined
    inbound_members: int = 1_000  # of the room that events come from
    transactions: int = 40
    pdus: int = 50  # in each transaction
    destinations: int = 200
    messages: int = 20  # to all of these


@dataclass
class Scene:
    """A server that is measured, one of its users, and the others."""

    peer: Peer
    others: HandMadeServer
    user: User

    async def join(self) -> None:
        """Let the user join the room of the others."""
        query = {"server_name": self.others.names[0], "via": self.others.names[0]}
        path = path_of("join", self.others.room.room_id, query=query)
        await self.user.connection.call("POST", path, {})


@asynccontextmanager
async def scene(kind: str, members: int, names: int = 1) -> AsyncIterator[Scene]:
    """A server on empty data beside one with a room of so many members, on as many names."""
    with TemporaryDirectory(prefix="columba-bench-") as folder:
        async with HandMadeServer(Path(folder), V10, names) as others:
            others.people(members - 1)
            peer = _peer(kind, others.authority)
            try:
                await peer.start()
                yield Scene(peer, others, await peer.contestant.user("alice"))
            finally:
                peer.close()


def _peer(kind: str, authority: CertificateAuthority) -> Peer:
    peer = KINDS[kind](authority, OUR_HOST)
    if kind == COLUMBA:
        peer.contestant.server.settings["log"] = {"level": "warning", "format": "console"}
    return peer


async def join(kind: str, counts: FederatedCounts) -> list[Figure]:
    """Join a large room: until the user has said something there, and until every member is known."""
    what = f"join a room of {counts.members:,}"
    async with scene(kind, counts.members) as here:
        contestant, user, room_id = here.peer.contestant, here.user, here.others.room.room_id
        began, began_cpu_s = time.perf_counter(), contestant.cpu_s()
        await here.join()
        await user.say(room_id, "here I am")
        usable_s, usable_cpu_s = time.perf_counter() - began, contestant.cpu_s() - began_cpu_s

        await _until(partial(_knows, here, counts.members + 1), every_s=1.0)
        return [
            Figure(f"{what}, until one can send", "CPU s", usable_cpu_s),
            Figure(f"{what}, until one can send", "s", usable_s),
            Figure(f"{what}, until all members are known", "CPU s", contestant.cpu_s() - began_cpu_s),
            Figure(f"{what}, memory at most", "MiB", contestant.memory_mib("VmHWM")),
        ]


async def inbound(kind: str, counts: FederatedCounts) -> list[Figure]:
    """Take in messages from another server, in transactions one after another."""
    async with scene(kind, counts.inbound_members) as here:
        room, contestant = here.others.room, here.peer.contestant
        await here.join()
        connection = SignedConnection(
            here.others.names[0], ServerName(here.peer.server_name), here.others.authority.file
        )
        await _settled(here)

        async def send(number: int) -> str:
            content = {"msgtype": "m.text", "body": f"a message of some forty characters or so: {number}"}
            pdus = [room.add("m.room.message", room.creator, content) for _ in range(counts.pdus)]
            await connection.transaction(number, pdus)
            return pdus[-1].event.event_id

        await _until(partial(_shows, here, await send(0)))
        began, began_cpu_s = time.perf_counter(), contestant.cpu_s()
        last = ""
        for number in range(counts.transactions):
            last = await send(number + 1)
        await _until(partial(_shows, here, last))
        used_cpu_s, wall_s = contestant.cpu_s() - began_cpu_s, time.perf_counter() - began
        connection.close()
        taken = counts.transactions * counts.pdus
        what = f"take in events of a room of {counts.inbound_members:,}"
        return [
            Figure(what, "CPU ms", used_cpu_s * 1000 / taken),
            Figure(what, "1/CPU s", taken / used_cpu_s),
            Figure(what, "1/s", taken / wall_s),
        ]


async def fan_out(kind: str, counts: FederatedCounts) -> list[Figure]:
    """Send messages to many servers, one after another."""
    async with scene(kind, counts.destinations + 1, counts.destinations) as here:
        contestant, room_id = here.peer.contestant, here.others.room.room_id
        await here.join()
        await _settled(here)
        wanted = here.others.names

        async def say(number: int) -> None:
            event_id = await here.user.say(room_id, f"to everybody, number {number}")
            async with asyncio.timeout(PATIENCE_S):
                await here.others.everybody_has(EventID(event_id), wanted)

        for number in range(2):
            await say(-number)
        began, began_cpu_s = time.perf_counter(), contestant.cpu_s()
        for number in range(counts.messages):
            await say(number + 1)
        used_cpu_s, wall_s = contestant.cpu_s() - began_cpu_s, time.perf_counter() - began
        what = f"send to {counts.destinations} servers"
        return [
            Figure(what, "CPU ms", used_cpu_s * 1000 / counts.messages),
            Figure(f"{what}, to each", "CPU ms", used_cpu_s * 1000 / counts.messages / counts.destinations),
            Figure(f"{what}, until the last has it", "ms", wall_s * 1000 / counts.messages),
        ]


async def _until(is_so: Callable[[], Awaitable[bool]], every_s: float = LOOK_EVERY_S) -> None:
    """Ask until the answer is yes."""
    ends = time.monotonic() + PATIENCE_S
    while not await is_so():
        if time.monotonic() > ends:
            raise TimeoutError
        await asyncio.sleep(every_s)


async def _knows(here: Scene, members: int) -> bool:
    """Whether the server knows so many members of the room."""
    try:
        answer = await here.user.call("GET", "rooms", here.others.room.room_id, "joined_members")
    except Refused:
        return False
    return len(answer["joined"]) >= members


async def _shows(here: Scene, event_id: str) -> bool:
    """Whether the user can read an event."""
    try:
        await here.user.call("GET", "rooms", here.others.room.room_id, "event", event_id)
    except Refused:
        return False
    return True


async def _settled(here: Scene) -> None:
    """Wait until the server rests: what a join leaves to be done is no part of what comes after it."""
    contestant = here.peer.contestant

    async def rests() -> bool:
        before = contestant.cpu_s()
        await asyncio.sleep(RESTS_S)
        return contestant.cpu_s() - before < RESTS_S * IDLE

    await _until(rests)


def federated(
    kinds: Sequence[str], rounds: int, counts: FederatedCounts, tell: Callable[[str], None]
) -> list[tuple[str, list[Figure]]]:
    """The figures of each server in each round, with its name; `tell` is told what goes on."""
    found = []
    for number in range(rounds):
        for kind in kinds if number % 2 == 0 else kinds[::-1]:
            for measure in (join, inbound, fan_out):
                tell(f"round {number + 1} of {rounds}: {NAMES[kind]}, {measure.__name__}")
                found.append((NAMES[kind], asyncio.run(measure(kind, counts))))
    return found
