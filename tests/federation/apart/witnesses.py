"""What a server has and tells of a room: to a device that counts, and in its tables."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from homeserver.storage.events import Verdict
from tests.federation.people import FILTER, PATIENCE_S, Person

# Any: JSON, throughout.

LOOK_EVERY_S: Final = 0.002
# Those that are part of the room's history, and not known merely because others name them.
EVENTS: Final = "SELECT event_id, verdict FROM events WHERE room_id = ? AND root_before IS NOT NULL"


@dataclass
class Witness:
    """A device of somebody in a room, which counts how often it is told of each event."""

    person: Person
    room_id: str
    told: Counter[str] = field(default_factory=Counter)
    texts: set[str] = field(default_factory=set)
    was_limited: bool = False  # it was told that there is more than it was told
    since: str | None = None

    async def look(self, timeout_ms: int = 0) -> None:
        """Sync once, and count."""
        asked: dict[str, Any] = {"timeout": timeout_ms, "set_presence": "offline", "filter": FILTER}
        if self.since is not None:
            asked["since"] = self.since
        answer = await self.person.get("sync", query=asked)
        section = answer.get("rooms", {}).get("join", {}).get(self.room_id)
        is_first, self.since = self.since is None, answer["next_batch"]
        if section is None or is_first:
            return
        timeline = section["timeline"]
        self.was_limited = self.was_limited or timeline.get("limited", False)
        for event in timeline["events"]:
            self.told[event["event_id"]] += 1
            if "body" in event["content"]:
                self.texts.add(event["content"]["body"])


async def witness(person: Person, room_id: str, *, begins_late: bool = False) -> Witness:
    """Somebody's new device, which counts what comes from now on: all that matters, unless it `begins_late`."""
    made = Witness(await person.another_device(), room_id, was_limited=begins_late)
    await made.look()
    return made


def stored_verdicts(database: Path, room_id: str) -> dict[str, Verdict]:
    """The events of a room that a server has, running or not, and what it thinks of each."""
    return {event_id: Verdict(verdict) for event_id, verdict in _rows(database, EVENTS, room_id)}


def count_rows(database: Path, query: str, *values: object) -> int:
    """The number that a query on a server's database finds."""
    ((number,),) = _rows(database, query, *values)
    return int(number)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that only a look tells."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(LOOK_EVERY_S)


def _rows(database: Path, query: str, *values: object) -> list[Any]:  # Any: what the columns hold
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(10_000)
        return list(connection.execute(query, values))
    finally:
        connection.close()
