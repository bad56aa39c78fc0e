"""Administration: what users told moderators of."""

from dataclasses import asdict, dataclass

import msgspec

from homeserver.http.endpoint import ADMIN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.reports import Reports


class ReportsQuery(msgspec.Struct, frozen=True):
    """The report before which the page begins; the newest is first without."""

    before: str | None = None


@dataclass(frozen=True)
class ReportAdminEndpoints:
    """Reports."""

    reports: Reports

    @endpoint(
        "GET",
        "/_columba/admin/v1/reports",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="for `homeserver admin report list`",
        query=ReportsQuery,
    )
    async def all(self, request: Request[ReportsQuery, NoBody]) -> Reply:
        """Some reports, the newest first; none after the oldest."""
        reports = await self.reports.page(request.query.before)
        return Reply({"reports": [asdict(report) for report in reports]})
