"""Rooms that somebody follows without being in them, and when something happened there last.

Writers wake the members of a room. Whoever only looks on waits here: this hears of every change, and rings for a room
that is looked at, and for no other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from homeserver.core.identifiers import RoomID
from homeserver.runtime.wakeups import Bell
from homeserver.services.events.news import Change, News, RoomWritten


@dataclass(slots=True)
class _Peeked:
    """A room that is looked at, by so many; the log position of the last events since the first of them came."""

    followers: int = 0
    position: int = 0


class PeekedRooms:
    """Knows them. Used on the reactor thread."""

    def __init__(self, news: News, bell: Bell) -> None:
        self._bell = bell
        self._rooms: dict[RoomID, _Peeked] = {}
        news.listen(self._note)

    def __len__(self) -> int:
        """How many rooms are looked at."""
        return len(self._rooms)

    @contextmanager
    def following(self, room_id: RoomID) -> Iterator[None]:
        """Hear of what happens in the room, inside of this."""
        room = self._rooms.setdefault(room_id, _Peeked())
        room.followers += 1
        try:
            yield
        finally:
            room.followers -= 1
            if room.followers == 0:
                del self._rooms[room_id]

    async def wait(self, room_id: RoomID, position: int, timeout_s: float) -> bool:
        """Wait until something has happened in a followed room after a log position; False if it takes too long."""
        return self._rooms[room_id].position > position or await self._bell.wait(room_id, timeout_s)

    def _note(self, change: Change) -> None:
        if not isinstance(change, RoomWritten):
            return
        room = self._rooms.get(change.room_id)
        if room is not None:
            room.position = change.position
            self._bell.ring([change.room_id])
