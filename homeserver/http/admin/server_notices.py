"""Administration: what the server says to its users. Under this server's name, and under that of Synapse."""

from dataclasses import dataclass
from typing import TypedDict

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.admin.answers import EventAnswer
from homeserver.http.administrative_acts import OWNER
from homeserver.http.endpoint import ADMIN, JsonObject, NoQuery, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.admin.announcements import Announcements
from homeserver.services.admin.server_notices import MESSAGE, Notice, NoticeTransaction, ServerNotices
from homeserver.storage.admin_jobs import Job, JobStatus

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


class AnnouncementAnswer(TypedDict):
    """How far the job is: through how many accounts, of which how many were told, or could not be."""

    job_id: str
    status: JobStatus
    error: str | None
    accounts: int
    told: int
    failed: int


@dataclass(frozen=True)
class ServerNoticeEndpoints:
    """Notices, and announcements, which are notices to all."""

    notices: ServerNotices
    announcements: Announcements

    @endpoint(
        "POST",
        "/_columba/admin/v1/server_notices",
        also=("/_synapse/admin/v1/send_server_notice",),
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec=SYNAPSE_NOTICES,
        body=NoticeBody,
    )
    async def send(self, request: Request[NoQuery, NoticeBody]) -> Reply[EventAnswer]:
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
    async def send_once(self, request: Request[NoQuery, NoticeBody]) -> Reply[EventAnswer]:
        """Say something to a user, once for each transaction ID."""
        return await self._send(request, NoticeTransaction(request.user_id or OWNER, request.path["txnId"]))

    @endpoint(
        "POST",
        "/_columba/admin/v1/server_announcements",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="for administrators: docs/moderation.md",
        body=AnnouncementBody,
    )
    async def announce(self, request: Request[NoQuery, AnnouncementBody]) -> Reply[AnnouncementAnswer]:
        """Begin to say something to all users."""
        return _announcement(await self.announcements.announce(request.body.content, asked_by=request.user_id))

    @endpoint(
        "GET",
        "/_columba/admin/v1/server_announcements/{jobId}",
        auth=ADMIN,
        limit=RateClass.GENERAL,
        spec="for administrators: docs/moderation.md",
    )
    async def announcement(self, request: PlainRequest) -> Reply[AnnouncementAnswer]:
        """How far an announcement is."""
        return _announcement(await self.announcements.find(request.path["jobId"]))

    async def _send(
        self, request: Request[NoQuery, NoticeBody], transaction: NoticeTransaction | None
    ) -> Reply[EventAnswer]:
        body = request.body
        notice = Notice(body.content, body.type, body.state_key)
        return Reply({"event_id": await self.notices.send(parse_user_id(body.user_id), notice, transaction)})


def _announcement(job: Job) -> Reply[AnnouncementAnswer]:
    outcome = job.progress.outcome
    return Reply(
        {
            "job_id": job.job_id,
            "status": job.status,
            "error": job.error,
            "accounts": job.progress.done,
            "told": outcome.get("told", 0),
            "failed": outcome.get("failed", 0),
        }
    )
