"""What was written lately, for readers that are up to date: they need no database.

Whoever writes publishes a change after its commit; the bell rings for the users who may see it. Readers (sync) ask
`since`: while a user's tail reaches back far enough, the answer is in memory, else it is in the database.
Only the reactor thread comes here.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from homeserver.core.identifiers import DeviceID, EventID, RoomID, UserID
from homeserver.runtime.wakeups import Bell
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import MembershipChange
from homeserver.storage.notifications import ClassNotification, PersonalNotification

FOLLOWED_USERS: Final = 20_000
CHANGES_PER_USER: Final = 200
BYTES_PER_USER: Final = 256 * 1024  # of events; what a tail drops is in the database
DEVICES_PER_NEWS: Final = 100  # the tail of one user may hold what is told of the devices of many
DROPPED_TOPICS: Final = 2_000  # of which a tail knows when it dropped something


@dataclass(frozen=True, slots=True)
class EventNotified:
    """What one event does to unread counts."""

    classes: tuple[ClassNotification, ...]
    persons: tuple[PersonalNotification, ...]


@dataclass(frozen=True, slots=True)
class RoomWritten:
    """Events joined a room's timeline; its current state went from `root_before` to `root_after`."""

    position: int  # of the last event
    room_id: RoomID
    events: tuple[StoredEvent, ...]
    notified: tuple[EventNotified, ...]  # one for each event
    root_before: bytes
    root_after: bytes
    memberships: tuple[MembershipChange, ...]


@dataclass(frozen=True, slots=True)
class RoomBecameWhole:
    """A room of which not all members were known is known as a whole: its states have other roots now."""

    position: int
    room_id: RoomID


@dataclass(frozen=True, slots=True)
class ReceiptWritten:
    """A user's receipt in a room moved. A private one concerns its user alone."""

    position: int
    room_id: RoomID
    user_id: UserID
    receipt_type: str
    thread_id: str | None
    event_id: EventID
    ts: int


@dataclass(frozen=True, slots=True)
class AccountDataWritten:
    """A user's account data of one type changed, in one room or (None) globally; push rules and tags included."""

    position: int
    user_id: UserID
    room_id: RoomID | None
    type: str


@dataclass(frozen=True, slots=True)
class ThreadSubscriptionWritten:
    """A user subscribed to a thread of a room, or unsubscribed."""

    position: int
    user_id: UserID
    room_id: RoomID


@dataclass(frozen=True, slots=True)
class ToDeviceWritten:
    """Messages wait for devices, perhaps of many users: of no more than `DEVICES_PER_NEWS`."""

    position: int
    devices: frozenset[tuple[UserID, DeviceID]]


@dataclass(frozen=True, slots=True)
class DeviceListWritten:
    """A user's devices, or keys that others verify, changed."""

    position: int
    user_id: UserID


@dataclass(frozen=True, slots=True)
class KeyCountsWritten:
    """One-time or fallback keys were uploaded or claimed: of as many devices as above."""

    position: int
    devices: frozenset[tuple[UserID, DeviceID]]


@dataclass(frozen=True, slots=True)
class OutgoingWritten:
    """There is something for other servers. What can wait a little, for more of its kind, is not urgent."""

    position: int
    is_urgent: bool = True


Change = (
    RoomWritten
    | RoomBecameWhole
    | ReceiptWritten
    | AccountDataWritten
    | ThreadSubscriptionWritten
    | ToDeviceWritten
    | DeviceListWritten
    | KeyCountsWritten
    | OutgoingWritten
)


@dataclass(slots=True)
class Tail:
    """All changes for one user after log position `floor`, oldest first.

    Of those between `start` and it, `dropped` says of each topic where the last one was.
    """

    floor: int
    start: int
    changes: deque[Change] = field(default_factory=deque)
    size_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def append(self, change: Change) -> None:
        """Add a change; the oldest go when the tail grows too long."""
        self.changes.append(change)
        self.size_bytes += _size_of(change)
        while len(self.changes) > CHANGES_PER_USER or self.size_bytes > BYTES_PER_USER:
            oldest = self.changes.popleft()
            self.floor = oldest.position
            self.size_bytes -= _size_of(oldest)
            topic = _topic_of(oldest)
            if topic is not None:
                self.dropped[topic] = oldest.position
            if len(self.dropped) > DROPPED_TOPICS:
                self.dropped.clear()
                self.start = self.floor

    def about(self, topics: Collection[str], position: int) -> list[Change] | None:
        """The changes about topics after `position`, oldest first; None when some of them were dropped."""
        if position < self.start or any(self.dropped.get(topic, position) > position for topic in topics):
            return None
        return [change for change in self.changes if change.position > position and _topic_of(change) in topics]


class News:
    """The bell, with what was written."""

    def __init__(self, bell: Bell, changes_per_user: int = CHANGES_PER_USER) -> None:
        self._bell = bell
        self._changes_per_user = changes_per_user
        self._tails: OrderedDict[UserID, Tail] = OrderedDict()
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` called with every change, whomever it concerns, before readers wake: what memory follows."""
        self._listeners.append(listener)

    def publish(self, change: Change, users: Collection[UserID]) -> None:
        """Tell these users' readers of a committed change."""
        for listener in self._listeners:
            listener(change)
        tails = self._tails
        for user_id in users if len(users) <= len(tails) else [user for user in tails if user in users]:
            tail = tails.get(user_id)
            if tail is not None:
                tail.append(change)
        self._bell.ring(users)

    def follow(self, user_id: UserID, position: int) -> None:
        """Keep what is written for the user from now on. `position`: the newest committed log position."""
        if user_id in self._tails:
            self._tails.move_to_end(user_id)
            return
        self._tails[user_id] = Tail(floor=position, start=position)
        if len(self._tails) > FOLLOWED_USERS:
            self._tails.popitem(last=False)

    def since(self, user_id: UserID, position: int) -> Sequence[Change] | None:
        """All changes for the user after `position`, oldest first, or None: look in the database."""
        tail = self._tails.get(user_id)
        if tail is None or position < tail.floor:
            return None
        changes = tail.changes
        if not changes or changes[-1].position <= position:
            return ()
        return [change for change in changes if change.position > position]

    def about_since(self, user_id: UserID, topics: Collection[str], position: int) -> Sequence[Change] | None:
        """As `since`, about rooms, by their IDs, and global account data, by its types: what else there was is nothing.

        So the answer may be in memory where that of `since` is not.
        """
        tail = self._tails.get(user_id)
        return None if tail is None else tail.about(topics, position)

    def forget_room(self, room_id: RoomID) -> None:
        """A room is about to be deleted: whoever has news of it finds the rest of theirs in the database."""
        concerned = [
            user_id
            for user_id, tail in self._tails.items()
            if any(isinstance(change, RoomWritten) and change.room_id == room_id for change in tail.changes)
        ]
        for user_id in concerned:
            del self._tails[user_id]


def _topic_of(change: Change) -> str | None:
    match change:
        case RoomWritten() | RoomBecameWhole() | ReceiptWritten():
            return change.room_id
        case AccountDataWritten():
            return change.type if change.room_id is None else change.room_id
        case _:
            return None


def _size_of(change: Change) -> int:
    return sum(stored.size_bytes for stored in change.events) if isinstance(change, RoomWritten) else 0
