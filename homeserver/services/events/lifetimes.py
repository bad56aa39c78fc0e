"""For how long events live, in memory: each page of a room's history asks for it.

What has expired is shown as though it was redacted from that moment on (client_format.py); what is stored of it is
removed by and by (expiry.py). State, which says what a room is, does not expire, nor do redactions. Spec: MSC1763
"""

from homeserver.core.identifiers import RoomID
from homeserver.core.retention import RetentionPolicy
from homeserver.storage.database import Database
from homeserver.storage.events import Form, StoredEvent
from homeserver.storage.room_lifetimes import all_lifetimes


class Lifetimes:
    """Which events have expired. Used on the reactor and, for reading, in the database's threads."""

    def __init__(self, policy: RetentionPolicy | None = None) -> None:
        self.policy = policy or RetentionPolicy()
        self._rooms: dict[RoomID, int] = {}

    async def load(self, database: Database) -> None:
        """Read what rooms say from the database: to be called once, before anything is shown to anybody."""
        self._rooms.update(await database.read(all_lifetimes))

    def note(self, room_id: RoomID, max_lifetime_ms: int | None) -> None:
        """A room's state says this now."""
        if max_lifetime_ms is None:
            self._rooms.pop(room_id, None)
        else:
            self._rooms[room_id] = max_lifetime_ms

    def forget_room(self, room_id: RoomID) -> None:
        """The room is deleted."""
        self._rooms.pop(room_id, None)

    def said_by(self, room_id: RoomID) -> int | None:
        """What the room's own state says."""
        return self._rooms.get(room_id)

    def of(self, room_id: RoomID) -> int | None:
        """After how many milliseconds events of a room expire here; None: never."""
        return self.policy.lifetime(self._rooms.get(room_id))

    @property
    def rooms(self) -> list[RoomID]:
        """The rooms that say something."""
        return list(self._rooms)

    def has_expired(self, stored: StoredEvent, now_ms: int) -> bool:
        """Whether what an event said is to be shown no more."""
        if not self.policy.is_enabled or not may_expire(stored):
            return False
        lifetime_ms = self.of(stored.event.room_id)
        return lifetime_ms is not None and stored.event.origin_server_ts + lifetime_ms < now_ms


def may_expire(stored: StoredEvent) -> bool:
    """Whether it is something that was said, and that is still there."""
    return stored.event.state_key is None and stored.form is Form.FULL and stored.event.redacts is None
