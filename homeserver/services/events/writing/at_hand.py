"""The events that a write to a room knows: those of the database, and those that it adds itself."""

from collections import ChainMap
from collections.abc import Iterable, Mapping

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent


class EventsAtHand:
    """Events by ID, as they are within one transaction; none is looked for twice."""

    def __init__(self, tx: Transaction, room_id: RoomID, states: RoomStates) -> None:
        self.tx = tx
        self.room_id = room_id
        self.added: dict[EventID, StoredEvent] = {}
        self._states = states
        self._found: dict[EventID, StoredEvent] = {}
        self._absent: set[EventID] = set()  # what was looked for and is not here

    @property
    def known(self) -> Mapping[EventID, StoredEvent]:
        """Those that need not be looked for, as they are by now: the caches have what the last commit made of them."""
        return ChainMap(self.added, self._found)

    def load(self, event_ids: Iterable[EventID]) -> dict[EventID, StoredEvent]:
        """These events of any room, those that were just added too."""
        asked = [event_id for event_id in event_ids if event_id not in self._absent]
        found = self._states.load(self.tx, asked, self.known)
        self._found.update((event_id, one) for event_id, one in found.items() if event_id not in self.added)
        self._absent.update(event_id for event_id in asked if event_id not in found)
        return found

    def find(self, event_id: EventID) -> StoredEvent | None:
        """The event with this ID."""
        return self.load([event_id]).get(event_id)

    def add(self, stored: StoredEvent) -> None:
        """Take note of an event that the transaction adds."""
        self.added[stored.event.event_id] = stored
        self._absent.discard(stored.event.event_id)

    def replace(self, stored: StoredEvent) -> None:
        """Show another form of a known event, here at once and everywhere after the commit."""
        event_id = stored.event.event_id
        (self.added if event_id in self.added else self._found)[event_id] = stored
        self.tx.after_commit(lambda: self._states.events.replace(stored))
