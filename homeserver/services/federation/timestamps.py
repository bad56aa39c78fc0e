"""The event of a room that is closest to a time, for servers in the room.

Only an event that the server may see whole is told: the times of all others would tell when somebody spoke.
Spec: server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
"""

from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.services.errors import NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.federation.visibility import ServerVisibility
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_times import events_by_time

EVENTS_PER_READ: Final = 20
MOST_READS: Final = 20  # of a history of which the server may see little
LARGEST_NID: Final = 2**63 - 1
NOTHING: Final = "The room has no event on that side of this time"


class TimestampServing:
    """Finds events by their time."""

    def __init__(
        self, database: Database, access: RoomAccess, visibility: ServerVisibility, states: RoomStates
    ) -> None:
        self._database = database
        self._access = access
        self._visibility = visibility
        self._states = states

    async def closest(
        self, server: ServerName, room_id: RoomID, timestamp_ms: int, *, backwards: bool
    ) -> tuple[EventID, int]:
        """The event closest to a time, at it or on the asked side of it, and its own time.

        Raises Forbidden, NotFound.
        """
        return await self._database.read(self._closest, server, room_id, timestamp_ms, backwards=backwards)

    def _closest(
        self, tx: Transaction, server: ServerName, room_id: RoomID, timestamp_ms: int, *, backwards: bool
    ) -> tuple[EventID, int]:
        head = self._access.enter(tx, room_id, server)
        step = -1 if backwards else 1
        nid = LARGEST_NID if backwards else 0
        for _ in range(MOST_READS):
            found = events_by_time(
                tx, room_id, timestamp_ms=timestamp_ms, nid=nid, backwards=backwards, limit=EVENTS_PER_READ
            )
            events = self._states.load(tx, [event_id for event_id, _, _ in found])
            seen = self._visibility.seen_by(tx, head, server, list(events.values()))
            for event_id, at_ms, _ in found:
                if event_id in seen:
                    return event_id, at_ms
            if len(found) < EVENTS_PER_READ:
                break
            _, timestamp_ms, last = found[-1]
            nid = last + step
        raise NotFound(NOTHING)
