"""Taking back all that a user said."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.services.admin.jobs import Jobs
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.user_patterns import StepBounds
from homeserver.services.admin.user_redactions import (
    KIND,
    MOST_ROOMS,
    RedactionWish,
    UserRedaction,
    UserRedactions,
)
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.storage.admin_jobs import Job, JobStatus
from homeserver.storage.database import Transaction
from tests.services.world import ALICE, BOB, World, now

SET_TIME = "UPDATE events SET origin_server_ts = :at_ms WHERE event_id = :event_id"


def set_time(tx: Transaction, event_id: EventID, at_ms: int) -> None:
    tx.run(SET_TIME, event_id=event_id, at_ms=at_ms)


@pytest.fixture
def jobs(world: World) -> Jobs:
    """Jobs that look through three events at a time, and redact two."""
    moderation = RoomModeration(world.event_creation)
    kinds = (UserRedaction(world.database, moderation, StepBounds(most_found=2, rows_per_read=3, most_reads=1)),)
    return Jobs(world.database, world.clock, world.randomness, kinds)


@pytest.fixture
def redactions(jobs: Jobs) -> UserRedactions:
    return UserRedactions(jobs)


def room_of_bob(world: World, *texts: str) -> RoomID:
    """A room of Alice's in which Bob has said things, each a second later than the last."""
    room_id = world.create_room(ALICE, preset="public_chat", room_version="11")
    world.join(BOB, room_id)
    for text in texts:
        world.clock.advance(1)
        world.send(BOB, room_id, text)
    return room_id


def texts(world: World, room_id: RoomID) -> list[str]:
    """What is still to be read in a room, the oldest first."""
    contents = [event["content"] for event in world.history(ALICE, room_id) if event["type"] == "m.room.message"]
    return [content["body"] for content in reversed(contents) if content]


def redact(jobs: Jobs, redactions: UserRedactions, wish: RedactionWish) -> tuple[Job, Any]:  # Any: JSON
    job = now(redactions.begin(BOB, wish, asked_by=ALICE))
    now(jobs.work())
    done = now(redactions.job(job.job_id))
    assert done.status is JobStatus.COMPLETE
    return done, done.progress.outcome


def test_what_a_user_said_is_redacted_in_all_their_rooms(world: World, jobs: Jobs, redactions: UserRedactions) -> None:
    rooms = [room_of_bob(world, "1", "2", "3", "4", "5"), room_of_bob(world, "6")]
    for room_id in rooms:
        world.send(ALICE, room_id, "mine")

    _, outcome = redact(jobs, redactions, RedactionWish(reason="spam"))
    _, again = redact(jobs, redactions, RedactionWish())

    assert [texts(world, room_id) for room_id in rooms] == [["mine"], ["mine"]]
    redaction = world.history(ALICE, rooms[0])[0]
    assert (redaction["type"], redaction["sender"]) == ("m.room.redaction", ALICE)
    assert redaction["content"]["reason"] == "spam"
    assert (outcome["redacted"], outcome["failed"], outcome["rooms"]) == (8, 0, 2)  # with two joins
    assert again["found"] == 0


def test_only_what_is_asked_for_is_redacted(world: World, jobs: Jobs, redactions: UserRedactions) -> None:
    here, there = room_of_bob(world, "1", "2", "3", "4"), room_of_bob(world, "5")
    now_ms = world.clock.now_ms()

    redact(jobs, redactions, RedactionWish(rooms=[here], since_ms=now_ms - 3_000, until_ms=now_ms - 2_000))
    assert (texts(world, here), texts(world, there)) == (["1", "4"], ["5"])
    _, outcome = redact(jobs, redactions, RedactionWish(limit=1))
    assert (texts(world, here), texts(world, there)) == (["1"], [])
    assert outcome["redacted"] == 2


