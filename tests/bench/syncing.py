"""What clients cost that are in many rooms, that wait with many others, and that read far back.

The small measures of the same things are in measures.py. Each server is prepared once, over its API, and each operation
is repeated; cold means after a restart, when somebody with a single room has synced, so that start-up is not what is
counted. Figures are medians.
"""

import asyncio
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import orjson

from tests.bench.contestants import Contestant
from tests.bench.measures import (
    POLL_MS,
    SETTLE_S,
    Arena,
    Counts,
    Figure,
    Reader,
    Samples,
    Stopwatch,
    delivery,
    quantile,
    say,
    settled_token,
    tell,
)
from tests.connection import path_of
from tests.users import User

SLIDING: Final = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
LAZY: Final = {"room": {"state": {"lazy_load_members": True}}}
WINDOW: Final = 20
PAGE: Final = 100
OTHERS: Final = 10
OTHERS_IN_A_ROOM: Final = 2
MESSAGES_IN_A_ROOM: Final = 3
LOOKS: Final = 30
LOOK_EVERY_S: Final = 0.5
IDLE: Final = 0.04  # of a core
TEXT: Final = "a message of some forty characters or so"
STATE: Final = (
    ("m.room.create", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
    ("m.room.join_rules", ""),
    ("m.room.history_visibility", ""),
    ("m.room.power_levels", ""),
    ("m.room.tombstone", ""),
    ("m.room.member", "$LAZY"),
    ("m.room.member", "$ME"),
)
EXTENSIONS: Final = ("to_device", "e2ee", "account_data", "receipts", "typing")


@dataclass
class ManyRooms:
    """Rooms, and who is in some and in all of them; `other` speaks there, and `newcomer` is in a room of their own."""

    some: User
    many: User
    other: User
    newcomer: User
    rooms: list[str]


@dataclass
class SlidingClient:
    """A user whose client sees the window of a list, as clients on telephones do."""

    user: User
    name: str = "bench"
    position: str | None = None
    to_device: str | None = None

    async def sync(self, timeout_ms: int = 0) -> Any:
        """The next answer. Any: JSON."""
        query = {"timeout": timeout_ms, "set_presence": "offline"}
        if self.position is not None:
            query["pos"] = self.position
        extensions: dict[str, dict[str, Any]] = {name: {"enabled": True} for name in EXTENSIONS}
        if self.to_device is not None:
            extensions["to_device"]["since"] = self.to_device
        wanted = {"ranges": [[0, WINDOW - 1]], "timeline_limit": WINDOW, "required_state": STATE}
        body = {"conn_id": self.name, "lists": {"all": wanted}, "extensions": extensions}
        path = path_of(query=query).removeprefix(path_of())
        answer = await self.user.connection.call("POST", SLIDING + path, body)
        self.position = answer["pos"]
        self.to_device = answer["extensions"].get("to_device", {}).get("next_batch", self.to_device)
        return answer


class SlidingReader(Reader):
    """A user who waits in a sliding sync all the time."""

    def __init__(self, client: SlidingClient) -> None:
        super().__init__(client.user, "")
        self._client = client

    async def read(self) -> None:
        """Sync until cancelled."""
        while True:
            answer = await self._client.sync(POLL_MS)
            for room in answer.get("rooms", {}).values():
                self.look_at(room.get("timeline", ()))


async def initial_sync_of_many(arena: Arena) -> list[Figure]:
    """The first sync of a client that is in many rooms: all their members at once, and those who spoke."""
    here = await _many_rooms(arena)
    figures = []
    differs = count()
    for user, rooms in ((here.some, arena.counts.some_rooms), (here.many, arena.counts.many_rooms)):
        whole, lazy, cold, cold_lazy = (Samples(arena.contestant) for _ in range(4))
        for _ in range(arena.counts.restarts):
            for samples, wanted in ((cold, None), (cold_lazy, LAZY)):
                await _restart(arena.contestant, here.newcomer)
                await samples.time(_first_sync(user, wanted, differs))
        for _ in range(max(1, arena.counts.repetitions // 3)):
            await whole.time(_first_sync(user, None, differs))
            await lazy.time(_first_sync(user, LAZY, differs))
        what = f"initial sync of {rooms} rooms"
        figures += [cold.figure(f"{what}, cold"), whole.figure(f"{what}, warm")]
        figures += [cold_lazy.figure(f"{what}, lazy, cold"), lazy.figure(f"{what}, lazy, warm")]
    return figures


async def incremental_sync(arena: Arena) -> list[Figure]:
    """What a client in many rooms gets of a message, when it comes for it and does not wait."""
    here = await _many_rooms(arena)
    samples = Samples(arena.contestant)
    since = await settled_token(here.many)
    for number in range(arena.counts.repetitions):
        await here.other.say(here.rooms[number % len(here.rooms)], TEXT)
        since = (await samples.time(here.many.sync(since)))["next_batch"]
    return [samples.figure(f"incremental sync in {arena.counts.many_rooms} rooms")]


async def sliding_sync(arena: Arena) -> list[Figure]:
    """A window of 20 of many rooms: the first answer, cold and warm, and one that tells of a message."""
    here = await _many_rooms(arena)
    cold, warm, next_one, nothing = (Samples(arena.contestant) for _ in range(4))
    names = (f"connection {number}" for number in count())
    for _ in range(arena.counts.restarts):
        await _restart(arena.contestant, here.newcomer)
        await SlidingClient(here.newcomer, next(names)).sync()
        await cold.time(SlidingClient(here.many, next(names)).sync())
    for _ in range(arena.counts.repetitions):
        client = SlidingClient(here.many, next(names))
        await warm.time(client.sync())
    await client.sync()
    for number in range(arena.counts.repetitions):
        await here.other.say(here.rooms[number % len(here.rooms)], TEXT)
        await next_one.time(client.sync())
        await nothing.time(client.sync())
    what = f"sliding sync of {WINDOW} out of {arena.counts.many_rooms} rooms"
    return [
        cold.figure(f"{what}, initial, cold"),
        warm.figure(f"{what}, initial, warm"),
        next_one.figure(f"{what}, incremental"),
        nothing.figure(f"{what}, nothing new"),
    ]


async def delivery_to_many(arena: Arena) -> list[Figure]:
    """Messages to many who wait in a long poll."""
    counts = arena.counts
    return await delivery(replace(arena, counts=_of_many(counts)))


async def sliding_delivery(arena: Arena) -> list[Figure]:
    """Messages to many who wait in a sliding sync. What sending costs while nobody reads is taken off, as in /sync."""
    counts = _of_many(arena.counts)
    speaker, *listeners = members = await arena.people(counts.members)
    room_id = await arena.room(*members)
    await say(speaker, room_id, 10)
    alone = Stopwatch(arena.contestant)
    while alone.wants_more(counts.deliveries):
        await alone.time(speaker.say(room_id, TEXT))
    alone_ms = alone.cpu_ms() / len(alone.walls_ms)
    clients = [SlidingClient(listener) for listener in listeners]
    for client in clients:
        for _ in range(3):
            await client.sync()
    readers = [SlidingReader(client) for client in clients]
    tasks = [asyncio.create_task(reader.read()) for reader in readers]
    try:
        await tell(speaker, room_id, readers)
        watch = Stopwatch(arena.contestant)
        for _ in range(counts.deliveries):
            await watch.time(tell(speaker, room_id, readers))
            await asyncio.sleep(SETTLE_S)  # until everybody waits again
        total_ms = watch.cpu_ms() / len(watch.walls_ms)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    what = f"{len(members)} members in sliding syncs"
    return [
        Figure(f"delivery to one of {what}", "CPU ms", (total_ms - alone_ms) / len(readers)),
        Figure(f"until the last of {what} has it, p50", "ms", quantile(watch.walls_ms, 0.5)),
    ]


async def messages(arena: Arena) -> list[Figure]:
    """Back through a long history, page by page: after a restart, and once more."""
    alice, bob = await arena.people(2)
    counts = arena.counts
    room_id = await arena.room(alice, bob)
    await say(alice, room_id, counts.history)
    cold, warm = Samples(arena.contestant), Samples(arena.contestant)
    for _ in range(counts.restarts):
        await _restart(arena.contestant, alice)
        await cold.time(_read_back(bob, room_id))
        await warm.time(_read_back(bob, room_id))
    what = f"/messages through {counts.history:,} events"
    pages = -(-counts.history // PAGE)
    return [cold.figure(f"{what}, a page, cold", pages), warm.figure(f"{what}, a page, warm", pages)]


async def _read_back(user: User, room_id: str) -> None:
    query: dict[str, Any] = {"dir": "b", "limit": PAGE}
    while True:
        page = await user.call("GET", "rooms", room_id, "messages", query=query)
        if "end" not in page:
            return
        query["from"] = page["end"]


async def _first_sync(user: User, wanted: Any, differs: "count[int]") -> Any:
    """Synapse gives who repeats a request the same answer for some minutes: each has another timeout. Any: JSON."""
    query: dict[str, Any] = {"timeout": next(differs), "set_presence": "offline"}
    if wanted is not None:
        query["filter"] = orjson.dumps(wanted).decode()
    return await user.call("GET", "sync", query=query)


async def _many_rooms(arena: Arena) -> ManyRooms:
    """The rooms, made when they are first asked for."""
    if "rooms" not in arena.shared:
        arena.shared["rooms"] = await _new_rooms(arena)
    here: ManyRooms = arena.shared["rooms"]
    return here


async def _new_rooms(arena: Arena) -> ManyRooms:
    some, many, newcomer = [await arena.contestant.user(name) for name in ("some", "many", "newcomer")]
    others = [await arena.contestant.user(f"other{number}") for number in range(OTHERS)]
    await arena.room(newcomer)
    rooms = []
    for number in range(arena.counts.many_rooms):
        # One is in every room, so as to speak in any; the rest take turns.
        first, *rest = [others[0], *(others[1 + (number + n) % (OTHERS - 1)] for n in range(OTHERS_IN_A_ROOM - 1))]
        members = [many, first, *rest, *([some] if number < arena.counts.some_rooms else [])]
        room_id = await arena.room(*members)
        await many.call("PUT", "rooms", room_id, "state", "m.room.name", body={"name": f"Room {number}"})
        await say(first, room_id, MESSAGES_IN_A_ROOM)
        rooms.append(room_id)
    return ManyRooms(some, many, others[0], newcomer, rooms)


async def _restart(contestant: Contestant, user: User) -> None:
    """Stop and start, let a user sync who has little to be told, and wait until the server rests."""
    contestant.stop()
    await contestant.start()
    await user.sync()
    for _ in range(LOOKS):
        before = contestant.cpu_s()
        await asyncio.sleep(LOOK_EVERY_S)
        if contestant.cpu_s() - before < LOOK_EVERY_S * IDLE:
            break


def _of_many(counts: Counts) -> Counts:
    return replace(counts, members=counts.listeners + 1, deliveries=counts.deliveries_to_many)


SYNCING: Final = (
    delivery_to_many,
    sliding_delivery,
    messages,
    initial_sync_of_many,
    incremental_sync,
    sliding_sync,
)
