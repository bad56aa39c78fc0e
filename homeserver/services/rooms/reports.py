"""Users who tell moderators of an event, a room or another user. Spec: client-server-api/#reporting-content

What is told is kept for administrators (services/admin/reports.py); nobody in the rooms learns of it.
"""

from dataclasses import replace
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import NotFound
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.reports import Report, insert_report
from homeserver.storage.rooms import find_head

ID_BYTES: Final = 6  # a number that JavaScript can read: moderation bots take no words
NO_EVENT: Final = "There is no such event, or you are not in its room"


class Reports:
    """Keeps what users tell of."""

    def __init__(
        self, database: Database, readers: Readers, clock: Clock, randomness: Randomness, server_name: ServerName
    ) -> None:
        self._database = database
        self._readers = readers
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name

    async def report_event(self, reporter: UserID, room_id: RoomID, event_id: EventID, reason: str) -> None:
        """Tell of an event. Raises NotFound, alike for one that the user may not see and where they are not joined."""
        await self._database.write(self._report_event, self._report(reporter, reason, room_id, event_id))

    async def report_room(self, reporter: UserID, room_id: RoomID, reason: str) -> None:
        """Tell of a room, from inside or outside. Of a room that is not here nothing is kept, and nobody is told so."""
        await self._database.write(_report_room, self._report(reporter, reason, room_id))

    async def report_user(self, reporter: UserID, user_id: UserID, reason: str) -> None:
        """Tell of a user. Raises NotFound for one of this server who does not exist; others may, for all we know."""
        report = self._report(reporter, reason, user_id=user_id)
        await self._database.write(_report_user, report, is_here=server_name_of(user_id) == self._server_name)

    def _report(
        self,
        reporter: UserID,
        reason: str,
        room_id: RoomID | None = None,
        event_id: EventID | None = None,
        *,
        user_id: UserID | None = None,
    ) -> Report:
        check_reason(reason)
        report_id = str(int.from_bytes(self._randomness.bytes(ID_BYTES)) + 1)
        return Report(report_id, reporter, room_id, event_id, user_id, reason, self._clock.now_ms())

    def _report_event(self, tx: Transaction, report: Report) -> None:
        if report.room_id is None or report.event_id is None:
            raise NotFound(NO_EVENT)
        membership = find_membership(tx, report.room_id, report.reporter)
        is_joined = membership is not None and membership.membership == "join"
        stored = self._readers.find_visible(tx, report.room_id, report.reporter, report.event_id)
        if not is_joined or stored is None:
            raise NotFound(NO_EVENT)
        insert_report(tx, replace(report, sender=UserID(stored.event.sender)))


def _report_room(tx: Transaction, report: Report) -> None:
    if report.room_id is not None and find_head(tx, report.room_id) is not None:
        insert_report(tx, report)


def _report_user(tx: Transaction, report: Report, *, is_here: bool) -> None:
    if report.user_id is None or (is_here and find_account(tx, report.user_id) is None):
        raise NotFound("There is no such user here")
    insert_report(tx, report)
