"""Administration: what the server says to its users. Under this server's name, and under that of Synapse."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.administrative_acts import OWNER
from homeserver.http.endpoint import ADMIN, JsonObject, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.server_notices import MESSAGE, Notice, NoticeTransaction, ServerNotices

SYNAPSE_NOTICES = "https://element-hq.github.io/synapse/latest/admin_api/server_notices.html"


class NoticeBody(msgspec.Struct, frozen=True):
    """To whom, and what: a message, unless it says otherwise."""

    user_id: str
    content: JsonObject
    type: str = MESSAGE
    state_key: str | None = None


@dataclass(frozen=True)
class ServerNoticeEndpoints:
    """Notices."""

    notices: ServerNotices

    @endpoint(
        "POST",
        "/_columba/admin/v1/server_notices",
        also=("/_synapse/admin/v1/send_server_notice",),
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_NOTICES,
        body=NoticeBody,
    )
    async def send(self, request: Request[NoQuery, NoticeBody]) -> Reply:
        """Say something to a user."""
        return await self._send(request, None)

    @endpoint(
        "PUT",
        "/_columba/admin/v1/server_notices/{txnId}",
        also=("/_synapse/admin/v1/send_server_notice/{txnId}",),
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_NOTICES,
        body=NoticeBody,
    )
    async def send_once(self, request: Request[NoQuery, NoticeBody]) -> Reply:
        """Say something to a user, once for each transaction ID."""
        return await self._send(request, NoticeTransaction(request.user_id or OWNER, request.path["txnId"]))

    async def _send(self, request: Request[NoQuery, NoticeBody], transaction: NoticeTransaction | None) -> Reply:
        body = request.body
        notice = Notice(body.content, body.type, body.state_key)
        return Reply({"event_id": await self.notices.send(parse_user_id(body.user_id), notice, transaction)})
