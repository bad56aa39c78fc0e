"""What the server says to all of its users."""

import pytest

from homeserver.core.identifiers import UserID
from homeserver.services.admin.announcements import AnnouncementJob, Announcements
from homeserver.services.admin.jobs import Jobs
from homeserver.services.errors import InvalidParameter, TooLarge
from homeserver.storage.admin_jobs import JobStatus
from homeserver.storage.notice_rooms import find_notice_room
from tests.services.accounts.people import register
from tests.services.admin.test_server_notices import NOTICES, USER, notices_of
from tests.services.world import SERVER, World, now

NAMES = ("alice", "bob", "carol", "dora", "emil")
CONTENT = {"msgtype": "m.text", "body": "We move."}


class Ended(Exception):  # noqa: N818 - the server, in the middle of a step
    """The process was killed."""


def jobs_of(world: World, job: AnnouncementJob | None = None) -> Jobs:
    kind = AnnouncementJob(world.database, notices_of(world), per_step=2) if job is None else job
    return Jobs(world.database, world.clock, world.randomness, (kind,))


def told(world: World, name: str) -> int:
    room_id = world.sync_database.read(find_notice_room, UserID(f"@{name}:{SERVER}"))
    if room_id is None:
        return 0
    return sum(each["type"] == "m.room.message" for each in world.history(NOTICES, room_id))


def test_everybody_with_an_open_account_is_told_once(world: World) -> None:
    for name in NAMES:
        register(world, name)
    now(world.deactivation.deactivate(UserID(f"@dora:{SERVER}"), erase=False))
    guest = now(world.open_guests(are_allowed=True).register(None)).user_id
    jobs = jobs_of(world)

    job = now(Announcements(jobs).announce(CONTENT, asked_by=None))
    now(jobs.work())

    done = now(jobs.job(job.job_id))
    assert [told(world, name) for name in NAMES] == [1, 1, 1, 0, 1]
    assert world.sync_database.read(find_notice_room, guest) is None
    assert done.status is JobStatus.COMPLETE
    assert (done.progress.outcome["told"], done.progress.outcome["failed"]) == (4, 0)


def test_who_was_told_before_the_server_ended_is_not_told_again(world: World) -> None:
    for name in NAMES:
        register(world, name)
    notices = notices_of(world)

    class Dying(AnnouncementJob):
        async def step(self, job):  # type: ignore[no-untyped-def]
            await super().step(job)
            raise Ended

    jobs = jobs_of(world, Dying(world.database, notices, per_step=3))
    job = now(Announcements(jobs).announce(CONTENT, asked_by=None))
    with pytest.raises(Ended):
        now(jobs.work())
    before = [told(world, name) for name in NAMES]
    again = jobs_of(world)
    now(again.work())

    assert before == [1, 1, 1, 0, 0]
    assert [told(world, name) for name in NAMES] == [1] * 5
    assert now(again.job(job.job_id)).status is JobStatus.COMPLETE


def test_there_is_one_announcement_at_a_time_and_it_has_a_size(world: World) -> None:
    jobs = jobs_of(world)
    announcements = Announcements(jobs)
    with pytest.raises(TooLarge):
        now(announcements.announce({"body": "x" * 40_000}, asked_by=None))
    now(announcements.announce(CONTENT, asked_by=None))

    with pytest.raises(InvalidParameter):
        now(announcements.announce(CONTENT, asked_by=None))


def test_where_the_name_of_the_server_is_taken_nobody_is_told_and_it_is_said_why(world: World) -> None:
    for name in NAMES:
        register(world, name)
    taken = notices_of(world, USER.__class__(UserID(f"@carol:{SERVER}"), "Server", None, "Notices"))
    jobs = jobs_of(world, AnnouncementJob(world.database, taken))

    job = now(Announcements(jobs).announce(CONTENT, asked_by=None))
    now(jobs.work())

    failed = now(jobs.job(job.job_id))
    assert failed.status is JobStatus.FAILED
    assert "server_notices.localpart" in (failed.error or "")
