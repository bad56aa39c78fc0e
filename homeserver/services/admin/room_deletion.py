"""Shutting rooms down: this server's users leave, as their clients see; then, if that is wanted, all of it is deleted.

It is a kind of job (jobs.py), in phases, of which the outcome names the one that comes next:

    closing     the room is blocked, if that is wanted, and is in no directory any more; a room that tells of it is
                created in the name of a user; the aliases lead there, or are gone
    leaving     whoever of this server is in the room, invited or knocking, leaves by themselves, which needs no power
    telling     other servers are told of that, as long as they can be: afterwards nothing is left to be sent
    forgetting  who left has forgotten the room; how they got out is kept for clients that have yet to hear of it
    purging     the room is known here no more, and its rows are deleted, some at a time (room_purge.py)

While it is forgotten and purged, the room is blocked, so that nobody comes in meanwhile. Until then the job may be
cancelled: the room stays then, without those who left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from homeserver.core.errors import MissingNodes, ProtocolError
from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of
from homeserver.runtime.clock import Clock
from homeserver.services.admin.closing_notices import ClosingNotices
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.admin.room_purge import RoomPurge
from homeserver.services.errors import BadState, InvalidParameter, NotFound, ServiceError, Unavailable
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.services.rooms.remote_leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.storage.accounts import find_account
from homeserver.storage.admin_jobs import Job, JobProgress, JobStatus, JobsWanted, newest_jobs, note_progress
from homeserver.storage.aliases import Alias, aliases_of_room, delete_alias, insert_alias
from homeserver.storage.blocked_rooms import Block, block_room, find_block, unblock_room
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import events_by_id
from homeserver.storage.memberships import find_membership
from homeserver.storage.outgoing_events import is_room_told
from homeserver.storage.purged_rooms import count_events, count_locals_in_room, locals_in_room
from homeserver.storage.remote_memberships import find_remote_membership
from homeserver.storage.rooms import find_head, set_published

KIND: Final = "delete_room"
LEAVING_PER_STEP: Final = 20
TOLD_FOR_MS: Final = 5 * 60_000  # who does not answer for so long is not told
MOST_NAMED: Final = 1_000  # users in the outcome
MOST_SHOWN: Final = 50
NOT_SENDING: Final = "the server to run, which tells other servers that its users left"
LONGEST_TEXT: Final = 4_096


@dataclass(frozen=True, slots=True)
class DeletionWishes:
    """What is to be done with a room. `new_room_user_id`: who creates a room that tells of it, None: there is none."""

    block: bool = False
    purge: bool = True
    force_purge: bool = False  # even if some users cannot leave as others do
    new_room_user_id: UserID | None = None
    room_name: str | None = None
    message: str | None = None


class RoomDeletion:
    """Asks for rooms to be deleted, and answers how that goes."""

    def __init__(self, database: Database, jobs: Jobs, server_name: ServerName) -> None:
        self._database = database
        self._jobs = jobs
        self._server_name = server_name

    async def delete(self, room_id: RoomID, wishes: DeletionWishes, *, asked_by: UserID | None) -> Job:
        """Have a room deleted. Raises InvalidParameter, also while that is in progress, and NotFound."""
        for text in (wishes.room_name, wishes.message):
            if text is not None and len(text.encode()) > LONGEST_TEXT:
                raise InvalidParameter(f"A name and a message may have {LONGEST_TEXT} bytes")
        await self._database.read(self._check, room_id, wishes)
        return await self._jobs.schedule(KIND, room_id, asdict(wishes), asked_by=asked_by)

    async def delete_now(self, room_id: RoomID, wishes: DeletionWishes, *, asked_by: UserID | None) -> Job:
        """As `delete`, and wait until it has ended. Raises BadState, too, if it could not be done."""
        job = await self.delete(room_id, wishes, asked_by=asked_by)
        ended = await self._jobs.until_ended(job.job_id)
        if ended.error is not None:
            raise BadState(ended.error)
        return ended

    async def of_room(self, room_id: RoomID) -> Sequence[Job]:
        """The deletions of a room, the newest first. Raises NotFound when there are none."""
        jobs = await self._jobs.page(JobsWanted(KIND, room_id), before=None, limit=MOST_SHOWN)
        if not jobs:
            raise NotFound("This room is not being deleted, and was not lately")
        return jobs

    async def one(self, job_id: str) -> Job:
        """The deletion that is this job. Raises NotFound."""
        job = await self._jobs.job(job_id)
        if job.kind != KIND:
            raise NotFound("This job deletes no room")
        return job

    def _check(self, tx: Transaction, room_id: RoomID, wishes: DeletionWishes) -> None:
        user_id = wishes.new_room_user_id
        if user_id is not None:
            account = find_account(tx, user_id) if server_name_of(user_id) == self._server_name else None
            if account is None or account.is_deactivated:
                raise InvalidParameter("The new room must be created by a user of this server")
        is_known = find_head(tx, room_id) is not None or bool(locals_in_room(tx, room_id, limit=1))
        # What is left of a room after a deletion that failed half-way has no other name.
        last = newest_jobs(tx, JobsWanted(KIND, room_id), before=None, limit=1)
        is_half_deleted = bool(last) and last[0].status is JobStatus.FAILED
        if not is_known and not is_half_deleted and not wishes.block:
            raise NotFound(NO_ROOM)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was done so far, as it is noted, and as it is told."""

    phase: str = "closing"
    kicked_users: tuple[str, ...] = ()
    failed_to_kick_users: tuple[str, ...] = ()
    local_aliases: tuple[str, ...] = ()
    new_room_id: str | None = None
    after: str = ""  # the user who came last
    was_blocked: bool = False
    telling_since_ms: int | None = None
    waits_for: str | None = None
    left: int = 0  # how many users
    events: int = 0  # how many are deleted

    @staticmethod
    def read(noted: Mapping[str, Any]) -> "_Outcome":  # Any: JSON
        known: dict[str, Any] = {  # Any: as above
            name: tuple(value) if isinstance(value, list) else value for name, value in noted.items()
        }
        return _Outcome(**known)


