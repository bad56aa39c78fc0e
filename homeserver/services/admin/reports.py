"""What users told moderators of, as administrators look through it, see it in context, and do something about it.

How users tell of something is in services/rooms/reports.py. Who resolved a report, and when, is kept with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.admin.member_patterns import Aim, Done, MemberPatterns
from homeserver.services.admin.room_moderation import Removal, RoomModeration
from homeserver.services.admin.rooms import RoomDescription, RoomReading
from homeserver.services.admin.user_patterns import Users
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.rooms.reasons import check_reason
from homeserver.services.rooms.timeline import Context
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, events_by_id
from homeserver.storage.reports import (
    Report,
    ReportFilter,
    Resolved,
    Subject,
    count_reports,
    delete_report,
    find_report,
    newest_reports,
    reports_page,
    resolve_reports,
)

PER_PAGE: Final = 100
MOST_PER_PAGE: Final = 500
AROUND: Final = 10  # events that are shown with one
NONE_HERE: Final = "There is no such report"
NOBODY: Final = Done((), (), None)


class Resolution(Enum):
    """What is done about a report: nothing, redacting the event, or banning its sender or the user."""

    DISMISS = "dismiss"
    REDACT = "redact"
    BAN = "ban"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a report. `reason` is told in the room, `note` is for administrators.

    `begin` is where the step before ended, of a ban from all rooms.
    """

    resolution: Resolution
    note: str | None = None
    reason: str | None = None
    begin: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many reports of the same are resolved, none before the last step; where a user was banned in this one."""

    resolved: int
    banned: Done = NOBODY


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some reports, with the events and rooms that they are of, as far as these are known; and how many in all."""

    reports: Sequence[Report]
    events: Mapping[EventID, StoredEvent]
    rooms: Mapping[RoomID, RoomDescription]
    total: int


class ReportDesk:
    """Where reports are looked at."""

    def __init__(
        self,
        database: Database,
        reading: RoomReading,
        moderation: RoomModeration,
        members: MemberPatterns,
        clock: Clock,
    ) -> None:
        self._database = database
        self._reading = reading
        self._moderation = moderation
        self._members = members
        self._clock = clock

    async def newest(self, before: str | None, *, is_resolved: bool | None = None) -> Sequence[Report]:
        """The newest reports, or those that came before the one with this ID. Raises NotFound."""
        return await self._database.read(_newest, before, is_resolved)

    async def page(self, wanted: ReportFilter, *, backwards: bool, offset: int, limit: int) -> ReportPage:
        """Some reports, with what they are of. Raises InvalidParameter."""
        if not 1 <= limit <= MOST_PER_PAGE or offset < 0:
            raise InvalidParameter(f"A page has between 1 and {MOST_PER_PAGE} reports, and begins after 0 or more")
        reports, total = await self._database.read(_page, wanted, backwards, offset, limit)
        return await self._described(reports, total)

    async def report(self, report_id: str, subject: Subject | None = None) -> ReportPage:
        """One report, of that kind if one is named, with what it is of. Raises NotFound."""
        return await self._described([await self._report(report_id, subject)], 1)

    async def context(self, report: Report) -> Context | None:
        """The event that is reported and what was said around it; None where there is none, or not here any more."""
        if report.room_id is None or report.event_id is None:
            return None
        try:
            return await self._reading.context(report.room_id, report.event_id, AROUND)
        except NotFound:
            return None

    async def resolve(self, report_id: str, decision: Decision, *, by: UserID | None) -> Outcome:
        """Do something about a report, and note it, with all open ones of the same. One that is resolved may be again.

        A ban from all rooms is done in steps: whoever asks goes on until there is no next one.

        Raises NotFound, InvalidParameter for what cannot be done about it, and what doing it raises: then nothing is
        noted.
        """
        check_reason(decision.reason)
        check_reason(decision.note)
        report = await self._report(report_id, None)
        banned = NOBODY
        if decision.resolution is Resolution.REDACT:
            await self._redact(report, decision.reason)
        elif decision.resolution is Resolution.BAN:
            banned = await self._ban(report, decision)
            if banned.next is not None:
                return Outcome(0, banned)
        resolved = Resolved(decision.resolution.value, by, self._clock.now_ms(), decision.note)
        return Outcome(await self._database.write(resolve_reports, report, resolved), banned)

    async def delete(self, report_id: str, subject: Subject | None = None) -> None:
        """Forget a report. Raises NotFound."""
        await self._report(report_id, subject)
        if not await self._database.write(delete_report, report_id):
            raise NotFound(NONE_HERE)

    async def _redact(self, report: Report, reason: str | None) -> None:
        if report.room_id is None or report.event_id is None:
            raise InvalidParameter("Only an event can be redacted")
        await self._moderation.redact(report.room_id, report.event_id, reason)

    async def _ban(self, report: Report, decision: Decision) -> Done:
        """Ban whoever is reported: who sent an event from its room, a user from all rooms that they are in."""
        if report.user_id is not None:
            return await self._members.remove(
                Aim(Removal.BAN, Users(report.user_id), None), decision.reason, decision.begin
            )
        if report.room_id is None or report.event_id is None:
            raise InvalidParameter("Nobody is banned for a report of a whole room: block the room instead")
        stored = (await self._database.read(events_by_id, [report.event_id])).get(report.event_id)
        sender = report.sender if stored is None else UserID(stored.event.sender)
        if sender is None:
            raise NotFound("The event is not here any more, and who sent it is not known")
        await self._moderation.remove(Removal.BAN, report.room_id, sender, decision.reason)
        return NOBODY

    async def _report(self, report_id: str, subject: Subject | None) -> Report:
        report = await self._database.read(find_report, report_id)
        if report is None or (subject is not None and report.subject is not subject):
            raise NotFound(NONE_HERE)
        return report

    async def _described(self, reports: Sequence[Report], total: int) -> ReportPage:
        event_ids = [one.event_id for one in reports if one.event_id is not None]
        events = await self._database.read(events_by_id, event_ids)
        rooms: dict[RoomID, RoomDescription] = {}
        for room_id in dict.fromkeys(one.room_id for one in reports if one.room_id is not None):
            try:
                rooms[room_id] = (await self._reading.details(room_id)).description
            except NotFound:
                continue  # deleted since
        return ReportPage(reports, events, rooms, total)


def _newest(tx: Transaction, before: str | None, is_resolved: bool | None) -> Sequence[Report]:
    last = None if before is None else find_report(tx, before)
    if before is not None and last is None:
        raise NotFound(NONE_HERE)
    return newest_reports(tx, before=last, limit=PER_PAGE, is_resolved=is_resolved)


def _page(
    tx: Transaction, wanted: ReportFilter, backwards: bool, offset: int, limit: int
) -> tuple[Sequence[Report], int]:
    return reports_page(tx, wanted, backwards=backwards, offset=offset, limit=limit), count_reports(tx, wanted)
