"""Finding out for how long rooms keep what is said in them that were here before that was kept (lifetimes.py).

It is done once, in small writes with pauses between them, and goes on after a restart where it was left.
"""

from typing import Final

from homeserver.core.identifiers import RoomID
from homeserver.core.retention import RETENTION, max_lifetime_of
from homeserver.runtime.clock import Clock
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_lifetimes import next_older_rooms, store_lifetime
from homeserver.storage.rooms import find_head, hold_room

PAUSE_S: Final = 0.1  # in which others write
ROOMS_AT_ONCE: Final = 50


class OlderLifetimes:
    """Looks at the rooms that were not looked at yet."""

    def __init__(self, database: Database, states: RoomStates, lifetimes: Lifetimes, clock: Clock) -> None:
        self._database = database
        self._states = states
        self._lifetimes = lifetimes
        self._clock = clock
        self._is_stopped = False

    def stop(self) -> None:
        """Begin no further write."""
        self._is_stopped = True

    async def work_off(self) -> None:
        """Look at rooms until none is left or `stop` was called."""
        while not self._is_stopped and await self._database.write(self._look_at_some):
            await self._clock.sleep(PAUSE_S)

    def _look_at_some(self, tx: Transaction) -> bool:
        """Whether there are more."""
        room_ids = next_older_rooms(tx, limit=ROOMS_AT_ONCE)
        for room_id in room_ids:
            if self._said(tx, room_id) is not None:
                hold_room(tx, room_id)
                self._note(tx, room_id, self._said(tx, room_id))
        return bool(room_ids)

    def _note(self, tx: Transaction, room_id: RoomID, lifetime_ms: int | None) -> None:
        store_lifetime(tx, room_id, lifetime_ms)
        tx.after_commit(lambda: self._lifetimes.note(room_id, lifetime_ms))

    def _said(self, tx: Transaction, room_id: RoomID) -> int | None:
        head = find_head(tx, room_id)
        if head is None:
            return None
        event = self._states.select_known(tx, room_id, head.current_root, (RETENTION,)).get(RETENTION)
        return None if event is None else max_lifetime_of(event.content)
