"""The deletion of rooms in a world, as assembly makes it."""

from dataclasses import dataclass

from homeserver.services.admin.closing_notices import ClosingNotices
from homeserver.services.admin.jobs import Jobs
from homeserver.services.admin.room_deletion import RoomDeletion, RoomDeletionJob
from homeserver.services.admin.room_purge import RoomPurge
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.storage.admin_jobs import JobStatus, note_progress
from tests.services.world import SERVER, World, now

ROWS_PER_STEP = 7


@dataclass
class Deleting:
    """Jobs that delete rooms, and whether events go to other servers meanwhile (None: never)."""

    world: World
    is_sending: bool | None = None

    def __post_init__(self) -> None:
        world = self.world
        forgetting = (world.notifying.forget_room, world.news.forget_room, world.partial_rooms.end)
        client, creation = world.federation_client, world.event_creation
        self.kind = RoomDeletionJob(
            world.database,
            ClosingNotices(world.rooms, creation),
            world.anywhere,
            RemoteLeaves(world.database, client, creation, world.outside, world.clock),
            RoomPurge(world.database, world.event_cache, world.formats, forgetting, ROWS_PER_STEP),
            world.clock,
            lambda: self.is_sending,
        )
        self.jobs = Jobs(world.database, world.clock, world.randomness, (self.kind,))
        self.rooms = RoomDeletion(world.database, self.jobs, SERVER)

    def step(self, job_id: str, *, is_noted: bool = True) -> None:
        """Do one step of a job; when it is not noted, the server ended just before that."""
        step = now(self.kind.step(now(self.jobs.job(job_id))))
        if is_noted:
            status = JobStatus.COMPLETE if step.is_last else JobStatus.ACTIVE
            now_ms = self.world.clock.now_ms()
            self.world.sync_database.write(note_progress, job_id, step.progress, status, now_ms=now_ms)
