"""Administration: what the server says to its users. Under this server's name, and under that of Synapse.

How far an announcement is tells http/admin/jobs.py.
"""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.admin.answers import EventAnswer
from homeserver.http.admin.jobs import JobAnswer, described
from homeserver.http.administrative_acts import OWNER
from homeserver.http.endpoint import JsonObject, NoQuery, Reply, Request, admin_endpoint
from homeserver.services.admin.announcements import Announcements
from homeserver.services.admin.server_notices import MESSAGE, Notice, NoticeTransaction, ServerNotices

SYNAPSE_NOTICES = "https://element-hq.github.io/synapse/latest/admin_api/server_notices.html"


class NoticeBody(msgspec.Struct, frozen=True):
    """To whom, and what: a message, unless it says otherwise."""

    user_id: str
    content: JsonObject
    type: str = MESSAGE
    state_key: str | None = None


class AnnouncementBody(msgspec.Struct, frozen=True):
    """What everybody is told."""

    content: JsonObject


@dataclass(frozen=True)
class ServerNoticeEndpoints:
    """Notices, and announcements, which are notices to all."""

    notices: ServerNotices
    announcements: Announcements

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/server_notices",
        also=("/_synapse/admin/v1/send_server_notice",),
        body=NoticeBody,
        spec=SYNAPSE_NOTICES,
    )
    async def send(self, request: Request[NoQuery, NoticeBody]) -> Reply[EventAnswer]:
        """Say something to a user."""
        return await self._send(request, None)

    @admin_endpoint(
        "PUT",
        "/_columba/admin/v1/server_notices/{txnId}",
        also=("/_synapse/admin/v1/send_server_notice/{txnId}",),
        body=NoticeBody,
        spec=SYNAPSE_NOTICES,
    )
    async def send_once(self, request: Request[NoQuery, NoticeBody]) -> Reply[EventAnswer]:
        """Say something to a user, once for each transaction ID."""
        return await self._send(request, NoticeTransaction(request.user_id or OWNER, request.path["txnId"]))

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/server_announcements",
        body=AnnouncementBody,
        spec="for administrators: docs/moderation.md",
    )
    async def announce(self, request: Request[NoQuery, AnnouncementBody]) -> Reply[JobAnswer]:
        """Begin to say something to all users: the job that does it."""
        return Reply(described(await self.announcements.announce(request.body.content, asked_by=request.user_id)))

    async def _send(
        self, request: Request[NoQuery, NoticeBody], transaction: NoticeTransaction | None
    ) -> Reply[EventAnswer]:
        body = request.body
        notice = Notice(body.content, body.type, body.state_key)
        return Reply({"event_id": await self.notices.send(parse_user_id(body.user_id), notice, transaction)})
