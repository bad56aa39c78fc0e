"""Taking back all that a user of any server said, in all rooms or some, within a time: as a job, the newest first.

How it is found and redacted in a room is in sent_events.py; which state stays, in the file of that name in storage/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID, UserID, parse_room_id
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.admin.sent_events import RedactedEvents, Said, SentEvents
from homeserver.services.admin.user_patterns import StepBounds, Users
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.admin_jobs import Job, JobProgress
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import next_room_of_user

KIND: Final = "redact_user"
BOUNDS: Final = StepBounds(most_found=50, rows_per_read=2_000, most_reads=1)
MOST_ROOMS: Final = 1_000
MOST_ERRORS: Final = 100  # that are told of
LATEST_MS: Final = 2**53


@dataclass(frozen=True, slots=True)
class RedactionWish:
    """What is to be redacted: without rooms in all, and with a limit so many in each; a dry run only counts.

    The times are included.
    """

    rooms: Sequence[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None
    reason: str | None = None
    is_dry_run: bool = False

    def check(self) -> None:
        """Raises InvalidParameter."""
        if len(self.rooms) > MOST_ROOMS:
            raise InvalidParameter(f"At most {MOST_ROOMS} rooms can be named")
        try:
            for room_id in self.rooms:
                parse_room_id(room_id)
        except BadIdentifier as bad:
            raise InvalidParameter(bad.reason) from bad
        begins_ms = 0 if self.since_ms is None else self.since_ms
        ends_ms = LATEST_MS if self.until_ms is None else self.until_ms
        if not 0 <= begins_ms <= ends_ms <= LATEST_MS:
            raise InvalidParameter("The time begins before it ends, both in milliseconds")
        if self.limit is not None and not 1 <= self.limit <= LATEST_MS:
            raise InvalidParameter("A limit is 1 or more")
        check_reason(self.reason)


@dataclass(frozen=True, slots=True)
class _SoFar:
    """How far a job is: the outcome of it."""

    found: int = 0
    redacted: int = 0
    failed: int = 0
    rooms: int = 0  # that were looked through, or are
    errors: Mapping[str, str] = field(default_factory=dict)  # why, by event, for the first that failed
    room_id: str = ""  # the one that is looked through
    next: str | None = None  # from where on; None: the room is done
    in_room: int = 0  # found in it

    def progress(self) -> JobProgress:
        return JobProgress(self.found, None, asdict(self))

    def after(self, step: RedactedEvents) -> "_SoFar":
        count = len(step.done) + len(step.failed)
        return replace(
            self.after_looking(count, step.next),
            redacted=self.redacted + len(step.done),
            failed=self.failed + len(step.failed),
            errors=dict([*self.errors.items(), *((one.event_id, one.reason) for one in step.failed)][:MOST_ERRORS]),
        )

    def after_looking(self, count: int, following: str | None) -> "_SoFar":
        return replace(self, found=self.found + count, in_room=self.in_room + count, next=following)


class UserRedaction:
    """Does such jobs. Their subject is the user."""

    name: Final = KIND

    def __init__(self, database: Database, moderation: RoomModeration, bounds: StepBounds = BOUNDS) -> None:
        self._database = database
        self._sent = SentEvents(database, moderation, bounds)

    async def step(self, job: Job) -> Step:
        """Look through one stretch of a room, and redact what is found there."""
        wish, so_far = RedactionWish(**job.arguments), _SoFar(**job.progress.outcome)
        if so_far.next is None:
            room_id = await self._database.read(_next_room, UserID(job.subject), wish, so_far.room_id)
            if room_id is None:
                return Step(so_far.progress(), is_last=True)
            so_far = replace(so_far, room_id=room_id, in_room=0, rooms=so_far.rooms + 1)
        users = Users(UserID(job.subject))
        said = Said(RoomID(so_far.room_id), users, wish.since_ms, wish.until_ms, with_state=True)
        try:
            so_far = await self._go_on(said, wish, so_far)
        except NotFound:  # a room of which nothing is here
            so_far = replace(so_far, next=None)
        is_enough = wish.limit is not None and so_far.in_room >= wish.limit
        return Step((replace(so_far, next=None) if is_enough else so_far).progress())

    def may_be_cancelled(self, job: Job) -> bool:  # noqa: ARG002 - of no job it matters how far it is
        """Always: what is redacted is, and the rest is not."""
        return True

    async def _go_on(self, said: Said, wish: RedactionWish, so_far: _SoFar) -> _SoFar:
        most = None if wish.limit is None else wish.limit - so_far.in_room
        if wish.is_dry_run:
            step = await self._sent.find(said, so_far.next, most)
            return so_far.after_looking(len(step.found), step.next)
        return so_far.after(await self._sent.redact(said, wish.reason, so_far.next, most))


class UserRedactions:
    """Has such jobs done, and tells how far they are."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def begin(self, user_id: UserID, wish: RedactionWish, *, asked_by: UserID | None) -> Job:
        """Begin to redact what a user said. Raises InvalidParameter, also while that goes on already; LimitExceeded."""
        wish.check()
        return await self._jobs.schedule(KIND, user_id, asdict(wish), asked_by=asked_by)

    async def job(self, job_id: str) -> Job:
        """One of these jobs. Raises NotFound."""
        job = await self._jobs.job(job_id)
        if job.kind != KIND:
            raise NotFound("There is no such job")
        return job


def _next_room(tx: Transaction, user_id: UserID, wish: RedactionWish, after: str) -> RoomID | None:
    if wish.rooms:
        return min((RoomID(room_id) for room_id in wish.rooms if room_id > after), default=None)
    return next_room_of_user(tx, user_id, after)
