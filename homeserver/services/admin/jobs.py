"""Work that administrators ask for and that takes long: done step by step, gone on with after a restart.

A kind of job is a JobKind: an object with a name and a `step`. A step does one bounded piece of the work (some hundred
rows, a few users) in whatever reads and writes it likes, and returns how far the job is then. That is written down, and
given to the next step as `job.progress`; there is no other memory. So whatever a step has to know of those before it
belongs into the outcome, which is JSON, is shown to administrators as it is, and is to stay small.

When the server ends between a step's own writes and the note of it, the step is done once more, from the progress of
before: a step must come to the same when part of it, or all, was done already. One that raises a ServiceError or
ProtocolError ends the job as failed, for that reason; whatever says that it cannot be done now (Unavailable), and what
nobody expected, is tried again, later and later, MOST_ATTEMPTS times. A step that does not advance is no failure:
there is no limit to the number of steps.

Jobs advance by turns, a step of each, one after the other. Of one kind there is one job at a time for a subject. A job
may be cancelled between two steps, if its kind lets that be. Use:

    class Counting:
        name = "count"

        async def step(self, job: Job) -> Step:
            done = job.progress.done + 1
            return Step(JobProgress(done, job.arguments["upto"], {}), is_last=done == job.arguments["upto"])

        def may_be_cancelled(self, job: Job) -> bool:
            return True

    jobs = Jobs(database, clock, randomness, (Counting(),))
    job = await jobs.schedule("count", "!room:example.org", {"upto": 3}, asked_by=None)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.loops import Loops
from homeserver.runtime.randomness import Randomness
from homeserver.runtime.wakeups import Bell
from homeserver.services.errors import BadState, InvalidParameter, LimitExceeded, NotFound, ServiceError, Unavailable
from homeserver.storage.admin_jobs import (
    Job,
    JobProgress,
    JobStatus,
    JobsWanted,
    count_unfinished,
    find_job,
    find_unfinished,
    insert_job,
    newest_jobs,
    note_attempt,
    note_end,
    note_progress,
    note_trouble,
    unfinished_jobs,
)
from homeserver.storage.database import Database, Transaction

LOOP: Final = "jobs of administrators"
IDLE_S: Final = 30.0  # also how long what cannot be done now waits
BY_TURNS: Final = 10
MOST_UNFINISHED: Final = 1_000
MOST_ATTEMPTS: Final = 10  # of a step
MOST_PER_PAGE: Final = 500
ID_LENGTH: Final = 16
NONE_HERE: Final = "There is no such job"
GAVE_UP: Final = "it failed again and again, for a reason that is in the server's log"


@dataclass(frozen=True, slots=True)
class Step:
    """How far a job is after a step, and whether it was the last one.

    `waits`: nothing more can be done before a while (IDLE_S) has passed, which is no failure.
    """

    progress: JobProgress
    is_last: bool = False
    waits: bool = False


class JobKind(Protocol):
    """What jobs of one kind do."""

    @property
    def name(self) -> str: ...

    async def step(self, job: Job) -> Step:
        """Do the next piece of the work."""

    def may_be_cancelled(self, job: Job) -> bool:
        """Whether it may be left as it is now."""


class Jobs:
    """Keeps jobs and does them. Used on the reactor thread."""

    def __init__(self, database: Database, clock: Clock, randomness: Randomness, kinds: Sequence[JobKind]) -> None:
        self._database = database
        self._clock = clock
        self._randomness = randomness
        self._kinds: Final[Mapping[str, JobKind]] = {kind.name: kind for kind in kinds}
        self._loops: Loops | None = None
        self._is_stopping = False
        self._bell = Bell(clock)
        self._ended = 0

    def start(self, loops: Loops) -> None:
        """Begin to work, first on what was left undone when the server ended."""
        self._loops = loops
        loops.start(LOOP, self.work, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin no further step."""
        self._is_stopping = True

    async def schedule(
        self,
        kind: str,
        subject: str,
        arguments: Mapping[str, Any],  # Any: JSON
        *,
        asked_by: UserID | None,
    ) -> Job:
        """Have a job done. Raises InvalidParameter while one of the kind goes on with the subject, LimitExceeded."""
        now_ms = self._clock.now_ms()
        job_id = self._randomness.opaque_id("", ID_LENGTH)
        job = Job(job_id, self._kinds[kind].name, subject, arguments, asked_by, now_ms, now_ms)
        await self._database.write(_schedule, job)
        if self._loops is not None:
            self._loops.hurry(LOOP)
        return job

    async def job(self, job_id: str) -> Job:
        """The job of this ID. Raises NotFound."""
        job = await self._database.read(find_job, job_id)
        if job is None:
            raise NotFound(NONE_HERE)
        return job

    async def until_ended(self, job_id: str) -> Job:
        """The job of this ID once it has ended, however. Raises NotFound."""
        while True:
            ended = self._ended
            job = await self.job(job_id)
            if job.status.has_ended:
                return job
            if ended == self._ended:
                await self._bell.wait(job_id, IDLE_S)

    async def page(self, wanted: JobsWanted, *, before: str | None, limit: int) -> Sequence[Job]:
        """Jobs, the newest first, from the newest of all or from the one after the job `before`.

        Raises InvalidParameter, NotFound.
        """
        if not 1 <= limit <= MOST_PER_PAGE:
            raise InvalidParameter(f"A page has between 1 and {MOST_PER_PAGE} jobs")
        last = None if before is None else await self.job(before)
        return await self._database.read(newest_jobs, wanted, before=last, limit=limit)

    async def cancel(self, job_id: str) -> Job:
        """Let a job end where it is; one that was cancelled stays so. Raises NotFound, BadState."""
        job = await self._database.write(self._cancel, job_id)
        self._tell_of_end(job_id)
        return job

    async def work(self) -> None:
        """Do what there is to do, by turns, until it is done, or cannot be done now."""
        taken_up: set[str] = set()
        put_off: set[str] = set()
        while True:
            found = await self._database.read(unfinished_jobs, BY_TURNS + len(put_off))
            jobs = [job for job in found if job.job_id not in put_off][:BY_TURNS]
            if not jobs:
                return
            for job in jobs:
                if self._is_stopping:
                    return
                if job.job_id not in taken_up and not await self._take_up(job):
                    continue
                taken_up.add(job.job_id)
                if not await self._advance(job):
                    put_off.add(job.job_id)

    async def _take_up(self, job: Job) -> bool:
        """Note that a job is worked on, so that what ends the server each time is not tried for ever."""
        if job.kind not in self._kinds:
            await self._end(job, JobStatus.FAILED, "this version of the server does not know this kind of job")
            return False
        if job.attempts >= MOST_ATTEMPTS:
            await self._end(job, JobStatus.FAILED, job.error or GAVE_UP)
            return False
        return await self._database.write(note_attempt, job.job_id)

    async def _advance(self, job: Job) -> bool:
        """Do one step; False when that cannot be done now."""
        try:
            step = await self._kinds[job.kind].step(job)
        except Unavailable as later:
            await self._database.write(note_trouble, job.job_id, later.reason)
            return False
        except (ServiceError, ProtocolError) as refused:
            await self._end(job, JobStatus.FAILED, refused.reason)
            return True
        status = JobStatus.COMPLETE if step.is_last else JobStatus.ACTIVE
        now_ms = self._clock.now_ms()
        await self._database.write(note_progress, job.job_id, step.progress, status, now_ms=now_ms)
        if step.is_last:
            self._tell_of_end(job.job_id)
        return not step.waits

    async def _end(self, job: Job, status: JobStatus, error: str) -> None:
        await self._database.write(note_end, job.job_id, status, error, now_ms=self._clock.now_ms())
        self._tell_of_end(job.job_id)

    def _tell_of_end(self, job_id: str) -> None:
        self._ended += 1
        self._bell.ring([job_id])

    def _cancel(self, tx: Transaction, job_id: str) -> Job:
        job = find_job(tx, job_id)
        if job is None:
            raise NotFound(NONE_HERE)
        if job.status is JobStatus.CANCELLED:
            return job
        if job.status.has_ended:
            raise BadState(f"The job has ended: it is {job.status.value}")
        kind = self._kinds.get(job.kind)
        if kind is not None and not kind.may_be_cancelled(job):
            raise BadState("The job has come so far that it can only be finished")
        note_end(tx, job_id, JobStatus.CANCELLED, None, now_ms=self._clock.now_ms())
        return find_job(tx, job_id) or job


def _schedule(tx: Transaction, job: Job) -> None:
    if find_unfinished(tx, job.kind, job.subject) is not None:
        raise InvalidParameter(f"A job of this kind is in progress already for {job.subject}")
    if count_unfinished(tx) >= MOST_UNFINISHED:
        raise LimitExceeded(60_000, "Too many jobs wait already")
    insert_job(tx, job)
