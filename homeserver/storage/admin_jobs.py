"""Work that administrators asked for and that takes long: what is to be done, how far it is, and how it ended.

What the work is, and who does it, is in services/admin/jobs.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import orjson

from homeserver.core.identifiers import UserID
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table

ENDED_KEPT_MS: Final = 30 * 24 * 3600 * 1000
MOST_ENDED: Final = 10_000


class JobStatus(Enum):
    """Where a job stands. The first two are of jobs that go on."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be done."""
        return self not in (JobStatus.SCHEDULED, JobStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is: so many of so many, None where nobody knows of how many; and what has come of it, as JSON."""

    done: int
    total: int | None
    outcome: Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `subject` is what it is about: a room ID, or a user ID; `asked_by` is None for the owner."""

    job_id: str
    kind: str
    subject: str
    arguments: Mapping[str, Any]  # Any: JSON, as the kind of job has it
    asked_by: UserID | None
    created_ms: int
    changed_ms: int
    status: JobStatus = JobStatus.SCHEDULED
    attempts: int = 0  # since it last came further
    progress: JobProgress = JobProgress(0, None, {})
    error: str | None = None


INSERT = """
    INSERT INTO admin_jobs (job_id, kind, subject, arguments, asked_by, created_ms, changed_ms, status, attempts, done,
                            total, outcome, error)
    VALUES (:job_id, :kind, :subject, :arguments, :asked_by, :created_ms, :changed_ms, :status, :attempts, :done,
            :total, :outcome, :error)"""


def insert_job(tx: Transaction, job: Job) -> None:
    """Keep a job. Of those of one kind and subject one alone may go on: see `find_unfinished`."""
    tx.run(
        INSERT,
        job_id=job.job_id,
        kind=job.kind,
        subject=job.subject,
        arguments=orjson.dumps(job.arguments).decode(),
        asked_by=job.asked_by,
        created_ms=job.created_ms,
        changed_ms=job.changed_ms,
        status=job.status.value,
        attempts=job.attempts,
        done=job.progress.done,
        total=job.progress.total,
        outcome=orjson.dumps(job.progress.outcome).decode(),
        error=job.error,
    )


SELECT: Final = """
    SELECT job_id, kind, subject, arguments, asked_by, created_ms, changed_ms, status, attempts, done, total, outcome,
           error
      FROM admin_jobs"""
FIND = SELECT + " WHERE job_id = :job_id"


def find_job(tx: Transaction, job_id: str) -> Job | None:
    """The job of this ID."""
    row = tx.one(FIND, job_id=job_id)
    return None if row is None else _job(row)


FIND_UNFINISHED = SELECT + " WHERE kind = :kind AND subject = :subject AND status IN ('scheduled', 'active')"


def find_unfinished(tx: Transaction, kind: str, subject: str) -> Job | None:
    """The job of this kind that goes on with a subject."""
    row = tx.one(FIND_UNFINISHED, kind=kind, subject=subject)
    return None if row is None else _job(row)


COUNT_UNFINISHED = "SELECT COUNT(*) FROM admin_jobs WHERE status IN ('scheduled', 'active')"


def count_unfinished(tx: Transaction) -> int:
    """How many jobs go on."""
    count: int = tx.all(COUNT_UNFINISHED)[0][0]
    return count


UNFINISHED = SELECT + " WHERE status IN ('scheduled', 'active') ORDER BY attempts, created_ms, job_id LIMIT :limit"


def unfinished_jobs(tx: Transaction, limit: int) -> list[Job]:
    """Jobs that go on: first those that failed least since they came further, of them the oldest."""
    return [_job(row) for row in tx.all(UNFINISHED, limit=limit)]


@dataclass(frozen=True, slots=True)
class JobsWanted:
    """Which jobs. None: of all."""

    kind: str | None = None
    subject: str | None = None
    status: JobStatus | None = None


NEWEST = (
    SELECT
    + """
     WHERE (created_ms < :before_ms OR (created_ms = :before_ms AND job_id < :before_id))
       AND (:of_any_kind OR kind = :kind) AND (:of_any_subject OR subject = :subject)
       AND (:of_any_status OR status = :status)
     ORDER BY created_ms DESC, job_id DESC LIMIT :limit"""
)
ALWAYS: Final = 2**62


def newest_jobs(tx: Transaction, wanted: JobsWanted, *, before: Job | None, limit: int) -> Sequence[Job]:
    """Jobs, the newest first, from the newest of all or from the one after `before`."""
    rows = tx.all(
        NEWEST,
        before_ms=ALWAYS if before is None else before.created_ms,
        before_id="" if before is None else before.job_id,
        of_any_kind=wanted.kind is None,
        kind=wanted.kind or "",
        of_any_subject=wanted.subject is None,
        subject=wanted.subject or "",
        of_any_status=wanted.status is None,
        status="" if wanted.status is None else wanted.status.value,
        limit=limit,
    )
    return [_job(row) for row in rows]


NOTE_ATTEMPT = """
    UPDATE admin_jobs SET status = 'active', attempts = attempts + 1
     WHERE job_id = :job_id AND status IN ('scheduled', 'active')"""


def note_attempt(tx: Transaction, job_id: str) -> bool:
    """Note that a job is taken up; False, and nothing noted, when it has ended."""
    return tx.run(NOTE_ATTEMPT, job_id=job_id) > 0


NOTE_PROGRESS = """
    UPDATE admin_jobs SET status = :status, attempts = 0, error = NULL, done = :done, total = :total,
                          outcome = :outcome, changed_ms = :now_ms
     WHERE job_id = :job_id AND status IN ('scheduled', 'active')"""


def note_progress(tx: Transaction, job_id: str, progress: JobProgress, status: JobStatus, *, now_ms: int) -> bool:
    """Note how far a job has come; False, and nothing noted, when it has ended."""
    noted = tx.run(
        NOTE_PROGRESS,
        job_id=job_id,
        status=status.value,
        done=progress.done,
        total=progress.total,
        outcome=orjson.dumps(progress.outcome).decode(),
        now_ms=now_ms,
    )
    return noted > 0


NOTE_TROUBLE = "UPDATE admin_jobs SET error = :error WHERE job_id = :job_id AND status IN ('scheduled', 'active')"


def note_trouble(tx: Transaction, job_id: str, error: str) -> None:
    """Note why a job cannot go on now."""
    tx.run(NOTE_TROUBLE, job_id=job_id, error=error)


NOTE_END = """
    UPDATE admin_jobs SET status = :status, error = :error, changed_ms = :now_ms
     WHERE job_id = :job_id AND status IN ('scheduled', 'active')"""


def note_end(tx: Transaction, job_id: str, status: JobStatus, error: str | None, *, now_ms: int) -> None:
    """Note that a job ends before its work is done; one that has ended stays as it is."""
    tx.run(NOTE_END, job_id=job_id, status=status.value, error=error, now_ms=now_ms)


SWEEP = """
    DELETE FROM admin_jobs WHERE job_id IN (
        SELECT job_id FROM admin_jobs WHERE status NOT IN ('scheduled', 'active') AND changed_ms < :before
         LIMIT :limit)"""
SWEEP_MANY = """
    DELETE FROM admin_jobs WHERE job_id IN (
        SELECT job_id FROM admin_jobs WHERE status NOT IN ('scheduled', 'active')
         ORDER BY changed_ms DESC, job_id DESC LIMIT :limit OFFSET :kept)"""


def sweep_jobs(tx: Transaction, now_ms: int, limit: int) -> int:
    """Forget jobs that ended long ago, and of the others all but the newest MOST_ENDED."""
    swept = tx.run(SWEEP, before=now_ms - ENDED_KEPT_MS, limit=limit)
    return swept + tx.run(SWEEP_MANY, kept=MOST_ENDED, limit=limit - swept)


def _job(row: tuple[Any, ...]) -> Job:  # Any: a row
    return Job(
        job_id=row[0],
        kind=row[1],
        subject=row[2],
        arguments=orjson.loads(row[3]),
        asked_by=None if row[4] is None else UserID(row[4]),
        created_ms=row[5],
        changed_ms=row[6],
        status=JobStatus(row[7]),
        attempts=row[8],
        progress=JobProgress(row[9], row[10], orjson.loads(row[11])),
        error=row[12],
    )


TABLES: Final[tuple[Table, ...]] = (
    # They are the server's own: what was done with a room is told of when the room is gone.
    Table("admin_jobs", retention=Retention.expires(sweep_jobs)),
)
