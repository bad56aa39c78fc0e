"""Jobs: done by turns, tried again, gone on with, cancelled."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from homeserver.runtime.loops import Loops
from homeserver.services.admin.jobs import IDLE_S, MOST_ATTEMPTS, MOST_UNFINISHED, JobKind, Jobs, Step
from homeserver.services.errors import BadState, Forbidden, InvalidParameter, LimitExceeded, NotFound, Unavailable
from homeserver.storage.admin_jobs import Job, JobProgress, JobStatus, JobsWanted, find_job, insert_job
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, World, now


class Broken(Exception):  # noqa: N818 - a mistake in a step
    """What nobody expects."""


@dataclass
class Counting:
    """Counts up to what it was told, and tells `seen` how."""

    seen: list[tuple[str, int]] = field(default_factory=list)
    before_step: Callable[[Job], None] = lambda _: None
    is_cancellable: bool = True
    name: str = "count"

    async def step(self, job: Job) -> Step:
        """One more."""
        self.before_step(job)
        done = job.progress.done + 1
        self.seen.append((job.subject, done))
        upto = job.arguments["upto"]
        return Step(JobProgress(done, upto, {"so far": done}), is_last=done == upto)

    def may_be_cancelled(self, job: Job) -> bool:
        """As the test wants it."""
        return self.is_cancellable


def jobs_of(world: World, *kinds: JobKind) -> Jobs:
    return Jobs(world.database, world.clock, world.randomness, kinds)


def count(jobs: Jobs, subject: str, upto: int) -> Job:
    return now(jobs.schedule("count", subject, {"upto": upto}, asked_by=ALICE))


def test_a_job_is_done_step_by_step_to_its_end(world: World) -> None:
    counting = Counting()
    jobs = jobs_of(world, counting)

    job = count(jobs, "!a", 3)
    now(jobs.work())

    assert counting.seen == [("!a", 1), ("!a", 2), ("!a", 3)]
    done = now(jobs.job(job.job_id))
    assert (done.status, done.progress, done.error) == (JobStatus.COMPLETE, JobProgress(3, 3, {"so far": 3}), None)
    assert done.asked_by == ALICE


def test_jobs_advance_by_turns(world: World) -> None:
    counting = Counting()
    jobs = jobs_of(world, counting)
    for subject in ("!a", "!b"):
        count(jobs, subject, 2)
        world.clock.advance(1)

    now(jobs.work())

    assert counting.seen == [("!a", 1), ("!b", 1), ("!a", 2), ("!b", 2)]


def test_a_subject_has_one_job_of_a_kind_at_a_time(world: World) -> None:
    jobs = jobs_of(world, Counting(), Counting(name="other"))
    count(jobs, "!a", 1)

    with pytest.raises(InvalidParameter):
        count(jobs, "!a", 1)

    now(jobs.schedule("other", "!a", {"upto": 1}, asked_by=None))
    now(jobs.work())
    count(jobs, "!a", 1)


def test_what_is_refused_ends_the_job_with_the_reason(world: World) -> None:
    def refuse(job: Job) -> None:
        raise Forbidden("Not this one")

    jobs = jobs_of(world, Counting(before_step=refuse))
    job = count(jobs, "!a", 3)

    now(jobs.work())

    failed = now(jobs.job(job.job_id))
    assert (failed.status, failed.error) == (JobStatus.FAILED, "Not this one")


def test_what_cannot_be_done_now_is_tried_again_and_holds_up_no_other(world: World) -> None:
    trouble = ["!a", "!a"]

    def wait(job: Job) -> None:
        if job.subject in trouble:
            trouble.remove(job.subject)
            raise Unavailable("Not yet")

    jobs = jobs_of(world, Counting(before_step=wait))
    waiting, other = count(jobs, "!a", 1), count(jobs, "!b", 2)

    now(jobs.work())
    then = now(jobs.job(waiting.job_id))
    ended = now(jobs.job(other.job_id))
    now(jobs.work())
    now(jobs.work())

    assert (then.status, then.error) == (JobStatus.ACTIVE, "Not yet")
    assert ended.status is JobStatus.COMPLETE
    finished = now(jobs.job(waiting.job_id))
    assert (finished.status, finished.error) == (JobStatus.COMPLETE, None)


def test_what_never_can_be_done_is_given_up_with_the_last_reason(world: World) -> None:
    def wait(job: Job) -> None:
        raise Unavailable("Not yet")

    jobs = jobs_of(world, Counting(before_step=wait))
    job = count(jobs, "!a", 1)

    for _ in range(MOST_ATTEMPTS + 1):
        now(jobs.work())

    failed = now(jobs.job(job.job_id))
    assert (failed.status, failed.error) == (JobStatus.FAILED, "Not yet")


def test_a_step_that_breaks_is_tried_again_and_other_jobs_come_first(world: World) -> None:
    def break_down(job: Job) -> None:
        if job.subject == "!a":
            raise Broken

    jobs = jobs_of(world, Counting(before_step=break_down))
    broken, other = count(jobs, "!a", 1), count(jobs, "!b", 1)

    tries = 0
    while now(jobs.job(broken.job_id)).status is not JobStatus.FAILED:
        tries += 1
        try:
            now(jobs.work())
        except Broken:
            continue

    assert tries == MOST_ATTEMPTS + 1
    assert now(jobs.job(other.job_id)).status is JobStatus.COMPLETE


def test_a_job_goes_on_where_it_was_after_a_restart(world: World) -> None:
    first = Counting()
    jobs = jobs_of(world, first)
    job = count(jobs, "!a", 3)

    def stop(_: Job) -> None:
        if len(first.seen) == 1:
            jobs.stop()

    first.before_step = stop
    now(jobs.work())
    second = Counting()
    now(jobs_of(world, second).work())

    assert first.seen == [("!a", 1), ("!a", 2)]
    assert second.seen == [("!a", 3)]
    assert now(jobs.job(job.job_id)).status is JobStatus.COMPLETE


def test_a_job_is_begun_as_soon_as_it_is_scheduled(world: World) -> None:
    counting = Counting()
    jobs = jobs_of(world, counting)
    jobs.start(Loops(world.clock))
    world.clock.advance(0)

    count(jobs, "!a", 1)

    assert counting.seen == [("!a", 1)]


def test_what_waits_is_looked_at_again_after_a_while(world: World) -> None:
    trouble = [Unavailable("Not yet")]

    def wait(_: Job) -> None:
        if trouble:
            raise trouble.pop()

    counting = Counting(before_step=wait)
    jobs = jobs_of(world, counting)
    jobs.start(Loops(world.clock))
    world.clock.advance(0)
    count(jobs, "!a", 1)

    world.clock.advance(IDLE_S)

    assert counting.seen == [("!a", 1)]


def test_a_job_of_a_kind_that_is_not_known_any_more_fails(world: World) -> None:
    job = count(jobs_of(world, Counting()), "!a", 1)
    jobs = jobs_of(world)

    now(jobs.work())

    assert now(jobs.job(job.job_id)).status is JobStatus.FAILED


def test_a_cancelled_job_does_nothing_more(world: World) -> None:
    counting = Counting()
    jobs = jobs_of(world, counting)
    job = count(jobs, "!a", 3)
    counting.before_step = lambda one: None if not counting.seen else jobs_cancel(jobs, one)

    now(jobs.work())

    assert counting.seen == [("!a", 1), ("!a", 2)]
    ended = now(jobs.job(job.job_id))
    assert (ended.status, ended.progress.done) == (JobStatus.CANCELLED, 1)
    assert now(jobs.cancel(job.job_id)) == ended


def jobs_cancel(jobs: Jobs, job: Job) -> None:
    now(jobs.cancel(job.job_id))


def test_what_has_ended_or_must_be_finished_cannot_be_cancelled(world: World) -> None:
    jobs = jobs_of(world, Counting(is_cancellable=False))
    job = count(jobs, "!a", 1)

    with pytest.raises(BadState):
        now(jobs.cancel(job.job_id))
    now(jobs.work())
    with pytest.raises(BadState):
        now(jobs.cancel(job.job_id))
    with pytest.raises(NotFound):
        now(jobs.cancel("nothing"))


def test_pages_are_bounded_and_go_on_after_a_job(world: World) -> None:
    jobs = jobs_of(world, Counting())
    older = count(jobs, "!a", 1)
    world.clock.advance(1)
    newer = count(jobs, "!b", 1)

    assert now(jobs.page(JobsWanted(), before=newer.job_id, limit=5)) == [older]
    assert now(jobs.page(JobsWanted(subject="!b"), before=None, limit=5)) == [newer]
    for limit in (0, 501):
        with pytest.raises(InvalidParameter):
            now(jobs.page(JobsWanted(), before=None, limit=limit))
    with pytest.raises(NotFound):
        now(jobs.page(JobsWanted(), before="nothing", limit=5))


def test_no_more_than_so_many_jobs_wait(world: World) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(MOST_UNFINISHED):
            insert_job(tx, Job(str(number), "count", f"!{number}", {}, None, 1, 1))

    world.sync_database.write(fill)

    with pytest.raises(LimitExceeded):
        count(jobs_of(world, Counting()), "!a", 1)

    assert world.sync_database.read(find_job, "0") is not None
