"""Client-server API: telling moderators of something."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, EMPTY, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.reports import Reports


class ReportBody(msgspec.Struct, frozen=True):
    """Why it is reported. May be blank."""

    reason: str


class EventReportBody(msgspec.Struct, frozen=True):
    """Why the event is reported, where the user says so; also null, as old clients send it."""

    reason: str | None = None


@dataclass(frozen=True)
class ReportEndpoints:
    """Reports."""

    reports: Reports

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.REPORT,
        spec="client-server-api/#post_matrixclientv3roomsroomidreporteventid",
        body=EventReportBody,
    )
    async def event(self, request: Request[NoQuery, EventReportBody]) -> Reply:
        """Tell of an event."""
        reason = request.body.reason or ""
        await self.reports.report_event(request.requester.user_id, request.room_id, request.event_id, reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/rooms/{roomId}/report",
        auth=ACCESS_TOKEN,
        limit=RateClass.REPORT,
        spec="client-server-api/#post_matrixclientv3roomsroomidreport",
        body=ReportBody,
    )
    async def room(self, request: Request[NoQuery, ReportBody]) -> Reply:
        """Tell of a room."""
        await self.reports.report_room(request.requester.user_id, request.room_id, request.body.reason)
        return EMPTY

    @endpoint(
        "POST",
        "/_matrix/client/v3/users/{userId}/report",
        auth=ACCESS_TOKEN,
        limit=RateClass.REPORT,
        spec="client-server-api/#post_matrixclientv3usersuseridreport",
        body=ReportBody,
    )
    async def user(self, request: Request[NoQuery, ReportBody]) -> Reply:
        """Tell of another user."""
        await self.reports.report_user(request.requester.user_id, request.path_user_id, request.body.reason)
        return EMPTY