class RoomDeletionJob:
    """Deletes rooms, step by step."""

    name: Final = KIND

    def __init__(
        self,
        database: Database,
        notices: ClosingNotices,
        membership: RemoteMembership,
        leaves: RemoteLeaves,
        purge: RoomPurge,
        clock: Clock,
        is_sending: Callable[[], bool | None],
    ) -> None:
        """`is_sending`: whether events go to other servers now; None: they never do."""
        self._database = database
        self._notices = notices
        self._membership = membership
        self._leaves = leaves
        self._purge = purge
        self._clock = clock
        self._is_sending = is_sending

    def may_be_cancelled(self, job: Job) -> bool:
        """Not what is half deleted."""
        return _Outcome.read(job.progress.outcome).phase in ("closing", "leaving", "telling")

    async def step(self, job: Job) -> Step:
        """Do the next piece of the phase that it is in."""
        room_id, outcome = RoomID(job.subject), _Outcome.read(job.progress.outcome)
        wishes = DeletionWishes(**job.arguments)
        total = job.progress.total
        if total is None:
            total = await self._database.read(_count, room_id, with_events=wishes.purge)
        match outcome.phase:
            case "closing":
                after = await self._close(room_id, job, wishes, total)
            case "leaving":
                after = await self._leave_some(room_id, wishes, outcome)
            case "telling":
                after = await self._tell(room_id, outcome)
            case "forgetting":
                after = await self._forget_some(room_id, job, outcome)
            case _:
                after = await self._purge_some(room_id, wishes, outcome)
        done = min(after.left + after.events, total)
        is_last = after.phase == "done"
        waits = outcome.phase == after.phase == "telling"
        return Step(JobProgress(total if is_last else done, total, asdict(after)), is_last=is_last, waits=waits)

    async def _close(self, room_id: RoomID, job: Job, wishes: DeletionWishes, total: int) -> _Outcome:
        def close(tx: Transaction, new_room_id: RoomID | None) -> _Outcome:
            was_blocked = self._begin(tx, room_id, job, wishes)
            aliases = self._move_aliases(tx, room_id, new_room_id, wishes.new_room_user_id)
            after = _Outcome("leaving", local_aliases=aliases, new_room_id=new_room_id, was_blocked=was_blocked)
            # Noted in this very write: should the server end after it, it does not do this again.
            progress = JobProgress(0, total, asdict(after))
            note_progress(tx, job.job_id, progress, JobStatus.ACTIVE, now_ms=self._clock.now_ms())
            return after

        if wishes.new_room_user_id is None:
            return await self._database.write(close, None)
        return await self._notices.create(wishes.new_room_user_id, wishes.room_name, wishes.message, close)

    def _begin(self, tx: Transaction, room_id: RoomID, job: Job, wishes: DeletionWishes) -> bool:
        block = find_block(tx, room_id)
        if wishes.block:
            block_room(tx, room_id, Block(job.asked_by, self._clock.now_ms()))
        set_published(tx, room_id, is_published=False)
        return wishes.block or block is not None

    def _move_aliases(
        self, tx: Transaction, room_id: RoomID, new_room_id: RoomID | None, creator: UserID | None
    ) -> tuple[str, ...]:
        aliases = aliases_of_room(tx, room_id)
        for alias in aliases:
            delete_alias(tx, alias)
            if new_room_id is not None and creator is not None:
                insert_alias(tx, Alias(alias, new_room_id, creator), created_ms=self._clock.now_ms())
        return tuple(aliases)

    async def _leave_some(self, room_id: RoomID, wishes: DeletionWishes, outcome: _Outcome) -> _Outcome:
        some = await self._database.read(locals_in_room, room_id, after=outcome.after, limit=LEAVING_PER_STEP)
        kicked, failed = list(outcome.kicked_users), list(outcome.failed_to_kick_users)
        for user_id in some:
            reason = await self._leave(room_id, user_id, wishes)
            (kicked if reason is None else failed).append(user_id)
            if reason is None and outcome.new_room_id is not None:
                await self._bring(user_id, RoomID(outcome.new_room_id))
        after = replace(
            outcome,
            kicked_users=tuple(dict.fromkeys(kicked))[:MOST_NAMED],
            failed_to_kick_users=tuple(dict.fromkeys(failed))[:MOST_NAMED],
            after=some[-1] if some else "",
            left=outcome.left + len(some),
        )
        if some:
            return after
        if not wishes.purge:
            return replace(after, phase="done")
        if await self._database.read(count_locals_in_room, room_id) and not wishes.force_purge:
            raise BadState("Not every user of this server could leave the room, so nothing of it was deleted")
        return replace(after, phase="telling")

    async def _leave(self, room_id: RoomID, user_id: UserID, wishes: DeletionWishes) -> str | None:
        """Let a user leave; why it cannot be, if it cannot."""
        try:
            await self._membership.leave(user_id, room_id, None)
        except Unavailable:
            if not wishes.force_purge:
                raise
        except (ServiceError, ProtocolError) as refused:
            if not wishes.force_purge:
                return refused.reason
        except MissingNodes:
            if not wishes.force_purge:
                return "What is kept of the room is damaged"
        else:
            return None
        current = await self._database.read(_member_event, room_id, user_id)
        if current is None:
            return "Nothing is known of how the user came in"
        await self._leaves.leave(user_id, current, (), None)  # nobody is told but the user
        return None

    async def _bring(self, user_id: UserID, new_room_id: RoomID) -> None:
        try:
            await self._membership.join(user_id, new_room_id, None)
        except (ServiceError, ProtocolError):
            return  # a room that tells of another one is nothing that anybody needs

    async def _tell(self, room_id: RoomID, outcome: _Outcome) -> _Outcome:
        is_sending, now_ms = self._is_sending(), self._clock.now_ms()
        since_ms = outcome.telling_since_ms
        if is_sending is None or await self._database.read(is_room_told, room_id):
            return replace(outcome, phase="forgetting", after="", waits_for=None)
        if not is_sending:
            return replace(outcome, telling_since_ms=None, waits_for=NOT_SENDING)
        if since_ms is not None and now_ms - since_ms >= TOLD_FOR_MS:
            return replace(outcome, phase="forgetting", after="")
        return replace(outcome, telling_since_ms=now_ms if since_ms is None else since_ms, waits_for=None)

    async def _forget_some(self, room_id: RoomID, job: Job, outcome: _Outcome) -> _Outcome:
        if not outcome.after:
            await self._database.write(block_room, room_id, Block(job.asked_by, self._clock.now_ms()))
        last = await self._purge.forget_departed(room_id, outcome.after)
        return replace(outcome, phase="purging", after="") if last is None else replace(outcome, after=last)

    async def _purge_some(self, room_id: RoomID, wishes: DeletionWishes, outcome: _Outcome) -> _Outcome:
        if await self._database.read(_is_open, room_id) and not await self._purge.close(room_id):
            return replace(outcome, phase="leaving", after="")  # somebody came in before the room was blocked
        purged = await self._purge.purge_some(room_id)
        if purged.is_more:
            return replace(outcome, events=outcome.events + purged.events)
        if not wishes.block and not outcome.was_blocked:
            await self._database.write(unblock_room, room_id)
        self._purge.reopen(room_id)
        return replace(outcome, phase="done")


def _count(tx: Transaction, room_id: RoomID, *, with_events: bool) -> int:
    return count_locals_in_room(tx, room_id) + (count_events(tx, room_id) if with_events else 0)


def _is_open(tx: Transaction, room_id: RoomID) -> bool:
    return find_head(tx, room_id) is not None


def _member_event(tx: Transaction, room_id: RoomID, user_id: UserID) -> Event | None:
    outside = find_remote_membership(tx, room_id, user_id)
    if outside is not None:
        return outside.encoded.event
    membership = find_membership(tx, room_id, user_id)
    stored = None if membership is None else events_by_id(tx, [membership.event_id]).get(membership.event_id)
    return None if stored is None else stored.event
