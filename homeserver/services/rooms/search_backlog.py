"""Making found what was here before there was an index: rooms and users for the directories, then the older events.

It is done once, in small writes with pauses between them, and goes on after a restart where it was left.
"""

from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.services.events.room_state import FACTS_FROM, WORDS_FROM, RoomStates, directory_texts, room_facts
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_words import next_older_rooms, renew_room_words, set_facts
from homeserver.storage.rooms import find_head
from homeserver.storage.search import index_older
from homeserver.storage.user_directory import add_older_users

PAUSE_S: Final = 0.1  # in which others write
ROOMS_AT_ONCE: Final = 50
USERS_AT_ONCE: Final = 100
EVENTS_AT_ONCE: Final = 200


class SearchBacklog:
    """Works off what is not indexed yet."""

    def __init__(self, database: Database, states: RoomStates, clock: Clock) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._is_stopped = False

    def stop(self) -> None:
        """Begin no further write."""
        self._is_stopped = True

    async def work_off(self) -> None:
        """Index what there is, until nothing is left or `stop` was called."""
        for step in (self._look_at_rooms, self._add_users, self._index_events):
            while not self._is_stopped and await self._database.write(step):
                await self._clock.sleep(PAUSE_S)

    def _look_at_rooms(self, tx: Transaction) -> bool:
        """Find out of some rooms whether they are public and what they are called; whether there are more."""
        room_ids = next_older_rooms(tx, limit=ROOMS_AT_ONCE)
        for room_id in room_ids:
            head = find_head(tx, room_id)
            if head is not None:
                keys = {*FACTS_FROM, *WORDS_FROM}
                state = self._states.select_known(tx, room_id, head.current_root, keys)
                set_facts(tx, room_id, room_facts(state))
                renew_room_words(tx, room_id, directory_texts(state))
        return bool(room_ids)

    @staticmethod
    def _add_users(tx: Transaction) -> bool:
        return add_older_users(tx, count=USERS_AT_ONCE)

    @staticmethod
    def _index_events(tx: Transaction) -> bool:
        return index_older(tx, count=EVENTS_AT_ONCE)
