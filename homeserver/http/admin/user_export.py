"""Administration: all that is stored of a user, to be given to them."""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.http.endpoint import ADMIN, NoBody, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.user_export import ExportPage, UserExport

WHY: Final = "users have a right to what is stored of them"


class ExportQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Where the page begins: `next` of the one before."""

    begin: str


@dataclass(frozen=True)
class UserExportEndpoints:
    """Exports of users."""

    export: UserExport

    @endpoint("POST", "/_columba/admin/v1/users/{userId}/export", auth=ADMIN, limit=RateClass.GENERAL, spec=WHY)
    async def begin(self, request: PlainRequest) -> Reply[ExportPage]:
        """The first page of an export. That it was asked for is written down."""
        return Reply(await self.export.page(request.path_user_id, None))

    @endpoint(
        "GET",
        "/_columba/admin/v1/users/{userId}/export",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=WHY,
        query=ExportQuery,
    )
    async def go_on(self, request: Request[ExportQuery, NoBody]) -> Reply[ExportPage]:
        """Another page of an export."""
        return Reply(await self.export.page(request.path_user_id, request.query.begin))
