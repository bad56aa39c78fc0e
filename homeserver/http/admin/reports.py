"""Administration: what users told moderators of, and what is done about it.

What is below /_synapse/ has the shape that Synapse gives it, where reports are named by numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

import msgspec
import orjson

from homeserver.http.admin.user_patterns import MemberRow, removed
from homeserver.http.endpoint import ADMIN, EMPTY, NoBody, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.member_patterns import Miss
from homeserver.services.admin.reports import Decision, ReportDesk, ReportPage, Resolution
from homeserver.storage.reports import Report, ReportFilter, Subject

SYNAPSE_EVENTS: Final = "https://element-hq.github.io/synapse/latest/admin_api/event_reports.html"
SYNAPSE_USERS: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_reports.html"
OWN: Final = "for administrators: docs/moderation.md"

# Any: JSON, throughout.


class ReportsQuery(msgspec.Struct, frozen=True):
    """The report before which the page begins; the newest is first without. And whether only resolved ones, or none."""

    before: str | None = None
    resolved: bool | None = None


class SynapseReportsQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "direction": "dir"}):
    """Which reports, in which order, and how many: parts of the IDs of reporter, room and reported user."""

    begin: int = 0
    limit: int = 100
    direction: Literal["f", "b"] = "b"
    user_id: str | None = None
    room_id: str | None = None
    target_user_id: str | None = None


class ResolveBody(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """What to do; a note for administrators, and a reason that is told in the room; where the step before ended."""

    resolution: Literal["dismiss", "redact", "ban"]
    note: str | None = None
    reason: str | None = None
    begin: str | None = None


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

    @endpoint("GET", "/_columba/admin/v1/reports", auth=ADMIN, limit=RateClass.GENERAL, spec=OWN, query=ReportsQuery)
    async def all(self, request: Request[ReportsQuery, NoBody]) -> Reply:
        """Some reports, the newest first; none after the oldest."""
        reports = await self.desk.newest(request.query.before, is_resolved=request.query.resolved)
        return Reply({"reports": [_shown(report) for report in reports]})

    @endpoint("GET", "/_columba/admin/v1/reports/{reportId}", auth=ADMIN, limit=RateClass.GENERAL, spec=OWN)
    async def one(self, request: PlainRequest) -> Reply:
        """A report, with the event and what was said around it."""
        page = await self.desk.report(request.path["reportId"])
        report = page.reports[0]
        around = await self.desk.context(report)
        context = None
        if around is not None:
            context = {"events_before": around.before, "event": around.event, "events_after": around.after}
        return Reply({**_shown(report), **_of_what(page, report), "context": context})

    @endpoint(
        "POST",
        "/_columba/admin/v1/reports/{reportId}/resolve",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=OWN,
        body=ResolveBody,
    )
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

    @endpoint("DELETE", "/_columba/admin/v1/reports/{reportId}", auth=ADMIN, limit=RateClass.GENERAL, spec=OWN)
    async def delete(self, request: PlainRequest) -> Reply:
        """Forget a report."""
        await self.desk.delete(request.path["reportId"])
        return EMPTY

    @endpoint(
        "GET",
        "/_synapse/admin/v1/event_reports",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_EVENTS,
        query=SynapseReportsQuery,
    )
    async def of_events(self, request: Request[SynapseReportsQuery, NoBody]) -> Reply:
        """Reports of events."""
        page = await self._page(request.query, Subject.EVENT)
        return Reply(_listed("event_reports", [_event_report(page, one) for one in page.reports], page, request.query))

    @endpoint(
        "GET",
        "/_synapse/admin/v1/event_reports/{reportId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_EVENTS,
    )
    async def of_event(self, request: PlainRequest) -> Reply:
        """One report of an event, with the event as it was signed."""
        page = await self.desk.report(request.path["reportId"], Subject.EVENT)
        report = page.reports[0]
        stored = None if report.event_id is None else page.events.get(report.event_id)
        event = None if stored is None else orjson.Fragment(orjson.dumps(dict(stored.event.pdu)))
        return Reply({**_event_report(page, report), "event_json": event})

    @endpoint(
        "DELETE",
        "/_synapse/admin/v1/event_reports/{reportId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_EVENTS,
    )
    async def delete_of_event(self, request: PlainRequest) -> Reply:
        """Forget a report of an event."""
        await self.desk.delete(request.path["reportId"], Subject.EVENT)
        return EMPTY

    @endpoint(
        "GET",
        "/_synapse/admin/v1/user_reports",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_USERS,
        query=SynapseReportsQuery,
    )
    async def of_users(self, request: Request[SynapseReportsQuery, NoBody]) -> Reply:
        """Reports of users."""
        page = await self._page(request.query, Subject.USER)
        return Reply(_listed("user_reports", [_user_report(one) for one in page.reports], page, request.query))

    @endpoint(
        "GET",
        "/_synapse/admin/v1/user_reports/{reportId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_USERS,
    )
    async def of_user(self, request: PlainRequest) -> Reply:
        """One report of a user."""
        return Reply(_user_report((await self.desk.report(request.path["reportId"], Subject.USER)).reports[0]))

    @endpoint(
        "DELETE",
        "/_synapse/admin/v1/user_reports/{reportId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_USERS,
    )
    async def delete_of_user(self, request: PlainRequest) -> Reply:
        """Forget a report of a user."""
        await self.desk.delete(request.path["reportId"], Subject.USER)
        return EMPTY

    async def _page(self, query: SynapseReportsQuery, subject: Subject) -> ReportPage:
        target = query.target_user_id if subject is Subject.USER else None
        room_id = query.room_id if subject is Subject.EVENT else None
        wanted = ReportFilter(subject, query.user_id, room_id, target)
        return await self.desk.page(wanted, backwards=query.direction == "b", offset=query.begin, limit=query.limit)


def _shown(report: Report) -> dict[str, Any]:
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


def _of_what(page: ReportPage, report: Report) -> dict[str, Any]:
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


def _event_report(page: ReportPage, report: Report) -> dict[str, Any]:
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


def _user_report(report: Report) -> dict[str, Any]:
    return {
        "id": _number(report),
        "received_ts": report.received_ms,
        "target_user_id": report.user_id,
        "user_id": report.reporter,
        "reason": report.reason,
    }


def _listed(name: str, found: list[dict[str, Any]], page: ReportPage, query: SynapseReportsQuery) -> dict[str, Any]:
    answer: dict[str, Any] = {name: found, "total": page.total}
    if query.begin + len(found) < page.total:
        answer["next_token"] = query.begin + len(found)
    return answer
