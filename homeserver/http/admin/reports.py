"""Administration: what users told moderators of, and what is done about it.

What is below /_synapse/ has the shape that Synapse gives it, where reports are named by numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NotRequired, TypedDict

import msgspec
import orjson

from homeserver.http.admin.user_patterns import MemberRow, removed
from homeserver.http.endpoint import (
    EMPTY,
    NoBody,
    NoQuery,
    Nothing,
    OpaqueObject,
    PlainRequest,
    Reply,
    Request,
    admin_endpoint,
)
from homeserver.services.admin.member_patterns import Miss
from homeserver.services.admin.reports import Decision, ReportDesk, ReportPage, Resolution
from homeserver.storage.reports import Report, ReportFilter, Subject

SYNAPSE_EVENTS: Final = "https://element-hq.github.io/synapse/latest/admin_api/event_reports.html"
SYNAPSE_USERS: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_reports.html"
OWN: Final = "for administrators: docs/moderation.md"


class ReportsQuery(msgspec.Struct, frozen=True):
    """The report before which the page begins; the newest is first without. And whether only resolved ones, or none."""

    before: str | None = None
    resolved: bool | None = None


class SynapseReportsQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "direction": "dir"}):
    """Which reports, in which order, and how many: parts of the IDs of reporter, room and reported user.

    And the whole ID of who sent what was reported.
    """

    begin: int = 0
    limit: int = 100
    direction: Literal["f", "b"] = "b"
    user_id: str | None = None
    room_id: str | None = None
    target_user_id: str | None = None
    event_sender_user_id: str | None = None


class ResolveBody(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """What to do; a note for administrators, and a reason that is told in the room; where the step before ended."""

    resolution: Literal["dismiss", "redact", "ban"]
    note: str | None = None
    reason: str | None = None
    begin: str | None = None


class ReportRow(TypedDict):
    """A report of an event and its room, of a room, or of a user; null in what it is not of.

    What was done about it, by which administrator (null for the owner of the server), and what they noted.
    """

    report_id: str
    reporter: str
    room_id: str | None
    event_id: str | None
    user_id: str | None
    reason: str
    received_ms: int
    resolution: str | None
    resolved_by: str | None
    resolved_ms: int | None
    note: str | None


class ReportsAnswer(TypedDict):
    """Some reports, the newest first."""

    reports: list[ReportRow]


class ReportContext(TypedDict):
    """An event, those before it (the newest first) and after it."""

    events_before: Sequence[OpaqueObject]
    event: OpaqueObject
    events_after: Sequence[OpaqueObject]


class ReportedThing(TypedDict):
    """What is known of a reported event and of its room; null what is not."""

    sender: str | None
    name: str | None
    canonical_alias: str | None


class ReportAnswer(ReportRow, ReportedThing):
    """A report, with what it is of; null where that cannot be shown."""

    context: ReportContext | None


class EventReportRow(ReportedThing):
    """A report of an event, as Synapse has it. Those of long ago have no number."""

    id: int | str
    received_ts: int
    room_id: str | None
    event_id: str | None
    user_id: str
    reason: str
    score: None


class EventReportAnswer(EventReportRow):
    """A report of an event, with the event as it was signed; null where it is not here."""

    event_json: OpaqueObject | None


class UserReportRow(TypedDict):
    """A report of a user, as Synapse has it."""

    id: int | str
    received_ts: int
    target_user_id: str | None
    user_id: str
    reason: str


class ReportPlace(TypedDict):
    """How many reports there are, and where the next page begins, if there is one."""

    total: int
    next_token: NotRequired[int]


class EventReportsAnswer(ReportPlace):
    """A page of reports of events."""

    event_reports: list[EventReportRow]


class UserReportsAnswer(ReportPlace):
    """A page of reports of users."""

    user_reports: list[UserReportRow]


class ResolveAnswer(TypedDict):
    """How many reports are resolved, none before the last step; where a user was banned in this one, and where not."""

    report_id: str
    resolution: Literal["dismiss", "redact", "ban"]
    resolved: int
    done: Sequence[MemberRow]
    failed: Sequence[Miss]
    next: str | None


@dataclass(frozen=True)
class ReportAdminEndpoints:
    """Reports."""

    desk: ReportDesk

    @admin_endpoint("GET", "/_columba/admin/v1/reports", query=ReportsQuery, spec=OWN)
    async def all(self, request: Request[ReportsQuery, NoBody]) -> Reply[ReportsAnswer]:
        """Some reports, the newest first; none after the oldest."""
        reports = await self.desk.newest(request.query.before, is_resolved=request.query.resolved)
        return Reply({"reports": [_shown(report) for report in reports]})

    @admin_endpoint("GET", "/_columba/admin/v1/reports/{reportId}", spec=OWN)
    async def one(self, request: PlainRequest) -> Reply[ReportAnswer]:
        """A report, with the event and what was said around it."""
        page = await self.desk.report(request.path["reportId"])
        report = page.reports[0]
        around = await self.desk.context(report)
        context: ReportContext | None = None
        if around is not None:
            context = {"events_before": around.before, "event": around.event, "events_after": around.after}
        return Reply({**_shown(report), **_of_what(page, report), "context": context})

    @admin_endpoint("POST", "/_columba/admin/v1/reports/{reportId}/resolve", body=ResolveBody, spec=OWN)
    async def resolve(self, request: Request[NoQuery, ResolveBody]) -> Reply[ResolveAnswer]:
        """Do something about a report, or note that nothing is to be done; a step of it."""
        body, report_id = request.body, request.path["reportId"]
        decision = Decision(Resolution(body.resolution), body.note, body.reason, body.begin)
        outcome = await self.desk.resolve(report_id, decision, by=request.user_id)
        return Reply(
            {
                "report_id": report_id,
                "resolution": body.resolution,
                "resolved": outcome.resolved,
                **removed(outcome.banned),
            }
        )

    @admin_endpoint("DELETE", "/_columba/admin/v1/reports/{reportId}", spec=OWN)
    async def delete(self, request: PlainRequest) -> Reply[Nothing]:
        """Forget a report."""
        await self.desk.delete(request.path["reportId"])
        return EMPTY

    @admin_endpoint("GET", "/_synapse/admin/v1/event_reports", query=SynapseReportsQuery, spec=SYNAPSE_EVENTS)
    async def of_events(self, request: Request[SynapseReportsQuery, NoBody]) -> Reply[EventReportsAnswer]:
        """Reports of events."""
        page = await self._page(request.query, Subject.EVENT)
        return Reply(
            {"event_reports": [_event_report(page, one) for one in page.reports], **_place(page, request.query)}
        )

    @admin_endpoint("GET", "/_synapse/admin/v1/event_reports/{reportId}", spec=SYNAPSE_EVENTS)
    async def of_event(self, request: PlainRequest) -> Reply[EventReportAnswer]:
        """One report of an event, with the event as it was signed."""
        page = await self.desk.report(request.path["reportId"], Subject.EVENT)
        report = page.reports[0]
        stored = None if report.event_id is None else page.events.get(report.event_id)
        event = None if stored is None else orjson.Fragment(orjson.dumps(dict(stored.event.pdu)))
        return Reply({**_event_report(page, report), "event_json": event})

    @admin_endpoint("DELETE", "/_synapse/admin/v1/event_reports/{reportId}", spec=SYNAPSE_EVENTS)
    async def delete_of_event(self, request: PlainRequest) -> Reply[Nothing]:
        """Forget a report of an event."""
        await self.desk.delete(request.path["reportId"], Subject.EVENT)
        return EMPTY

    @admin_endpoint("GET", "/_synapse/admin/v1/user_reports", query=SynapseReportsQuery, spec=SYNAPSE_USERS)
    async def of_users(self, request: Request[SynapseReportsQuery, NoBody]) -> Reply[UserReportsAnswer]:
        """Reports of users."""
        page = await self._page(request.query, Subject.USER)
        return Reply({"user_reports": [_user_report(one) for one in page.reports], **_place(page, request.query)})

    @admin_endpoint("GET", "/_synapse/admin/v1/user_reports/{reportId}", spec=SYNAPSE_USERS)
    async def of_user(self, request: PlainRequest) -> Reply[UserReportRow]:
        """One report of a user."""
        return Reply(_user_report((await self.desk.report(request.path["reportId"], Subject.USER)).reports[0]))

    @admin_endpoint("DELETE", "/_synapse/admin/v1/user_reports/{reportId}", spec=SYNAPSE_USERS)
    async def delete_of_user(self, request: PlainRequest) -> Reply[Nothing]:
        """Forget a report of a user."""
        await self.desk.delete(request.path["reportId"], Subject.USER)
        return EMPTY

    async def _page(self, query: SynapseReportsQuery, subject: Subject) -> ReportPage:
        target = query.target_user_id if subject is Subject.USER else None
        room_id = query.room_id if subject is Subject.EVENT else None
        sender = query.event_sender_user_id if subject is Subject.EVENT else None
        wanted = ReportFilter(subject, query.user_id, room_id, target, sender=sender)
        return await self.desk.page(wanted, backwards=query.direction == "b", offset=query.begin, limit=query.limit)


def _shown(report: Report) -> ReportRow:
    resolved = report.resolved
    return {
        "report_id": report.report_id,
        "reporter": report.reporter,
        "room_id": report.room_id,
        "event_id": report.event_id,
        "user_id": report.user_id,
        "reason": report.reason,
        "received_ms": report.received_ms,
        "resolution": None if resolved is None else resolved.resolution,
        "resolved_by": None if resolved is None else resolved.resolved_by,
        "resolved_ms": None if resolved is None else resolved.resolved_ms,
        "note": None if resolved is None else resolved.note,
    }


def _of_what(page: ReportPage, report: Report) -> ReportedThing:
    """What is known of the event and the room of a report."""
    stored = None if report.event_id is None else page.events.get(report.event_id)
    room = None if report.room_id is None else page.rooms.get(report.room_id)
    return {
        "sender": report.sender if stored is None else stored.event.sender,
        "name": None if room is None else room.name,
        "canonical_alias": None if room is None else room.canonical_alias,
    }


def _number(report: Report) -> int | str:
    """The report's ID as tools for Synapse read it. Reports of long ago have words."""
    return int(report.report_id) if report.report_id.isdecimal() else report.report_id


def _event_report(page: ReportPage, report: Report) -> EventReportRow:
    return {
        "id": _number(report),
        "received_ts": report.received_ms,
        "room_id": report.room_id,
        "event_id": report.event_id,
        "user_id": report.reporter,
        "reason": report.reason,
        "score": None,
        **_of_what(page, report),
    }


def _user_report(report: Report) -> UserReportRow:
    return {
        "id": _number(report),
        "received_ts": report.received_ms,
        "target_user_id": report.user_id,
        "user_id": report.reporter,
        "reason": report.reason,
    }


def _place(page: ReportPage, query: SynapseReportsQuery) -> ReportPlace:
    end = query.begin + len(page.reports)
    return {"total": page.total, "next_token": end} if end < page.total else {"total": page.total}
