"""Administration: history of rooms that is deleted. How far that is tells also http/admin/jobs.py."""

from dataclasses import dataclass
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from homeserver.core.identifiers import EventID
from homeserver.http.admin.jobs import JobAnswer, described
from homeserver.http.endpoint import NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.history_purge import HistoryPurge
from homeserver.services.errors import MissingParameter
from homeserver.storage.admin_jobs import Job, JobStatus

SYNAPSE_PURGES: Final = "https://element-hq.github.io/synapse/latest/admin_api/purge_history_api.html"


class PurgeBody(msgspec.Struct, frozen=True):
    """Up to where; and whether what users of this server said goes, too."""

    purge_up_to_event_id: str | None = None
    purge_up_to_ts: int | None = None
    delete_local_events: bool = False


class PurgeBegun(TypedDict):
    """Which job does it."""

    purge_id: str


class PurgeStatus(TypedDict):
    """How far the job is, and why it has failed, if it has."""

    status: Literal["active", "complete", "failed"]
    error: NotRequired[str]


@dataclass(frozen=True)
class HistoryPurgeEndpoints:
    """What was said in rooms, and is to be forgotten."""

    history: HistoryPurge

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/purge_history",
        body=PurgeBody,
        spec="for `homeserver admin room purge-history`",
    )
    async def purge(self, request: Request[NoQuery, PurgeBody]) -> Reply[JobAnswer]:
        """Begin to delete history: the job that does it."""
        return Reply(described(await self._begin(request, request.body.purge_up_to_event_id)))

    @admin_endpoint("POST", "/_synapse/admin/v1/purge_history/{roomId}", body=PurgeBody, spec=SYNAPSE_PURGES)
    async def purge_by_id(self, request: Request[NoQuery, PurgeBody]) -> Reply[PurgeBegun]:
        """Begin to delete history, up to what the body names."""
        job = await self._begin(request, request.body.purge_up_to_event_id)
        return Reply({"purge_id": job.job_id})

    @admin_endpoint("POST", "/_synapse/admin/v1/purge_history/{roomId}/{eventId}", body=PurgeBody, spec=SYNAPSE_PURGES)
    async def purge_upto(self, request: Request[NoQuery, PurgeBody]) -> Reply[PurgeBegun]:
        """Begin to delete history, up to the event in the path."""
        return Reply({"purge_id": (await self._begin(request, request.event_id)).job_id})

    @admin_endpoint("GET", "/_synapse/admin/v1/purge_history_status/{jobId}", spec=SYNAPSE_PURGES)
    async def status(self, request: PlainRequest) -> Reply[PurgeStatus]:
        """How far a deletion of history is."""
        job = await self.history.one(request.path["jobId"])
        if not job.status.has_ended:
            return Reply({"status": "active"})
        if job.status is JobStatus.COMPLETE:
            return Reply({"status": "complete"})
        return Reply({"status": "failed", "error": job.error or "it was cancelled"})

    async def _begin(self, request: Request[NoQuery, PurgeBody], event_id: str | None) -> Job:
        body, asked_by = request.body, request.user_id
        with_local = body.delete_local_events
        if event_id is not None:
            return await self.history.purge_upto_event(
                request.room_id, EventID(event_id), with_local=with_local, asked_by=asked_by
            )
        if body.purge_up_to_ts is None:
            raise MissingParameter("Either purge_up_to_event_id or purge_up_to_ts is needed")
        return await self.history.purge_before(
            request.room_id, body.purge_up_to_ts, with_local=with_local, asked_by=asked_by
        )
