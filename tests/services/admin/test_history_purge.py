"""History that is deleted: what goes, what stays, and that the room is sound afterwards, wherever it was cut."""

from typing import Any

import pytest

from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.room_versions import ROOM_VERSIONS, V12
from homeserver.services.admin.history_purge import HistoryPurge, HistoryPurgeJob
from homeserver.services.admin.jobs import Jobs
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.events.collection import StateCollection
from homeserver.storage.admin_jobs import Job, JobStatus
from homeserver.storage.events import events_by_id, events_forwards, first_place
from homeserver.storage.outboxes import move_outgoing_position
from homeserver.storage.rooms import find_head
from tests.forked_rooms import ONE
from tests.scenes import Scene
from tests.services.admin.damageable_room import DamageableRoom
from tests.services.admin.test_room_audit import audited, lively_room
from tests.services.rooms.related import reply
from tests.services.world import ALICE, SERVER, World, now


class Purging:
    """Jobs that delete history."""

    def __init__(self, world: World, per_step: int = 3) -> None:
        collection = StateCollection(world.database, world.clock)
        self.kind = HistoryPurgeJob(
            world.database, world.event_cache, world.formats, collection, SERVER, events_per_step=per_step
        )
        self.jobs = Jobs(world.database, world.clock, world.randomness, (self.kind,))
        self.history = HistoryPurge(world.database, self.jobs)

    def upto(self, room_id: RoomID, event_id: EventID, *, with_local: bool = True) -> Job:
        """Delete what came before an event."""
        job = now(self.history.purge_upto_event(room_id, event_id, with_local=with_local, asked_by=None))
        now(self.jobs.work())
        return now(self.jobs.job(job.job_id))


def bodies(world: World, room_id: RoomID) -> list[Any]:  # Any: JSON
    return [
        event["content"].get("body") for event in reversed(world.history(ALICE, room_id)) if "body" in event["content"]
    ]


def placed(world: World, room_id: RoomID) -> list[EventID]:
    """The accepted events of a room in its order."""

    def read(tx: Any) -> list[EventID]:
        begin = first_place(tx, room_id) - 1
        return [one.event.event_id for one in events_forwards(tx, room_id, place=begin, limit=1_000)]

    return world.sync_database.read(read)


def test_what_was_said_before_an_event_goes_and_the_rest_stays(world: World) -> None:
    room_id = world.create_room(ALICE, name="Kept")
    said = [world.send(ALICE, room_id, f"message {number}") for number in range(6)]
    world.history(ALICE, room_id)

    job = Purging(world).upto(room_id, said[4])

    assert (job.status, job.progress.outcome["events"], job.progress.done) == (
        JobStatus.COMPLETE,
        4,
        job.progress.total,
    )
    assert bodies(world, room_id) == ["message 4", "message 5"]
    assert set(world.sync_database.read(events_by_id, said)) == set(said[4:])
    assert "m.room.name" in {event["type"] for event in world.history(ALICE, room_id)}
    assert audited(world, room_id).fault is None
    world.send(ALICE, room_id, "goes on")
    assert audited(world, room_id).fault is None


def test_what_this_server_s_users_said_stays_unless_it_is_to_go_too(world: World) -> None:
    room_id = world.create_room(ALICE)
    said = [world.send(ALICE, room_id, f"message {number}") for number in range(3)]

    job = Purging(world).upto(room_id, said[2], with_local=False)

    assert job.progress.outcome["events"] == 0
    assert len(bodies(world, room_id)) == 3


def test_what_has_yet_to_be_sent_stays(world: World) -> None:
    room_id = world.others.open(Scene(), ONE)
    now(world.anywhere.join(ALICE, room_id, None, via=[ONE]))
    sent = world.send(ALICE, room_id, "sent")
    world.sync_database.write(move_outgoing_position, world.sync_database.position)
    not_yet = world.send(ALICE, room_id, "not yet sent")
    last = world.send(ALICE, room_id, "last")

    Purging(world).upto(room_id, last)

    assert set(world.sync_database.read(events_by_id, [sent, not_yet])) == {not_yet}


def test_the_newest_event_stays_whatever_is_asked_for(world: World) -> None:
    room_id = world.create_room(ALICE)
    last = [world.send(ALICE, room_id, f"message {number}") for number in range(3)][-1]
    world.clock.advance(10)
    purging = Purging(world)

    now(purging.history.purge_before(room_id, world.clock.now_ms(), with_local=True, asked_by=None))
    now(purging.jobs.work())

    assert bodies(world, room_id) == ["message 2"]
    assert world.sync_database.read(events_by_id, [last])


