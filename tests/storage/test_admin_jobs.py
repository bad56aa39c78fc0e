"""Jobs of administrators, as stored."""

from dataclasses import replace

from homeserver.core.identifiers import UserID
from homeserver.storage.admin_jobs import (
    ENDED_KEPT_MS,
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
    sweep_jobs,
    unfinished_jobs,
)
from tests.databases import SyncDatabase

ROOM, OTHER_ROOM = "!room:example.org", "!other:example.org"
FIRST = Job("one", "delete", ROOM, {"purge": True, "message": "ünkind"}, UserID("@root:example.org"), 10, 10)
SECOND = Job("two", "delete", OTHER_ROOM, {}, None, 20, 20)
THIRD = Job("three", "redact", "@eve:example.org", {}, None, 20, 20)
HALF = JobProgress(5, 10, {"kicked": ["@a:b"]})


def keep(db: SyncDatabase, *jobs: Job) -> None:
    for job in jobs:
        db.write(insert_job, job)


def test_a_job_is_read_as_it_was_written(db: SyncDatabase) -> None:
    keep(db, FIRST, replace(SECOND, status=JobStatus.FAILED, attempts=3, progress=HALF, error="no"))

    assert db.read(find_job, "one") == FIRST
    assert db.read(find_job, "two") == replace(SECOND, status=JobStatus.FAILED, attempts=3, progress=HALF, error="no")
    assert db.read(find_job, "four") is None


def test_what_goes_on_is_found_by_kind_and_subject_until_it_ends(db: SyncDatabase) -> None:
    keep(db, FIRST, SECOND)

    db.write(note_end, "two", JobStatus.CANCELLED, None, now_ms=30)

    assert db.read(find_unfinished, "delete", ROOM) == FIRST
    assert db.read(find_unfinished, "redact", ROOM) is None
    assert db.read(find_unfinished, "delete", OTHER_ROOM) is None
    assert db.read(count_unfinished) == 1
    assert db.read(find_job, "two") == replace(SECOND, status=JobStatus.CANCELLED, changed_ms=30)


def test_progress_is_noted_and_ends_a_row_of_attempts(db: SyncDatabase) -> None:
    keep(db, FIRST)

    taken_up = db.write(note_attempt, "one")
    db.write(note_trouble, "one", "not now")
    troubled = db.read(find_job, "one")
    noted = db.write(note_progress, "one", HALF, JobStatus.ACTIVE, now_ms=40)

    assert taken_up
    assert troubled == replace(FIRST, status=JobStatus.ACTIVE, attempts=1, error="not now")
    assert noted
    assert db.read(find_job, "one") == replace(FIRST, status=JobStatus.ACTIVE, progress=HALF, changed_ms=40)


def test_a_job_that_has_ended_stays_as_it_is(db: SyncDatabase) -> None:
    ended = replace(FIRST, status=JobStatus.FAILED, error="no")
    keep(db, ended)

    assert not db.write(note_attempt, "one")
    assert not db.write(note_progress, "one", HALF, JobStatus.COMPLETE, now_ms=50)
    db.write(note_end, "one", JobStatus.CANCELLED, None, now_ms=50)
    db.write(note_trouble, "one", "other")
    assert db.read(find_job, "one") == ended


def test_those_that_failed_least_come_first_then_the_oldest(db: SyncDatabase) -> None:
    keep(db, FIRST, SECOND, replace(THIRD, created_ms=30), replace(FIRST, job_id="old", status=JobStatus.COMPLETE))
    db.write(note_attempt, "one")

    assert [job.job_id for job in db.read(unfinished_jobs, 9)] == ["two", "three", "one"]
    assert [job.job_id for job in db.read(unfinished_jobs, 1)] == ["two"]


def test_jobs_are_listed_newest_first_a_page_at_a_time_and_by_what_they_are(db: SyncDatabase) -> None:
    keep(db, FIRST, SECOND, replace(THIRD, status=JobStatus.COMPLETE))

    def listed(wanted: JobsWanted, before: Job | None = None, limit: int = 9) -> list[str]:
        return [job.job_id for job in db.read(newest_jobs, wanted, before=before, limit=limit)]

    assert listed(JobsWanted()) == ["two", "three", "one"]
    assert listed(JobsWanted(), limit=1) == ["two"]
    assert listed(JobsWanted(), before=SECOND) == ["three", "one"]
    assert listed(JobsWanted(kind="delete")) == ["two", "one"]
    assert listed(JobsWanted(subject=ROOM)) == ["one"]
    assert listed(JobsWanted(status=JobStatus.COMPLETE)) == ["three"]
    assert listed(JobsWanted(kind="delete", status=JobStatus.COMPLETE)) == []


def test_what_ended_long_ago_is_forgotten_and_what_goes_on_is_not(db: SyncDatabase) -> None:
    keep(db, FIRST, replace(SECOND, status=JobStatus.COMPLETE), replace(THIRD, status=JobStatus.FAILED, changed_ms=21))

    swept = db.write(sweep_jobs, ENDED_KEPT_MS + 21, 100)

    assert swept == 1
    assert [job.job_id for job in db.read(newest_jobs, JobsWanted(), before=None, limit=9)] == ["three", "one"]
