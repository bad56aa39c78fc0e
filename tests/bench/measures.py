"""What is measured, one function each; `MEASURES` lists them in the order in which they are run.

A measure prepares what it needs, then takes the server's CPU time before and after a counted number of operations. It
returns figures; how they are set beside each other is in report.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.bench.contestants import Contestant
from tests.users import User

POLL_MS: Final = 30_000
SETTLE_S: Final = 0.05
ENOUGH_CPU_MS: Final = 1000.0
MOST_TIMES: Final = 10
ROOM_VERSION: Final = "12"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many operations each measure counts at least; a server that is done quickly does up to ten times as many."""

    sends: int = 200
    sends_at_once: int = 400
    at_once: int = 16
    syncs: int = 400
    members: int = 50
    deliveries: int = 20
    rooms: int = 20
    members_of_rooms: int = 8
    messages_of_rooms: int = 10
    creations: int = 20
    some_rooms: int = 100
    many_rooms: int = 500
    restarts: int = 2
    repetitions: int = 9
    listeners: int = 200
    deliveries_to_many: int = 6
    history: int = 5_000
    devices: int = 100
    one_time_keys: int = 50

    def scaled(self, factor: float) -> "Counts":
        """The same with other numbers of operations; how many members, and how many at once, stays."""

        def times(number: int) -> int:
            return max(2, round(number * factor))

        return replace(
            self,
            sends=times(self.sends),
            sends_at_once=times(self.sends_at_once),
            syncs=times(self.syncs),
            deliveries=times(self.deliveries),
            creations=times(self.creations),
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one run."""

    name: str
    unit: str
    value: float


@dataclass
class Arena:
    """A running server and those who use it."""

    contestant: Contestant
    counts: Counts
    users: list[User] = field(default_factory=list)
    shared: dict[str, Any] = field(default_factory=dict)  # what a measure leaves for others. Any: each of its own kind

    async def people(self, count: int) -> list[User]:
        """The first so many users, made when they are first asked for."""
        while len(self.users) < count:
            self.users.append(await self.contestant.user(f"user{len(self.users)}"))
        return self.users[:count]

    async def room(self, *members: User) -> str:
        """A public room of these users, made by the first of them."""
        creator, *others = members
        room_id = await creator.create_room(preset="public_chat", room_version=ROOM_VERSION)
        for user in others:
            await user.join(room_id)
        return room_id


class Stopwatch:
    """The server's CPU time and the wall time of each of some operations."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._began = contestant.cpu_s()
        self.walls_ms: list[float] = []

    async def time(self, operation: Awaitable[Any]) -> Any:
        """Await one operation, and note how long it took. Any: whatever it gives."""
        began = time.perf_counter()
        result = await operation
        self.walls_ms.append((time.perf_counter() - began) * 1000)
        return result

    def cpu_ms(self) -> float:
        """CPU milliseconds since the start."""
        return (self._contestant.cpu_s() - self._began) * 1000

    def wants_more(self, least: int) -> bool:
        """Until the numbers mean something: `least` operations, and a good part of a second of CPU time."""
        count = len(self.walls_ms)
        return count < least or (count < MOST_TIMES * least and self.cpu_ms() < ENOUGH_CPU_MS)

    def figures(self, what: str) -> list[Figure]:
        """CPU for each operation, and the median and the 95th percentile of how long they took."""
        count = len(self.walls_ms)
        return [
            Figure(what, "CPU ms", self.cpu_ms() / count),
            Figure(f"{what}, p50", "ms", quantile(self.walls_ms, 0.5)),
            Figure(f"{what}, p95", "ms", quantile(self.walls_ms, 0.95)),
        ]


class Samples:
    """The server's CPU time of each of some operations, without what lies between them."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self.cpus_ms: list[float] = []

    async def time(self, operation: Awaitable[Any]) -> Any:
        """Await one operation, once the server is done with those before. Any: whatever it gives."""
        await asyncio.sleep(SETTLE_S)
        began = self._contestant.cpu_s()
        result = await operation
        self.cpus_ms.append((self._contestant.cpu_s() - began) * 1000)
        return result

    def figure(self, what: str, parts: int = 1) -> Figure:
        """The median, of one of the equal parts of an operation."""
        return Figure(what, "CPU ms", quantile(self.cpus_ms, 0.5) / parts)


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of all lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def start(arena: Arena) -> list[Figure]:
    """Start-up on data that is there, with a user and a room."""
    (alice,) = await arena.people(1)
    await alice.say(await arena.room(alice), "hello")
    for user in arena.users:
        user.connection.close()
    arena.contestant.stop()
    seconds = await arena.contestant.start()
    await alice.sync()
    return [
        Figure("start until it answers", "ms", seconds * 1000),
        Figure("start until it answers, CPU", "CPU ms", arena.contestant.cpu_s() * 1000),
        Figure("memory after start", "MiB", arena.contestant.memory_mib()),
    ]


async def send(arena: Arena) -> list[Figure]:
    """Messages one after another, in a room of two of whom nobody reads."""
    alice, bob = await arena.people(2)
    room_id = await arena.room(alice, bob)
    await say(alice, room_id, 10)
    watch = Stopwatch(arena.contestant)
    while watch.wants_more(arena.counts.sends):
        await watch.time(alice.say(room_id, "a message of some forty characters or so"))
    return watch.figures("send, one after another")


async def send_at_once(arena: Arena) -> list[Figure]:
    """Messages of sixteen users at once, in one room in which nobody reads."""
    users = await arena.people(arena.counts.at_once)
    room_id = await arena.room(*users)
    await asyncio.gather(*(say(user, room_id, 1) for user in users))
    watch = Stopwatch(arena.contestant)

    async def talk(user: User) -> None:
        while watch.wants_more(arena.counts.sends_at_once):
            await watch.time(user.say(room_id, "a message of some forty characters or so"))

    began = time.perf_counter()
    await asyncio.gather(*(talk(user) for user in users))
    rate = Figure(f"send, {len(users)} at once", "1/s", len(watch.walls_ms) / (time.perf_counter() - began))
    return [*watch.figures(f"send, {len(users)} at once"), rate]


async def empty_sync(arena: Arena) -> list[Figure]:
    """Syncs that find nothing new, for a user in five rooms."""
    alice, bob = await arena.people(2)
    for _ in range(5):
        await say(bob, await arena.room(bob, alice), 3)
    since = await settled_token(alice)
    watch = Stopwatch(arena.contestant)
    while watch.wants_more(arena.counts.syncs):
        since = (await watch.time(alice.sync(since)))["next_batch"]
    return watch.figures("empty sync")


async def delivery(arena: Arena) -> list[Figure]:
    """Messages one after another to everybody else in a room, who all wait in a long poll.

    What sending costs in the same room while nobody reads is taken off for the cost of one delivery.
    """
    members = await arena.people(arena.counts.members)
    speaker, *listeners = members
    room_id = await arena.room(*members)
    await say(speaker, room_id, 10)
    alone = Stopwatch(arena.contestant)
    while alone.wants_more(arena.counts.deliveries):
        await alone.time(speaker.say(room_id, "a message of some forty characters or so"))
    alone_ms = alone.cpu_ms() / len(alone.walls_ms)
    readers = [Reader(listener, await settled_token(listener)) for listener in listeners]
    tasks = [asyncio.create_task(reader.read()) for reader in readers]
    try:
        await tell(speaker, room_id, readers)
        watch = Stopwatch(arena.contestant)
        while watch.wants_more(arena.counts.deliveries):
            await watch.time(tell(speaker, room_id, readers))
            await asyncio.sleep(SETTLE_S)  # until everybody waits again
        total_ms = watch.cpu_ms() / len(watch.walls_ms)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    many = f"{len(members)} members"
    return [
        Figure(f"send to {many}, nobody reads", "CPU ms", alone_ms),
        Figure(f"send to {many}, all read", "CPU ms", total_ms),
        Figure(f"delivery to one of {many}", "CPU ms", (total_ms - alone_ms) / len(readers)),
        Figure(f"until the last of {many} has it, p50", "ms", quantile(watch.walls_ms, 0.5)),
        Figure(f"until the last of {many} has it, p95", "ms", quantile(watch.walls_ms, 0.95)),
    ]


async def initial_sync(arena: Arena) -> list[Figure]:
    """The first sync of users who share some rooms; of each the only one, for answers may be remembered."""
    counts = arena.counts
    users = [await arena.contestant.user(f"newcomer{number}") for number in range(counts.members_of_rooms)]
    for _ in range(counts.rooms):
        await say(users[0], await arena.room(*users), counts.messages_of_rooms)
    cold = Stopwatch(arena.contestant)
    await cold.time(users[0].sync())
    cold_ms = cold.cpu_ms()
    watch = Stopwatch(arena.contestant)
    for user in users[1:]:
        await watch.time(user.sync())
    what = f"initial sync of {counts.rooms} rooms"
    return [Figure(f"{what}, the first user's", "CPU ms", cold_ms), *watch.figures(what)]


async def create_room(arena: Arena) -> list[Figure]:
    """Rooms created one after another."""
    (alice,) = await arena.people(1)
    await arena.room(alice)
    watch = Stopwatch(arena.contestant)
    while watch.wants_more(arena.counts.creations):
        await watch.time(arena.room(alice))
    return watch.figures("create a room")


async def memory(arena: Arena) -> list[Figure]:
    """Memory at the end, and the most that it was."""
    contestant = arena.contestant
    return [
        Figure("memory at the end", "MiB", contestant.memory_mib()),
        Figure("memory at most", "MiB", contestant.memory_mib("VmHWM")),
    ]


class Reader:
    """A user who waits in a long poll all the time, and what of a room has come."""

    def __init__(self, user: User, since: str) -> None:
        self._user = user
        self._since = since
        self._body = ""
        self._came = asyncio.Event()

    async def read(self) -> None:
        """Sync until cancelled."""
        while True:
            answer = await self._user.sync(self._since, POLL_MS)
            self._since = answer["next_batch"]
            for room in answer.get("rooms", {}).get("join", {}).values():
                self.look_at(room["timeline"]["events"])

    def look_at(self, events: Sequence[Any]) -> None:
        """Look for the expected text. Any: JSON."""
        if any(event["content"].get("body") == self._body for event in events):
            self._came.set()

    def expect(self, body: str) -> None:
        """From now on wait for this text."""
        self._body = body
        self._came.clear()

    async def comes(self) -> None:
        """Wait until the expected text has come."""
        await self._came.wait()


async def tell(speaker: User, room_id: str, readers: Sequence[Reader]) -> None:
    """Send a message, and wait until everybody has it."""
    body = f"to everybody {time.perf_counter_ns()}"
    for reader in readers:
        reader.expect(body)
    await speaker.say(room_id, body)
    await asyncio.gather(*(reader.comes() for reader in readers))


async def say(user: User, room_id: str, times: int) -> None:
    """Send some messages one after another."""
    for number in range(times):
        await user.say(room_id, f"before {number}")


async def settled_token(user: User) -> str:
    """A sync token after which there is nothing new."""
    since = await user.token()
    for _ in range(5):
        since = (await user.sync(since))["next_batch"]
    return since


Measure = Callable[[Arena], Awaitable[list[Figure]]]
MEASURES: Final[tuple[Measure, ...]] = (
    start,
    send,
    send_at_once,
    empty_sync,
    delivery,
    initial_sync,
    create_room,
    memory,
)
