"""Administration: work that takes long, how far it is, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import msgspec

from homeserver.http.endpoint import NoBody, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.jobs import MOST_PER_PAGE, Jobs
from homeserver.services.admin.room_deletion import KIND as DELETE_ROOM
from homeserver.services.admin.user_redactions import KIND as REDACT_USER
from homeserver.services.errors import InvalidParameter
from homeserver.storage.admin_jobs import Job, JobStatus, JobsWanted

SYNAPSE_TASKS: Final = "https://element-hq.github.io/synapse/latest/admin_api/scheduled_tasks.html"
# What tools of Synapse call it.
ACTIONS: Final = {DELETE_ROOM: "shutdown_and_purge_room", REDACT_USER: "redact_all_events"}
KINDS: Final = {action: kind for kind, action in ACTIONS.items()}


class JobsQuery(msgspec.Struct, frozen=True):
    """Which jobs; `before` is the job with which the page before ended."""

    kind: str | None = None
    subject: str | None = None
    status: str | None = None
    before: str | None = None
    limit: int = 100


class TasksQuery(msgspec.Struct, frozen=True):
    """The same, as Synapse has it; `max_timestamp`: begun not after that; `job_status` is the old name of `status`."""

    action_name: str | None = None
    resource_id: str | None = None
    status: str | None = None
    job_status: str | None = None
    max_timestamp: int | None = None


class JobAnswer(TypedDict):
    """A job: how far it is, null in `total` where nobody knows; what has come of it; null for the owner who asked."""

    job_id: str
    kind: str
    subject: str
    status: JobStatus
    done: int
    total: int | None
    outcome: Mapping[str, Any]  # Any: JSON, here and below
    error: str | None
    asked_by: str | None
    created_ts: int
    changed_ts: int


class WholeJobAnswer(JobAnswer):
    """A job with what it was told to do."""

    arguments: Mapping[str, Any]


class JobsAnswer(TypedDict):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]


class TaskAnswer(TypedDict):
    """A job, as Synapse has it."""

    id: str
    action: str
    status: JobStatus
    timestamp_ms: int
    resource_id: str
    result: Mapping[str, Any]
    error: str | None


class TasksAnswer(TypedDict):
    """The newest jobs."""

    scheduled_tasks: list[TaskAnswer]


@dataclass(frozen=True)
class JobAdminEndpoints:
    """Jobs of administrators."""

    jobs: Jobs

    @admin_endpoint("GET", "/_columba/admin/v1/jobs", query=JobsQuery, spec="for `homeserver admin job list`")
    async def all(self, request: Request[JobsQuery, NoBody]) -> Reply[JobsAnswer]:
        """Some jobs, the newest first; none after the oldest."""
        query = request.query
        wanted = JobsWanted(query.kind, query.subject, _status(query.status))
        found = await self.jobs.page(wanted, before=query.before, limit=query.limit)
        return Reply({"jobs": [described(job) for job in found]})

    @admin_endpoint("GET", "/_columba/admin/v1/jobs/{jobId}", spec="for `homeserver admin job show`")
    async def one(self, request: PlainRequest) -> Reply[WholeJobAnswer]:
        """One job, and what it was told to do."""
        job = await self.jobs.job(request.path["jobId"])
        return Reply({**described(job), "arguments": job.arguments})

    @admin_endpoint("POST", "/_columba/admin/v1/jobs/{jobId}/cancel", spec="for `homeserver admin job cancel`")
    async def cancel(self, request: PlainRequest) -> Reply[JobAnswer]:
        """Let a job end where it is."""
        return Reply(described(await self.jobs.cancel(request.path["jobId"])))

    @admin_endpoint("GET", "/_synapse/admin/v1/scheduled_tasks", query=TasksQuery, spec=SYNAPSE_TASKS)
    async def tasks(self, request: Request[TasksQuery, NoBody]) -> Reply[TasksAnswer]:
        """The newest jobs, as Synapse tells of them."""
        query = request.query
        kind = None if query.action_name is None else KINDS.get(query.action_name, query.action_name)
        status = query.job_status if query.status is None else query.status
        wanted = JobsWanted(kind, query.resource_id, _status(status))
        found = await self.jobs.page(wanted, before=None, limit=MOST_PER_PAGE)
        upto = query.max_timestamp
        return Reply({"scheduled_tasks": [_task(job) for job in found if upto is None or job.created_ms <= upto]})


def described(job: Job) -> JobAnswer:
    """A job as it is shown."""
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "subject": job.subject,
        "status": job.status,
        "done": job.progress.done,
        "total": job.progress.total,
        "outcome": job.progress.outcome,
        "error": job.error,
        "asked_by": job.asked_by,
        "created_ts": job.created_ms,
        "changed_ts": job.changed_ms,
    }


def _task(job: Job) -> TaskAnswer:
    return {
        "id": job.job_id,
        "action": ACTIONS.get(job.kind, job.kind),
        "status": job.status,
        "timestamp_ms": job.changed_ms,
        "resource_id": job.subject,
        "result": job.progress.outcome,
        "error": job.error,
    }


def _status(named: str | None) -> JobStatus | None:
    if named is None:
        return None
    try:
        return JobStatus(named)
    except ValueError as unknown:
        known = ", ".join(status.value for status in JobStatus)
        raise InvalidParameter(f"A job has one of these statuses: {known}") from unknown
