"""The event of a room that is closest to a time, for its readers; where history breaks off there, it is brought first.

For other servers: services/federation/timestamps.py.
Spec: client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.errors import NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.readers import Access, Readers
from homeserver.services.rooms.room_history import LONGEST_WAIT_S, MOST_ROUNDS, HistoryFilling
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_times import events_by_time
from homeserver.storage.events import events_backwards
from homeserver.storage.waiting_events import open_gaps

EVENTS_PER_READ: Final = 20
MOST_READS: Final = 20  # of a history of which the reader may see little
MOST_GAPS: Final = 20  # that are looked at
LARGEST: Final = 2**63 - 1
NOTHING: Final = "The room has no event on that side of this time that you may see"


@dataclass(frozen=True, slots=True)
class _Found:
    """The closest event that is here, with its time, and at which place history breaks off that may know better."""

    event: tuple[EventID, int] | None
    gap: int | None


class EventTimes:
    """Finds events by their time."""

    def __init__(
        self, database: Database, readers: Readers, states: RoomStates, filling: HistoryFilling, clock: Clock
    ) -> None:
        self._database = database
        self._readers = readers
        self._states = states
        self._filling = filling
        self._clock = clock

    async def closest(
        self, user_id: UserID, room_id: RoomID, timestamp_ms: int, *, backwards: bool
    ) -> tuple[EventID, int]:
        """The event closest to a time, at it or on the asked side of it, and its own time. It may take some seconds.

        Raises Forbidden, NotFound.
        """
        at_ms = max(-LARGEST, min(timestamp_ms, LARGEST))
        until_s = self._clock.seconds() + LONGEST_WAIT_S
        for _ in range(MOST_ROUNDS + 1):
            found = await self._database.read(self._closest, user_id, room_id, at_ms, backwards=backwards)
            timeout_s = until_s - self._clock.seconds()
            if found.gap is None or timeout_s <= 0:
                break
            if not await self._filling.fill(room_id, upto=found.gap, down_to=found.gap - 1, timeout_s=timeout_s):
                break
        if found.event is None:
            raise NotFound(NOTHING)
        return found.event

    def _closest(self, tx: Transaction, user_id: UserID, room_id: RoomID, at_ms: int, *, backwards: bool) -> _Found:
        access = self._readers.access(tx, room_id, user_id)
        event = self._search(tx, user_id, access, at_ms, backwards=backwards)
        return _Found(event, _gap_at(tx, room_id, access.upto_place, at_ms))

    def _search(
        self, tx: Transaction, user_id: UserID, access: Access, at_ms: int, *, backwards: bool
    ) -> tuple[EventID, int] | None:
        room_id = access.head.room_id
        step, nid = (-1, LARGEST) if backwards else (1, 0)
        for _ in range(MOST_READS):
            found = events_by_time(tx, room_id, timestamp_ms=at_ms, nid=nid, backwards=backwards, limit=EVENTS_PER_READ)
            events = self._states.load(tx, [event_id for event_id, _, _ in found])
            upto = [one for one in events.values() if one.place is not None and one.place <= access.upto_place]
            seen = {one.event.event_id for one, _ in self._readers.in_sight(tx, room_id, user_id, upto, access.sight)}
            for event_id, when_ms, _ in found:
                if event_id in seen:
                    return event_id, when_ms
            if len(found) < EVENTS_PER_READ:
                return None
            at_ms, nid = found[-1][1], found[-1][2] + step
        return None


def _gap_at(tx: Transaction, room_id: RoomID, upto_place: int, at_ms: int) -> int | None:
    """The place of an event later than a time below which history breaks off, and goes on, if at all, before it."""
    for gap in open_gaps(tx, room_id, upto=upto_place, limit=MOST_GAPS):
        later, *earlier = events_backwards(tx, room_id, place=gap.place, limit=2)
        if later.event.origin_server_ts > at_ms and all(one.event.origin_server_ts <= at_ms for one in earlier):
            return gap.place
    return None
