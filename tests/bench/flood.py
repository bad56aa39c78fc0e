"""How long small requests take while large forks are resolved without end, beside how long they take on a quiet server.

A quiet run and a flooded one of the same server on the same data take turns. In the flooded one it judges events that
join the branches of a large room, each with states to merge that nobody merged before: see forked.py.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from homeserver.storage.database import Transaction
from homeserver.storage.sqlite import SQLiteBackend
from tests.bench.contestants import Contestant
from tests.bench.forked import ForkedRoom, ForkShape, count_waiting, forget_waiting
from tests.bench.measures import Figure, quantile, settled_token
from tests.bench.processes import children, memory_mib
from tests.databases import SyncDatabase
from tests.server import Server
from tests.users import User

T = TypeVar("T")
PAUSE_S: Final = 0.002  # between requests: the server is to be asked, and not to be kept busy
FIRST_S: Final = 2.0  # after the start, in which the server opens what it will need
LOOK_EVERY_S: Final = 0.01
PATIENCE_S: Final = 60.0
WHAT: Final = "empty sync"


class NoFlood(Exception):  # noqa: N818 - its message says it
    """The server had nothing to resolve while it was measured, so that the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class FloodCounts:
    """How much is measured."""

    shape: ForkShape = field(default_factory=ForkShape)
    joins: int = 300  # events in each flood: more than are judged while it is measured
    requests: int = 2_000  # in each run


@dataclass(slots=True)
class _Run:
    """What was measured in one run of the server."""

    walls_ms: list[float]
    judged_hz: float = 0.0
    memory_mib: float = 0.0  # of the server
    beside_mib: float = 0.0  # of the process beside it


class Flood:
    """A server, and the room that it gets to resolve."""

    def __init__(self, contestant: Contestant, counts: FloodCounts, rounds: int) -> None:
        self._contestant = contestant
        self._counts = counts
        self._room = ForkedRoom(counts.shape, rounds * counts.joins)

    async def prepare(self) -> User:
        """Make the server's data; somebody whose syncs find nothing new."""
        contestant = self._contestant
        await contestant.start()
        user = await contestant.user("alice")
        await user.say(await user.create_room(preset="public_chat"), "hello")
        self._stop(user)
        self._with_database(self._room.store)
        return user

    async def round(self, user: User) -> list[Figure]:
        """A quiet run and a flooded one."""
        quiet = await self._run(user, is_flooded=False)
        flooded = await self._run(user, is_flooded=True)
        flood = "in a flood of resolutions"
        figures: list[Figure] = []
        for part in (0.5, 0.99):
            was, became = quantile(quiet.walls_ms, part), quantile(flooded.walls_ms, part)
            name = f"p{100 * part:.0f}"
            figures += [
                Figure(f"{WHAT}, quiet, {name}", "ms", was),
                Figure(f"{WHAT} {flood}, {name}", "ms", became),
                Figure(f"{WHAT} {flood}, {name}", "times quiet", became / was),
            ]
        return [
            *figures,
            Figure(f"events judged {flood}", "1/s", flooded.judged_hz),
            Figure("memory, quiet", "MiB", quiet.memory_mib),
            Figure(f"memory {flood}", "MiB", flooded.memory_mib),
            Figure(f"memory of the process beside {flood}", "MiB", flooded.beside_mib),
        ]

    async def _run(self, user: User, *, is_flooded: bool) -> _Run:
        if is_flooded:
            now_ms = time.time_ns() // 1_000_000
            joins = [self._room.joins.pop() for _ in range(self._counts.joins)]
            self._with_database(lambda tx: self._room.let_wait(tx, now_ms, joins))
        before = self._with_database(count_waiting)
        began = time.monotonic()
        await self._contestant.start()
        try:
            if is_flooded:
                await self._process_beside()
            await asyncio.sleep(FIRST_S)
            run = _Run(await self._walls_ms(user))
            run.memory_mib = self._contestant.memory_mib()
            run.beside_mib = sum(memory_mib(child) for child in children(self._contestant.pid))
        finally:
            self._stop(user)
        left = self._with_database(count_waiting)
        if is_flooded and not left:
            raise NoFlood(f"all of {before} events were judged before the end")
        run.judged_hz = (before - left) / (time.monotonic() - began)
        self._with_database(forget_waiting)
        return run

    async def _walls_ms(self, user: User) -> list[float]:
        walls_ms = []
        since = await settled_token(user)
        for _ in range(self._counts.requests):
            began = time.perf_counter()
            since = (await user.sync(since))["next_batch"]
            walls_ms.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(PAUSE_S)
        return walls_ms

    async def _process_beside(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not children(self._contestant.pid):
            if time.monotonic() > until:
                raise NoFlood("no process was started to resolve anything")
            await asyncio.sleep(LOOK_EVERY_S)

    def _stop(self, user: User) -> None:
        user.connection.close()
        self._contestant.stop()

    def _with_database(self, function: Callable[[Transaction], T]) -> T:
        assert isinstance(self._contestant.server, Server)
        database = SyncDatabase(SQLiteBackend(self._contestant.server.sqlite_file))
        try:
            return database.write(function)
        finally:
            database.close()


async def flood(contestant: Contestant, rounds: int, counts: FloodCounts) -> list[list[Figure]]:
    """The figures of each round."""
    try:
        prepared = Flood(contestant, counts, rounds)
        user = await prepared.prepare()
        return [await prepared.round(user) for _ in range(rounds)]
    finally:
        contestant.close()
