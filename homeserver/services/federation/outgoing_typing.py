"""Who types in rooms where other servers are, as these have yet to be told.

Who types at all is known to services/rooms/typing.py; the EDU is made in outgoing_edus.py.
"""

from collections import OrderedDict
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.clock import Clock

REPEATED_S: Final = 40.0  # others stop believing that a user types after a minute
MOST_NOTED: Final = 1_000


class OutgoingTyping:
    """Notes who begins and ends to type, and who goes on for long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._news: OrderedDict[tuple[RoomID, UserID], bool] = OrderedDict()
        self._told: OrderedDict[tuple[RoomID, UserID], float] = OrderedDict()  # since when others were told last

    def note(self, room_id: RoomID, user_id: UserID, *, is_typing: bool) -> bool:
        """A local user says to type, or no longer to. Whether others need to be told."""
        key = (room_id, user_id)
        told_s, now_s = self._told.get(key), self._clock.seconds()
        if is_typing == (told_s is not None) and (told_s is None or now_s - told_s < REPEATED_S):
            return False
        if is_typing:
            self._told[key] = now_s
        else:
            del self._told[key]
        self._news[key] = is_typing
        for noted in (self._news, self._told):
            while len(noted) > MOST_NOTED:
                noted.popitem(last=False)
        return True

    def take(self) -> OrderedDict[tuple[RoomID, UserID], bool]:
        """The news, which from now on are none."""
        news, self._news = self._news, OrderedDict()
        return news
