"""Removing what has expired: room by room, some events at a time, in the order of the room.

Which events have expired is said by lifetimes.py, and they are shown no more from that moment. Here they become what
they would be if they had been redacted, without a redaction: the graph needs them, and their hash stays right.
"""

from typing import Final

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent
from homeserver.core.identifiers import RoomID
from homeserver.core.redaction import redacted_event
from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops
from homeserver.services.events.lifetimes import Lifetimes, may_expire
from homeserver.services.events.room_state import EventCache
from homeserver.services.events.writing.relations import part
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, first_place
from homeserver.storage.room_lifetimes import (
    Expired,
    find_expired,
    has_older_rooms,
    note_expired,
    placed_events,
    rooms_after,
    store_expired,
)
from homeserver.storage.rooms import find_head, hold_room

LOOP: Final = "expired events"
EVERY_S: Final = 600.0
REST_S: Final = 0.1  # between two steps, for others
EVENTS_PER_STEP: Final = 100
ROOMS_PER_PAGE: Final = 200


class Expiry:
    """Removes what has expired."""

    def __init__(
        self,
        database: Database,
        lifetimes: Lifetimes,
        cache: EventCache,
        clock: Clock,
        events_per_step: int = EVENTS_PER_STEP,
    ) -> None:
        self._database = database
        self._lifetimes = lifetimes
        self._cache = cache
        self._clock = clock
        self._events_per_step = events_per_step
        self._is_stopping = False

    def start(self, loops: Loops) -> None:
        """Begin to look, every ten minutes."""
        if self._lifetimes.policy.is_enabled:
            loops.start(LOOP, self.work, EVERY_S)

    def stop(self) -> None:
        """Begin no further step."""
        self._is_stopping = True

    async def work(self) -> None:
        """Remove all that has expired by now; nothing before it is known what all rooms say (older_lifetimes.py)."""
        if await self._database.read(has_older_rooms):
            return
        if self._lifetimes.policy.default_ms is None:
            for room_id in self._lifetimes.rooms:
                await self._work_in(room_id)
            return
        after = ""
        while page := await self._database.read(rooms_after, after, limit=ROOMS_PER_PAGE):
            for room_id in page:
                await self._work_in(room_id)
            after = page[-1]

    async def _work_in(self, room_id: RoomID) -> None:
        lifetime_ms = self._lifetimes.of(room_id)
        if lifetime_ms is None or self._is_stopping:
            return
        if not await self._database.read(self._is_due, room_id, lifetime_ms):
            return
        while not self._is_stopping and await self._database.write(self._remove_some, room_id, lifetime_ms):
            await self._clock.sleep(REST_S)

    def _is_due(self, tx: Transaction, room_id: RoomID, lifetime_ms: int) -> bool:
        """Whether anything is to be done, found without writing."""
        page, _ = self._next(tx, room_id)
        return bool(self._gone_through(page, lifetime_ms)[0])

    def _remove_some(self, tx: Transaction, room_id: RoomID, lifetime_ms: int) -> bool:
        """Go through the next events; whether there may be more that have expired."""
        hold_room(tx, room_id)
        head = find_head(tx, room_id)
        if head is None:
            return False
        page, before = self._next(tx, room_id)
        passed, expired = self._gone_through(page, lifetime_ms)
        for stored in expired:
            event = redacted_event(stored.event)
            removed = store_expired(tx, stored, EncodedEvent(event, encode_for(head.version, event.pdu)))
            part(tx, stored)
            tx.after_commit(lambda removed=removed: self._cache.replace(removed))  # type: ignore[misc]
        if passed:
            upto = passed[-1].place
            note_expired(tx, room_id, Expired(before.first_place, upto, before.removed + len(expired)))
        return bool(passed) and len(page) == self._events_per_step

    def _next(self, tx: Transaction, room_id: RoomID) -> tuple[list[StoredEvent], Expired]:
        """The events that were not gone through yet, in order: from the first on when there are older ones now."""
        first, before = first_place(tx, room_id), find_expired(tx, room_id)
        if before.upto_place is None or before.first_place is None or first < before.first_place:
            before = Expired(first, first - 1, before.removed)
        place = before.upto_place if before.upto_place is not None else first - 1
        return placed_events(tx, room_id, place=place, limit=self._events_per_step), before

    def _gone_through(self, page: list[StoredEvent], lifetime_ms: int) -> tuple[list[StoredEvent], list[StoredEvent]]:
        """How many of the events need not be looked at again, and those of them that have expired.

        What says that it comes from the future counts as old as the next that does not: nobody keeps all that follows.
        """
        now_ms = self._clock.now_ms()
        expired: list[StoredEvent] = []
        undated: list[StoredEvent] = []
        passed = 0
        for index, stored in enumerate(page, 1):
            if not may_expire(stored):
                passed = passed if undated else index
            elif stored.event.origin_server_ts > now_ms:
                undated.append(stored)
            elif stored.event.origin_server_ts + lifetime_ms < now_ms:
                expired += [*undated, stored]
                undated, passed = [], index
            else:
                break
        else:
            if not passed and len(page) == self._events_per_step:
                passed = len(page)  # these shall not be in the way of all others
        return page[:passed], expired
