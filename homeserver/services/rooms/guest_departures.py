"""Guests who have to leave: rooms that let guests in once and do so no more, whoever of whichever server changed that.

Spec: client-server-api/#guest-access, "Server behaviour". Which rooms let guests in is for guests.py to say.
"""

from collections.abc import Mapping
from typing import Final

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.services.errors import ServiceError
from homeserver.services.events.news import Change, News, RoomWritten
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.guests import find_guest_access, lets_guests_in, lets_guests_in_now
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.storage.accounts import guests_in_room, rooms_with_guests
from homeserver.storage.database import Database, Transaction

LOOP: Final = "departures of guests"
LOOK_EVERY_S: Final = 300.0  # at all rooms, when some could not be left

log = get_logger(__name__)


class GuestDepartures:
    """Lets guests leave rooms that do not let them in any more."""

    def __init__(
        self, database: Database, states: RoomStates, membership: RemoteMembership, news: News, *, are_allowed: bool
    ) -> None:
        """Where guests are not allowed there may still be some of the time when they were."""
        self._database = database
        self._states = states
        self._membership = membership
        self._are_there = are_allowed
        self._has_looked = False  # at all rooms; since then only what is written matters
        self._changed: dict[RoomID, bytes | None] = {}  # with the state before, if nothing was between
        self._loops: Loops | None = None
        news.listen(self._note)

    def start(self, loops: Loops) -> None:
        """Begin, first with what was written before a restart."""
        self._loops = loops
        loops.start(LOOP, self.work_off, LOOK_EVERY_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin no more."""
        self._loops = None

    async def work_off(self) -> None:
        """Let every guest leave who has to."""
        is_all_done = True
        if not self._has_looked:
            rooms = await self._database.read(rooms_with_guests)
            self._are_there |= bool(rooms)
            self._changed.update(dict.fromkeys(rooms))
            self._has_looked = True
        while self._changed:
            changed, self._changed = self._changed, {}
            for user_id, room_id in await self._database.read(self._unwelcome, changed):
                try:
                    await self._membership.leave(user_id, room_id, None)
                except (ServiceError, AuthRejected) as refused:
                    log.warning("a guest stays in a room", room_id=room_id, reason=str(refused))
                    is_all_done = False
        self._has_looked = is_all_done

    def _note(self, change: Change) -> None:
        if not self._are_there or not isinstance(change, RoomWritten) or change.root_before == change.root_after:
            return
        # Of several changes in a row the first says little: guests may have been let in after it.
        is_first = change.room_id not in self._changed
        self._changed[change.room_id] = change.root_before if is_first else None
        if self._loops is not None:
            self._loops.hurry(LOOP)

    def _unwelcome(self, tx: Transaction, changed: Mapping[RoomID, bytes | None]) -> list[tuple[UserID, RoomID]]:
        return [
            (user_id, room_id)
            for room_id, before in changed.items()
            if before is None or lets_guests_in(find_guest_access(tx, self._states, room_id, before))
            if not lets_guests_in_now(tx, self._states, room_id)
            for user_id in guests_in_room(tx, room_id)
        ]
