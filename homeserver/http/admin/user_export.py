"""Administration: all that is stored of a user, to be given to them."""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.http.endpoint import NoBody, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.user_export import ExportPage, UserExport

WHY: Final = "users have a right to what is stored of them"


class ExportQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """Where the page begins: `next` of the one before."""

    begin: str


@dataclass(frozen=True)
class UserExportEndpoints:
    """Exports of users."""

    export: UserExport

    @admin_endpoint("POST", "/_columba/admin/v1/users/{userId}/export", spec=WHY)
    async def begin(self, request: PlainRequest) -> Reply[ExportPage]:
        """The first page of an export. That it was asked for is written down."""
        return Reply(await self.export.page(request.path_user_id, None))

    @admin_endpoint("GET", "/_columba/admin/v1/users/{userId}/export", query=ExportQuery, spec=WHY)
    async def go_on(self, request: Request[ExportQuery, NoBody]) -> Reply[ExportPage]:
        """Another page of an export."""
        return Reply(await self.export.page(request.path_user_id, request.query.begin))