def test_no_time_that_a_server_gave_keeps_an_event_from_being_found(
    world: World, jobs: Jobs, redactions: UserRedactions
) -> None:
    room_id = room_of_bob(world, "1", "2")
    event_id = world.send(BOB, room_id, "3")

    for at_ms in (-(2**60), 2**60):
        world.sync_database.write(set_time, event_id, at_ms)
        assert redact(jobs, redactions, RedactionWish(is_dry_run=True))[1]["found"] == 4  # with the join


def test_a_room_that_is_not_known_here_is_passed_over(world: World, jobs: Jobs, redactions: UserRedactions) -> None:
    room_id = room_of_bob(world, "1")

    redact(jobs, redactions, RedactionWish(rooms=["!none:example.org", room_id]))

    assert texts(world, room_id) == []


def test_a_dry_run_counts_and_changes_nothing(world: World, jobs: Jobs, redactions: UserRedactions) -> None:
    room_id = room_of_bob(world, "1", "2", "3")

    done, outcome = redact(jobs, redactions, RedactionWish(is_dry_run=True))

    assert texts(world, room_id) == ["1", "2", "3"]
    assert (done.progress.done, outcome["found"], outcome["redacted"]) == (4, 4, 0)


def test_where_the_power_is_missing_it_is_said_so_and_the_rest_is_done(
    world: World, jobs: Jobs, redactions: UserRedactions
) -> None:
    own, foreign = room_of_bob(world, "1"), room_of_bob(world, "2")
    now(world.membership.leave(BOB, foreign, None))
    levels = {"users": {ALICE: 40}, "redact": 50, "events": {"m.room.power_levels": 40}}
    now(world.sending.set_state(ALICE, foreign, "m.room.power_levels", "", levels))

    _, outcome = redact(jobs, redactions, RedactionWish())

    assert (texts(world, own), texts(world, foreign)) == ([], ["2"])
    assert outcome["failed"] == len(outcome["errors"]) > 0
    assert all("power" in reason for reason in outcome["errors"].values())


def test_a_job_goes_on_after_a_restart_where_it_was(world: World, jobs: Jobs, redactions: UserRedactions) -> None:
    room_id = room_of_bob(world, "1", "2", "3", "4", "5", "6")
    moderation = RoomModeration(world.event_creation)
    kind = UserRedaction(world.database, moderation, StepBounds(most_found=2, rows_per_read=3, most_reads=1))
    job = now(redactions.begin(BOB, RedactionWish(), asked_by=None))
    now(kind.step(job))  # what is not noted is done once more
    assert texts(world, room_id) == ["1", "2", "3", "4"]

    now(Jobs(world.database, world.clock, world.randomness, (kind,)).work())

    assert texts(world, room_id) == []
    assert now(redactions.job(job.job_id)).status is JobStatus.COMPLETE


def test_wishes_that_cannot_be_are_refused(redactions: UserRedactions) -> None:
    for wrong in (
        RedactionWish(rooms=["#a:b"]),
        RedactionWish(rooms=["!a:b"] * (MOST_ROOMS + 1)),
        RedactionWish(since_ms=-1),
        RedactionWish(since_ms=6, until_ms=5),
        RedactionWish(until_ms=2**60),
        RedactionWish(limit=0),
        RedactionWish(reason="x" * 5_000),
    ):
        with pytest.raises(InvalidParameter):
            now(redactions.begin(BOB, wrong, asked_by=None))
    now(redactions.begin(BOB, RedactionWish(), asked_by=None))
    with pytest.raises(InvalidParameter):
        now(redactions.begin(BOB, RedactionWish(), asked_by=None))


def test_jobs_of_other_kinds_are_none_of_these(world: World, redactions: UserRedactions) -> None:
    class Other:
        name = "other"

        async def step(self, job: Job) -> Any:
            raise NotImplementedError

        def may_be_cancelled(self, job: Job) -> bool:
            return job.kind != KIND

    other = Jobs(world.database, world.clock, world.randomness, (Other(),))
    job = now(other.schedule("other", "!a:b", {}, asked_by=None))

    for job_id in (job.job_id, "unknown"):
        with pytest.raises(NotFound):
            now(redactions.job(job_id))
