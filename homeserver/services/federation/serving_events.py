"""Events that other servers ask for: one by its ID, those before some, those that they miss between some and others.

What is shown of each is decided in visibility.py. Soft-failed events are given like others: whatever is built on them
cannot be judged without them. What was rejected is given to nobody.
Spec: server-server-api/#backfilling-and-retrieving-missing-events, #retrieving-events
"""

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.runtime.clock import Clock
from homeserver.services.errors import NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.room_access import NO_EVENT, RoomAccess
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.pdus import joined_json

MOST_BACKFILLED: Final = 100
MOST_MISSING: Final = 50
MOST_BEGINNINGS: Final = 100  # events that a question begins at, or ends at: a room has no more heads than 20
MOST_WALKED: Final = 1_000  # rejected events are passed over, and may be many


class EventServing:
    """Gives servers the events of rooms that they are in."""

    def __init__(
        self,
        database: Database,
        access: RoomAccess,
        visibility: ServerVisibility,
        states: RoomStates,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._access = access
        self._visibility = visibility
        self._states = states
        self._clock = clock
        self._server_name = server_name

    async def event(self, server: ServerName, event_id: EventID) -> dict[str, object]:
        """One event, as a transaction that holds nothing else. Raises NotFound, Forbidden."""
        return self._as_transaction(await self._database.read(self._event, server, event_id))

    async def before(
        self, server: ServerName, room_id: RoomID, event_ids: Sequence[EventID], limit: int
    ) -> dict[str, object]:
        """Events of the room that come before these, and these, as a transaction: the deepest first.

        Raises Forbidden.
        """
        most = max(0, min(limit, MOST_BACKFILLED))
        wanted = _possible(event_ids)
        return self._as_transaction(await self._database.read(self._before, server, room_id, wanted, most))

    async def missing(
        self,
        server: ServerName,
        room_id: RoomID,
        *,
        earliest: Sequence[EventID],
        latest: Sequence[EventID],
        limit: int,
        min_depth: int,
    ) -> orjson.Fragment:
        """The events on which the latest are built, without them, down to the earliest, as a list: oldest first.

        Raises Forbidden.
        """
        most = max(0, min(limit, MOST_MISSING))
        ends, beginnings = frozenset(_possible(earliest)), _possible(latest)
        pdus = await self._database.read(self._missing, server, room_id, ends, beginnings, most, min_depth)
        return orjson.Fragment(joined_json(pdus))

    def _as_transaction(self, pdus: list[bytes]) -> dict[str, object]:
        return {
            "origin": self._server_name,
            "origin_server_ts": self._clock.now_ms(),
            "pdus": orjson.Fragment(joined_json(pdus)),
        }

    def _event(self, tx: Transaction, server: ServerName, event_id: EventID) -> list[bytes]:
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None or stored.verdict is Verdict.REJECTED:
            raise NotFound(NO_EVENT)
        room_id = stored.event.room_id
        head = self._access.find(tx, room_id, server)
        if head is None:
            raise NotFound(NO_EVENT)
        self._access.check_allows(tx, room_id, server)
        return self._visibility.pdus_for(tx, head, server, [stored])

    def _before(
        self, tx: Transaction, server: ServerName, room_id: RoomID, event_ids: Sequence[EventID], most: int
    ) -> list[bytes]:
        head = self._access.enter(tx, room_id, server)
        found: list[StoredEvent] = []
        waiting: list[tuple[int, EventID, StoredEvent]] = []
        reached: set[EventID] = set()

        def reach(named: Iterable[EventID]) -> None:
            for stored in self._of_room(tx, room_id, [one for one in named if one not in reached]):
                reached.add(stored.event.event_id)
                heappush(waiting, (-stored.event.depth, stored.event.event_id, stored))

        reach(event_ids)
        while waiting and len(found) < most and len(reached) < MOST_WALKED:
            _, _, stored = heappop(waiting)
            if stored.verdict is not Verdict.REJECTED:
                found.append(stored)
            reach(stored.event.prev_event_ids)
        return self._visibility.pdus_for(tx, head, server, found)

    def _missing(
        self,
        tx: Transaction,
        server: ServerName,
        room_id: RoomID,
        ends: frozenset[EventID],
        beginnings: Sequence[EventID],
        most: int,
        min_depth: int,
    ) -> list[bytes]:
        head = self._access.enter(tx, room_id, server)
        found: list[StoredEvent] = []
        reached = set(ends) | set(beginnings)
        waiting = deque(self._of_room(tx, room_id, [one for one in beginnings if one not in ends]))
        while waiting and len(found) < most and len(reached) < MOST_WALKED:
            named = [one for one in waiting.popleft().event.prev_event_ids if one not in reached]
            reached.update(named)
            for stored in self._of_room(tx, room_id, named):
                if stored.event.depth >= min_depth:
                    waiting.append(stored)
                    if stored.verdict is not Verdict.REJECTED:
                        found.append(stored)
        found = found[:most]
        found.sort(key=lambda stored: stored.event.depth)
        return self._visibility.pdus_for(tx, head, server, found)

    def _of_room(self, tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> list[StoredEvent]:
        """Those of the events that have their place in this room, in this order."""
        loaded = self._states.load(tx, list(dict.fromkeys(event_ids)))
        return [
            loaded[one]
            for one in dict.fromkeys(event_ids)
            if one in loaded and loaded[one].event.room_id == room_id and loaded[one].root_before is not None
        ]


def _possible(event_ids: Sequence[EventID]) -> list[EventID]:
    """The first of what another server calls event IDs, without what cannot be one."""
    return [one for one in event_ids[:MOST_BEGINNINGS] if one.startswith("$") and "\0" not in one]
