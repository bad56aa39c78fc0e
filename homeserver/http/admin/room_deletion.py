"""Administration: rooms that are shut down and deleted. How far that is tells also http/admin/jobs.py."""

from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

import msgspec

from homeserver.core.identifiers import parse_user_id
from homeserver.http.admin.jobs import JobAnswer, described
from homeserver.http.endpoint import NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.room_deletion import DeletionWishes, RoomDeletion
from homeserver.storage.admin_jobs import Job, JobStatus

SYNAPSE_ROOMS: Final = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api"


class DeletionBody(msgspec.Struct, frozen=True):
    """What is to be done with the room."""

    new_room_user_id: str | None = None
    room_name: str | None = None
    message: str | None = None
    block: bool = False
    purge: bool = True
    force_purge: bool = False

    @property
    def wishes(self) -> DeletionWishes:
        """The same for those who do it. Raises BadIdentifier."""
        creator = None if self.new_room_user_id is None else parse_user_id(self.new_room_user_id)
        return DeletionWishes(self.block, self.purge, self.force_purge, creator, self.room_name, self.message)


class DeletionBegun(TypedDict):
    """Which job does it."""

    delete_id: str


class ShutdownAnswer(TypedDict):
    """Who was removed from the room, and who could not be; its names here, and where its users were led."""

    kicked_users: list[str]
    failed_to_kick_users: list[str]
    local_aliases: list[str]
    new_room_id: str | None


class DeletionStatus(TypedDict):
    """Which job it is, how far it is, and why it has failed, if it has."""

    delete_id: str
    room_id: str
    status: str
    shutdown_room: ShutdownAnswer
    error: NotRequired[str]


class DeletionsAnswer(TypedDict):
    """All deletions of a room that are remembered."""

    results: list[DeletionStatus]


@dataclass(frozen=True)
class RoomDeletionEndpoints:
    """The end of rooms."""

    deletion: RoomDeletion

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/rooms/{roomId}/delete",
        body=DeletionBody,
        spec="for `homeserver admin room delete` and `shutdown`",
    )
    async def delete(self, request: Request[NoQuery, DeletionBody]) -> Reply[JobAnswer]:
        """Begin to delete a room: the job that does it."""
        job = await self.deletion.delete(request.room_id, request.body.wishes, asked_by=request.user_id)
        return Reply(described(job))

    @admin_endpoint("DELETE", "/_synapse/admin/v2/rooms/{roomId}", body=DeletionBody, spec=SYNAPSE_ROOMS)
    async def delete_by_id(self, request: Request[NoQuery, DeletionBody]) -> Reply[DeletionBegun]:
        """Begin to delete a room, and answer with the job that does it, as Synapse does."""
        job = await self.deletion.delete(request.room_id, request.body.wishes, asked_by=request.user_id)
        return Reply({"delete_id": job.job_id})

    @admin_endpoint("DELETE", "/_synapse/admin/v1/rooms/{roomId}", body=DeletionBody, waits=True, spec=SYNAPSE_ROOMS)
    async def delete_now(self, request: Request[NoQuery, DeletionBody]) -> Reply[ShutdownAnswer]:
        """Delete a room, and answer when that is done."""
        job = await self.deletion.delete_now(request.room_id, request.body.wishes, asked_by=request.user_id)
        return Reply(_shutdown(job))

    @admin_endpoint("GET", "/_synapse/admin/v2/rooms/{roomId}/delete_status", spec=SYNAPSE_ROOMS)
    async def statuses(self, request: PlainRequest) -> Reply[DeletionsAnswer]:
        """How far the deletions of a room are."""
        jobs = await self.deletion.of_room(request.room_id)
        return Reply({"results": [_status(job) for job in jobs]})

    @admin_endpoint("GET", "/_synapse/admin/v2/rooms/delete_status/{jobId}", spec=SYNAPSE_ROOMS)
    async def status(self, request: PlainRequest) -> Reply[DeletionStatus]:
        """How far a deletion is."""
        return Reply(_status(await self.deletion.one(request.path["jobId"])))


def _status(job: Job) -> DeletionStatus:
    # What was cancelled did not come to its end, and there is no word for it.
    status = JobStatus.FAILED if job.status is JobStatus.CANCELLED else job.status
    answer: DeletionStatus = {
        "delete_id": job.job_id,
        "room_id": job.subject,
        "status": status.value,
        "shutdown_room": _shutdown(job),
    }
    if status is JobStatus.FAILED:
        answer["error"] = job.error or "it was cancelled"
    return answer


def _shutdown(job: Job) -> ShutdownAnswer:
    outcome = job.progress.outcome
    return {
        "kicked_users": outcome.get("kicked_users", []),
        "failed_to_kick_users": outcome.get("failed_to_kick_users", []),
        "local_aliases": outcome.get("local_aliases", []),
        "new_room_id": outcome.get("new_room_id"),
    }
