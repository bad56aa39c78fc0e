"""Small maps that make an empty or a small sync cost no database access. Only the reactor thread writes them.

Each is filled by a sync that did read the database, and is outdated by the changes that services/events/news.py tells
of: a section that finds such a change reads anew.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from homeserver.core.identifiers import DeviceID, RoomID, UserID
from homeserver.services.sync.sent_members import Device, SentMembers
from homeserver.storage.device_keys import KeyCounts
from homeserver.storage.notifications import UnreadCount

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

DEVICES: Final = 20_000
COUNTED_ROOMS: Final = 100_000


class Recent(Generic[K, V]):
    """A map that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, if it is still there."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget a value."""
        self._values.pop(key, None)


@dataclass(frozen=True, slots=True)
class Known(Generic[V]):
    """A value as the database had it at a log position."""

    position: int
    value: V


def keep_newer(values: "Recent[K, Known[V]]", key: K, position: int, value: V) -> None:
    """Keep a value unless a newer one is known: of two reads the older one may end last."""
    known = values.get(key)
    if known is None or known.position <= position:
        values.put(key, Known(position, value))


@dataclass(frozen=True, slots=True)
class CountedRoom:
    """A user's unread counts in a room as of a log position, by thread, without what `ignored` users send."""

    position: int
    threads: dict[str, UnreadCount]
    ignored: frozenset[str]


@dataclass(frozen=True, slots=True)
class Inbox:
    """What waits for a device as of a log position: the highest position of a message, 0 for none."""

    position: int
    highest: int


class SyncMemory:
    """What syncs remember of each other."""

    def __init__(self) -> None:
        self.key_counts: Recent[Device, Known[KeyCounts]] = Recent(DEVICES)
        self.inboxes: Recent[Device, Inbox] = Recent(DEVICES)
        self.ignored: Recent[UserID, Known[frozenset[str]]] = Recent(DEVICES)
        self.counts: Recent[tuple[UserID, RoomID], CountedRoom] = Recent(COUNTED_ROOMS)
        self.sent_members = SentMembers()
        self._delivered: Recent[Device, int] = Recent(DEVICES)  # newest message shown that is still stored; 0: none is
        self._acknowledged: dict[Device, int] = {}

    def note_delivered(self, device: Device, position: int) -> None:
        """An answer shows the device its to-device messages up to that of `position`."""
        self._delivered.put(device, max(position, self._delivered.get(device) or 0))

    def acknowledge(self, device: Device, position: int) -> None:
        """A client came back with a token: it has the to-device messages up to `position`."""
        if self._delivered.get(device) == 0:
            return  # there is nothing to delete
        if position > self._acknowledged.get(device, 0):
            self._acknowledged[device] = position

    def take_acknowledged(self) -> list[tuple[UserID, DeviceID, int]]:
        """What was acknowledged since the last call."""
        taken = [(user_id, device_id, position) for (user_id, device_id), position in self._acknowledged.items()]
        self._acknowledged = {}
        return taken

    def note_deleted(self, acknowledged: Sequence[tuple[UserID, DeviceID, int]]) -> None:
        """What was acknowledged is no longer stored."""
        for user_id, device_id, position in acknowledged:
            device = (user_id, device_id)
            if (self._delivered.get(device) or 0) <= position:
                self._delivered.put(device, 0)
