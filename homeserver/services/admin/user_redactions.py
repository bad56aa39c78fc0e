"""Taking back all that a user of any server said, in all rooms or some, within a time: as a job, the newest first.

Each event is redacted by the server's hand, as room_moderation.py does; which state stays is in storage/sent_events.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from homeserver.core.errors import BadIdentifier, ProtocolError
from homeserver.core.identifiers import EventID, RoomID, UserID, parse_room_id
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.admin.room_moderation import RoomModeration
from homeserver.services.errors import InvalidParameter, NotFound, ServiceError
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.admin_jobs import Job, JobProgress
from homeserver.storage.database import Database, Transaction
from homeserver.storage.sent_events import Sent, next_room_of_user, sent_in_room

KIND: Final = "redact_user"
SCANNED: Final = 2_000  # events of a room that are looked through in a step
AT_ONCE: Final = 50  # events that are redacted in a step
MOST_ROOMS: Final = 1_000
MOST_ERRORS: Final = 100  # that are told of
LATEST_MS: Final = 2**53
ABOVE_ALL: Final = 2**62  # places


@dataclass(frozen=True, slots=True)
class RedactionWish:
    """What is to be redacted: without rooms in all, and with a limit so many in each; a dry run only counts."""

    rooms: Sequence[str] = ()
    since_ms: int = 0
    until_ms: int = LATEST_MS
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
        if not 0 <= self.since_ms < self.until_ms <= LATEST_MS:
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
    below: int | None = None  # from where on; None: the room is done
    in_room: int = 0  # found in it

    def progress(self) -> JobProgress:
        return JobProgress(self.found, None, asdict(self))


class UserRedaction:
    """Does such jobs. Their subject is the user."""

    name: Final = KIND

    def __init__(
        self, database: Database, moderation: RoomModeration, *, scanned: int = SCANNED, at_once: int = AT_ONCE
    ) -> None:
        self._database = database
        self._moderation = moderation
        self._scanned = scanned
        self._at_once = at_once

    async def step(self, job: Job) -> Step:
        """Look through one stretch of a room, and redact what is found there."""
        wish, so_far = RedactionWish(**job.arguments), _SoFar(**job.progress.outcome)
        if so_far.below is None:
            room_id = await self._database.read(_next_room, UserID(job.subject), wish, so_far.room_id)
            if room_id is None:
                return Step(so_far.progress(), is_last=True)
            so_far = replace(so_far, room_id=room_id, below=ABOVE_ALL, in_room=0, rooms=so_far.rooms + 1)
        left = self._at_once if wish.limit is None else min(self._at_once, wish.limit - so_far.in_room)
        page = await self._database.read(
            sent_in_room,
            RoomID(so_far.room_id),
            Sent(UserID(job.subject), wish.since_ms, wish.until_ms),
            below=ABOVE_ALL if so_far.below is None else so_far.below,
            scanned=self._scanned,
            limit=left,
        )
        for event_id in page.event_ids:
            so_far = await self._redact(so_far, event_id, wish)
        is_enough = wish.limit is not None and so_far.in_room >= wish.limit
        return Step(replace(so_far, below=None if is_enough else page.below).progress())

    def may_be_cancelled(self, job: Job) -> bool:  # noqa: ARG002 - of no job it matters how far it is
        """Always: what is redacted is, and the rest is not."""
        return True

    async def _redact(self, so_far: _SoFar, event_id: EventID, wish: RedactionWish) -> _SoFar:
        so_far = replace(so_far, found=so_far.found + 1, in_room=so_far.in_room + 1)
        if wish.is_dry_run:
            return so_far
        try:
            await self._moderation.redact(RoomID(so_far.room_id), event_id, wish.reason)
        except (ServiceError, ProtocolError) as refused:
            errors = dict(so_far.errors)
            if len(errors) < MOST_ERRORS:
                errors[event_id] = refused.reason
            return replace(so_far, failed=so_far.failed + 1, errors=errors)
        return replace(so_far, redacted=so_far.redacted + 1)


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
