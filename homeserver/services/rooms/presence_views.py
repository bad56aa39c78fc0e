"""Which user's presence is shown to whom, and since which serial: in memory only, and bounded.

Who is to see whom is found in presence.py; this remembers what was told.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from homeserver.core.identifiers import UserID
from homeserver.core.presence import OFFLINE, Status
from homeserver.services.rooms.serials import Serials

MOST_STATUSES: Final = 20_000
MOST_PAIRS: Final = 400_000  # of somebody who sees and somebody who is seen: some 150 bytes each


@dataclass(slots=True)
class _Shown:
    status: Status
    watchers: set[UserID] = field(default_factory=set)


class PresenceViews:
    """Remembers. Changes happen on the reactor thread; `since` answers on any.

    Beyond its bounds, those are forgotten of whom there was no news for longest.
    """

    def __init__(self, serials: Serials, most_statuses: int = MOST_STATUSES, most_pairs: int = MOST_PAIRS) -> None:
        self._serials = serials
        self._most_statuses = most_statuses
        self._most_pairs = most_pairs
        self._lock = Lock()
        self._shown: OrderedDict[UserID, _Shown] = OrderedDict()  # the one told of last is the last
        # What each watcher sees: of whom, and when that was told. What was told last is the last.
        self._views: dict[UserID, OrderedDict[UserID, int]] = {}
        self._pairs = 0

    def __len__(self) -> int:
        return len(self._shown)

    def find(self, user_id: UserID) -> Status | None:
        """What was told of a user last."""
        shown = self._shown.get(user_id)
        return None if shown is None else shown.status

    def since(self, watcher: UserID, serial: int) -> list[tuple[UserID, Status]]:
        """What a user was told after `serial`, the newest first; 0: of everybody who is not offline."""
        found: list[tuple[UserID, Status]] = []
        with self._lock:
            for user_id, told in reversed(self._views.get(watcher, {}).items()):
                if told <= serial:
                    break
                status = self._shown[user_id].status
                if serial or status.presence != OFFLINE:
                    found.append((user_id, status))
        return found

    def show(self, user_id: UserID, status: Status, watchers: Iterable[UserID]) -> None:
        """Tell these, and nobody else, of news of a user; who concerns nobody is forgotten."""
        now = set(watchers)
        with self._lock:
            shown = self._shown.setdefault(user_id, _Shown(status))
            shown.status = status
            self._shown.move_to_end(user_id)
            for watcher in shown.watchers - now:
                self._forget_pair(watcher, user_id)
            self._pairs += len(now - shown.watchers)
            shown.watchers = now
            if now:
                self._note(user_id, now)
            else:
                del self._shown[user_id]
            while len(self._shown) > self._most_statuses or (self._pairs > self._most_pairs and len(self._shown) > 1):
                self._forget_oldest()

    def refresh(self, user_id: UserID, status: Status) -> None:
        """A user was active again: what is told already may say so."""
        with self._lock:
            shown = self._shown.get(user_id)
            if shown is not None:
                shown.status = status

    def introduce(self, user_id: UserID, watchers: Iterable[UserID]) -> set[UserID]:
        """Tell those of these of a user who do not see that user yet. Who they are; nobody, if the user is offline."""
        with self._lock:
            shown = self._shown.get(user_id)
            if shown is None or shown.status.presence == OFFLINE:
                return set()
            new = set(watchers) - shown.watchers
            shown.watchers |= new
            self._pairs += len(new)
            if new:
                self._note(user_id, new)
            return new

    def part(self, user_id: UserID) -> set[UserID]:
        """A user sees nobody else any more, and is seen by nobody else. Who that was."""
        others: set[UserID] = set()
        with self._lock:
            for other in tuple(self._views.get(user_id, ())):
                if other != user_id:
                    self._forget_pair(user_id, other)
                    self._shown[other].watchers.discard(user_id)
                    others.add(other)
            shown = self._shown.get(user_id)
            if shown is not None:
                for watcher in shown.watchers - {user_id}:
                    self._forget_pair(watcher, user_id)
                    others.add(watcher)
                shown.watchers &= {user_id}
        return others

    def _note(self, user_id: UserID, watchers: Iterable[UserID]) -> None:
        serial = self._serials.advance()
        for watcher in watchers:
            view = self._views.setdefault(watcher, OrderedDict())
            view[user_id] = serial
            view.move_to_end(user_id)

    def _forget_pair(self, watcher: UserID, user_id: UserID) -> None:
        view = self._views[watcher]
        del view[user_id]
        self._pairs -= 1
        if not view:
            del self._views[watcher]

    def _forget_oldest(self) -> None:
        user_id, shown = self._shown.popitem(last=False)
        for watcher in shown.watchers:
            self._forget_pair(watcher, user_id)
