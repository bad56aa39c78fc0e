"""Administration: taking back all that a user said. As Synapse has it, and with more to say.

How far it is tells also http/admin/jobs.py.
"""

from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

import msgspec

from homeserver.http.admin.jobs import JobAnswer, described
from homeserver.http.endpoint import NoQuery, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.admin.user_redactions import RedactionWish, UserRedactions
from homeserver.storage.admin_jobs import JobStatus

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"
SYNAPSE_LIMIT: Final = 1_000


class SynapseRedactBody(msgspec.Struct, frozen=True):
    """Where (no rooms: in all), and why; from when to when, both included.

    By whom is not for the caller to say: by whoever has the power, in `use_admin`'s place.
    """

    rooms: list[str]
    reason: str | None = None
    limit: int | None = None
    use_admin: bool | None = None
    after_ts: int | None = None
    before_ts: int | None = None


class RedactAllBody(msgspec.Struct, frozen=True):
    """Where, what, and why. No rooms: in all; no limit: all."""

    rooms: list[str] = []
    since_ts: int | None = None
    until_ts: int | None = None
    limit: int | None = None
    reason: str | None = None
    dry_run: bool = False


class RedactBegun(TypedDict):
    """Which job does it."""

    redact_id: str


class RedactStatus(TypedDict):
    """How far the job is; why single events could not be redacted, by their IDs."""

    status: str
    failed_redactions: dict[str, str]
    error: NotRequired[str]


@dataclass(frozen=True)
class UserRedactionEndpoints:
    """Redactions of all that a user said."""

    redactions: UserRedactions

    @admin_endpoint("POST", "/_synapse/admin/v1/user/{userId}/redact", body=SynapseRedactBody, spec=SYNAPSE)
    async def redact_as_synapse(self, request: Request[NoQuery, SynapseRedactBody]) -> Reply[RedactBegun]:
        """Begin to redact the newest of what a user said in each room."""
        body = request.body
        limit = SYNAPSE_LIMIT if body.limit is None else body.limit
        wish = RedactionWish(tuple(body.rooms), body.after_ts, body.before_ts, limit, body.reason)
        job = await self.redactions.begin(request.path_user_id, wish, asked_by=request.user_id)
        return Reply({"redact_id": job.job_id})

    @admin_endpoint("GET", "/_synapse/admin/v1/user/redact_status/{jobId}", spec=SYNAPSE)
    async def status_as_synapse(self, request: PlainRequest) -> Reply[RedactStatus]:
        """How far a redaction of what a user said is, as Synapse tells it."""
        job = await self.redactions.job(request.path["jobId"])
        # What was cancelled did not come to its end, and there is no word for it.
        status = JobStatus.FAILED if job.status is JobStatus.CANCELLED else job.status
        answer: RedactStatus = {
            "status": status.value,
            "failed_redactions": job.progress.outcome.get("errors", {}),
        }
        return Reply(answer if job.error is None else {**answer, "error": job.error})

    @admin_endpoint(
        "POST",
        "/_columba/admin/v1/users/{userId}/redact",
        body=RedactAllBody,
        spec="for administrators: docs/moderation.md",
    )
    async def redact(self, request: Request[NoQuery, RedactAllBody]) -> Reply[JobAnswer]:
        """Begin to redact what a user said, or only to count it: the job that does it."""
        body = request.body
        wish = RedactionWish(tuple(body.rooms), body.since_ts, body.until_ts, body.limit, body.reason, body.dry_run)
        return Reply(described(await self.redactions.begin(request.path_user_id, wish, asked_by=request.user_id)))
