"""What waits for one server, as the memory has it: positions of the change log, and where the server stands.

What stands at a position is in the database; so is all of this but what is lost without harm.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.presence import Status
from homeserver.runtime.clock import Cancellable
from homeserver.services.federation.catch_up import Page
from homeserver.services.federation.transactions import MOST_ITEMS
from homeserver.storage.outboxes import StoredOutbox, StoredTransaction

MOST_POSITIONS: Final = 500  # beyond them, the database knows what is for the server
MOST_TYPING: Final = 50
MOST_PRESENT: Final = 100  # users of whose presence a server is told at once


@dataclass(slots=True, eq=False)
class Outbox:
    """One server's. It is one of three: idle, sending, or (when the server did not answer) waiting.

    While `is_behind` there is more for the server in the log than `positions` have; without, they have it all. A
    transaction that may have arrived is in the database alone, and `has_stored` says that it is.
    """

    destination: ServerName
    delivered_upto: int
    delivered_ms: int | None = None
    is_behind: bool = False
    has_stored: bool = False
    has_messages: bool = False
    is_sending: bool = False
    most_items: int = MOST_ITEMS  # in one transaction: fewer while one is looked for that is refused
    refused_in_a_row: int = 0
    alarm: Cancellable | None = None
    positions: deque[int] = field(default_factory=deque)
    typing: dict[tuple[RoomID, UserID], bool] = field(default_factory=dict)
    presence: dict[UserID, Status] = field(default_factory=dict)
    is_marked: bool = False  # the database says that there is something for the server

    @property
    def has_work(self) -> bool:
        """Whether there is something to send."""
        is_lasting = self.positions or self.is_behind or self.has_stored or self.has_messages
        return bool(is_lasting or self.typing or self.presence)

    @property
    def needs_mark(self) -> bool:
        """Whether a restart would forget that there is something in the log for the server."""
        return (bool(self.positions) or self.is_behind) and not self.is_marked

    def add(self, positions: Iterable[int]) -> None:
        """Further positions, behind all others."""
        if self.is_behind:
            return
        self.positions.extend(positions)
        if len(self.positions) > MOST_POSITIONS:
            self.fall_behind()

    def add_typing(self, room_id: RoomID, user_id: UserID, *, is_typing: bool) -> None:
        """The newest of what a user does in a room."""
        if len(self.typing) < MOST_TYPING or (room_id, user_id) in self.typing:
            self.typing[room_id, user_id] = is_typing

    def add_presence(self, statuses: Mapping[UserID, Status]) -> None:
        """The newest of how present users are."""
        for user_id, status in statuses.items():
            if len(self.presence) < MOST_PRESENT or user_id in self.presence:
                self.presence[user_id] = status

    def forget_signals(self) -> None:
        """Keep nothing of what only says what is now."""
        self.typing.clear()
        self.presence.clear()

    def fall_behind(self) -> None:
        """Leave it to the database what is for the server."""
        self.positions.clear()
        self.is_behind = True

    def take_page(self, page: Page) -> None:
        """Go on with what the database had for the server."""
        self.positions = deque(page.positions)
        self.is_behind = not page.is_last

    def stored(self, transaction: StoredTransaction | None) -> StoredOutbox:
        """What the database is to have, with a transaction under way or without."""
        is_behind = bool(self.positions) or self.is_behind
        return StoredOutbox(self.destination, self.delivered_upto, self.delivered_ms, is_behind, transaction)