def test_what_is_older_than_a_time_goes(world: World) -> None:
    room_id = world.create_room(ALICE)
    world.send(ALICE, room_id, "old")
    world.clock.advance(10)
    since_ms = world.clock.now_ms()
    world.send(ALICE, room_id, "new")
    world.send(ALICE, room_id, "newest")
    purging = Purging(world)

    now(purging.history.purge_before(room_id, since_ms, with_local=True, asked_by=None))
    now(purging.jobs.work())

    assert bodies(world, room_id) == ["new", "newest"]
    assert audited(world, room_id).fault is None


def test_a_thread_ends_with_its_last_event(world: World) -> None:
    room_id = world.create_room(ALICE)
    root = world.send(ALICE, room_id, "root")
    reply(world, ALICE, room_id, root)
    last = world.send(ALICE, room_id, "last")

    Purging(world).upto(room_id, last)

    rows = world.sync_database.read(lambda tx: tx.all("SELECT 1 FROM threads UNION ALL SELECT 1 FROM relations"))
    assert rows == []
    assert audited(world, room_id).fault is None


@pytest.mark.parametrize(("version", "per_step"), [("2", 1_000), ("12", 3)])
def test_a_lively_room_is_sound_wherever_its_history_was_cut(world: World, version: str, per_step: int) -> None:
    room_id = lively_room(world, version)
    deleted = 0

    for event_id in placed(world, room_id)[-10::2]:
        if world.sync_database.read(events_by_id, [event_id]):
            deleted += Purging(world, per_step).upto(room_id, event_id).progress.outcome["events"]
            assert audited(world, room_id).fault is None

    assert deleted > 0
    world.send(ALICE, room_id, "still here")
    assert audited(world, room_id).fault is None


@pytest.mark.parametrize("version", ["1", "12"])
def test_a_room_with_forks_and_gaps_is_sound_wherever_its_history_was_cut(world: World, version: str) -> None:
    room = DamageableRoom(world, ROOM_VERSIONS[version])
    deleted = 0

    for event_id in placed(world, room.room_id)[::3]:
        if world.sync_database.read(events_by_id, [event_id]):
            deleted += Purging(world).upto(room.room_id, event_id).progress.outcome["events"]
            assert room.taken.fault() is None

    assert deleted > 5


def test_history_that_was_deleted_can_be_brought_again(world: World) -> None:
    room = DamageableRoom(world, V12)
    event_ids = placed(world, room.room_id)
    before = world.sync_database.read(events_by_id, event_ids)
    Purging(world).upto(room.room_id, event_ids[-1])
    gone = [one.event for event_id, one in before.items() if event_id not in placed(world, room.room_id)]

    room.taken.take(*[room.scene.history.events[event.event_id] for event in gone])

    head = world.sync_database.read(find_head, room.room_id)
    assert gone
    assert head is not None
    assert room.taken.fault() is None


def test_a_step_that_was_not_noted_is_done_again(world: World) -> None:
    room_id = world.create_room(ALICE)
    said = [world.send(ALICE, room_id, f"message {number}") for number in range(9)]
    purging = Purging(world)
    job = now(purging.history.purge_upto_event(room_id, said[8], with_local=True, asked_by=None))

    now(purging.kind.step(job))
    now(purging.jobs.work())

    assert now(purging.jobs.job(job.job_id)).status is JobStatus.COMPLETE
    assert bodies(world, room_id) == ["message 8"]
    assert audited(world, room_id).fault is None


def test_what_is_not_there_has_no_history(world: World) -> None:
    room_id, other = world.create_room(ALICE), world.create_room(ALICE)
    elsewhere = world.send(ALICE, other)
    purging = Purging(world)

    for event_id in (elsewhere, EventID("$nothing")):
        with pytest.raises(NotFound):
            purging.upto(room_id, event_id)
    with pytest.raises(NotFound):
        now(purging.history.purge_before(RoomID("!nowhere:example.org"), 1, with_local=True, asked_by=None))
    now(purging.history.purge_upto_event(other, elsewhere, with_local=True, asked_by=None))
    with pytest.raises(InvalidParameter):
        now(purging.history.purge_upto_event(other, elsewhere, with_local=True, asked_by=None))
