"""Deleting the history of a room up to an event, or up to a time: what was said there, and not what the room is.

Of the events below, these stay: all state, with what it was; the room's heads, and whatever else the room's row or its
log of states names; what has yet to be sent to other servers, and what is awaited by an event that waits; redactions of
what stays; what was soft-failed, which nobody is shown; and what users of this server said, unless it is to go, too:
nobody else may have it.

It is a kind of job (jobs.py). The events are gone through in the room's order, each slice in one write while the room
is held, so that nobody builds on what goes at that moment. What is built on them lacks them from then on, as it would
after an outage: other servers can give them again to whoever reads back that far. How rows go is in
storage/purged_history.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.errors import InvalidParameter, NotFound, RoomIsPartial
from homeserver.services.events.client_format import ClientFormat
from homeserver.services.events.collection import StateCollection
from homeserver.services.events.intake import received_of
from homeserver.services.events.room_state import EventCache
from homeserver.services.rooms.known_rooms import known_head
from homeserver.storage.admin_jobs import Job, JobProgress
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, events_by_id, events_forwards, find_event, first_place
from homeserver.storage.purged_history import count_events_below, delete_events, events_named_beside, unsent_among
from homeserver.storage.rooms import RoomHead, hold_room
from homeserver.storage.waiting_events import all_waiting

KIND: Final = "purge_history"
EVENTS_PER_STEP: Final = 200


@dataclass(frozen=True, slots=True)
class HistoryWishes:
    """What is to go: what stands below a place, and (if it is not None) was sent before a time by its own word."""

    upto_place: int
    before_ms: int | None = None
    with_local: bool = False  # what users of this server said, too


class HistoryPurge:
    """Asks for history to be deleted."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def purge_upto_event(
        self, room_id: RoomID, event_id: EventID, *, with_local: bool, asked_by: UserID | None
    ) -> Job:
        """Have what came before an event deleted. Raises NotFound, InvalidParameter while that is in progress."""
        place = await self._database.read(_place_of, room_id, event_id)
        return await self._schedule(room_id, HistoryWishes(place, None, with_local), asked_by)

    async def purge_before(self, room_id: RoomID, before_ms: int, *, with_local: bool, asked_by: UserID | None) -> Job:
        """Have what was sent before a time deleted. Raises as purge_upto_event."""
        head = await self._database.read(known_head, room_id)
        return await self._schedule(room_id, HistoryWishes(head.last_place, before_ms, with_local), asked_by)

    async def one(self, job_id: str) -> Job:
        """The purge that is this job. Raises NotFound."""
        job = await self._jobs.job(job_id)
        if job.kind != KIND:
            raise NotFound("This job deletes no history")
        return job

    async def _schedule(self, room_id: RoomID, wishes: HistoryWishes, asked_by: UserID | None) -> Job:
        return await self._jobs.schedule(KIND, room_id, asdict(wishes), asked_by=asked_by)


@dataclass(frozen=True, slots=True)
class _Slice:
    """What became of a slice of the history: up to which place it went, None when it is at its end."""

    upto: int | None
    deleted: Sequence[StoredEvent]
    followers: Sequence[EventID]
    seen: int


class HistoryPurgeJob:
    """Deletes history, a slice at a time; at the end, what nothing names any more of the room's states."""

    name: Final = KIND

    def __init__(
        self,
        database: Database,
        cache: EventCache,
        formats: ClientFormat,
        collection: StateCollection,
        server_name: ServerName,
        events_per_step: int = EVENTS_PER_STEP,
    ) -> None:
        self._database = database
        self._cache = cache
        self._formats = formats
        self._collection = collection
        self._server_name = server_name
        self._events_per_step = events_per_step

    def may_be_cancelled(self, job: Job) -> bool:  # noqa: ARG002 - see JobKind
        """Yes: each slice is whole."""
        return True

    async def step(self, job: Job) -> Step:
        """Go through the next slice. The outcome has its last place, and how many events were deleted so far."""
        room_id, wishes, progress = RoomID(job.subject), HistoryWishes(**job.arguments), job.progress
        total = progress.total
        if total is None:
            total = await self._database.read(count_events_below, room_id, wishes.upto_place)
        done = await self._database.write(self._purge, room_id, wishes, progress.outcome.get("place"))
        self._cache.forget([one.event.event_id for one in done.deleted], done.followers)
        self._formats.forget([one.nid for one in done.deleted])
        outcome: dict[str, Any] = {  # Any: JSON
            "place": done.upto,
            "events": progress.outcome.get("events", 0) + len(done.deleted),
        }
        if done.upto is not None:
            return Step(JobProgress(min(progress.done + done.seen, total), total, outcome))
        await self._collection.collect(room_id)
        return Step(JobProgress(total, total, outcome), is_last=True)

    def _purge(self, tx: Transaction, room_id: RoomID, wishes: HistoryWishes, after: int | None) -> _Slice:
        hold_room(tx, room_id)
        head = known_head(tx, room_id)
        if head.is_partial:
            raise RoomIsPartial(room_id)
        begin = first_place(tx, room_id) - 1 if after is None else after
        page = events_forwards(tx, room_id, place=begin, limit=self._events_per_step)
        below = [one for one in page if one.place is not None and one.place < wishes.upto_place]
        doomed = self._that_may_go(tx, head, below, wishes)
        followers = delete_events(tx, room_id, doomed, server_name=self._server_name) if doomed else ()
        is_last = len(below) < self._events_per_step
        return _Slice(None if is_last else below[-1].place, doomed, followers, len(below))

    def _that_may_go(
        self, tx: Transaction, head: RoomHead, events: Sequence[StoredEvent], wishes: HistoryWishes
    ) -> Sequence[StoredEvent]:
        if not events:
            return ()
        needed = {*head.heads, *events_named_beside(tx, head.room_id, events), *_awaited(tx, head)}
        needed |= unsent_among(tx, head.room_id, events)
        doomed = {
            one.event.event_id: one
            for one in events
            if one.event.state_key is None
            and one.event.event_id not in needed
            and one.place != head.last_place
            and one.event.depth != head.depth
            and self._is_wanted_gone(one, wishes)
        }
        targets = [one.event.redacts for one in doomed.values() if one.event.redacts is not None]
        staying = {target for target in events_by_id(tx, targets) if target not in doomed} if targets else set()
        return [one for one in doomed.values() if one.event.redacts is None or one.event.redacts not in staying]

    def _is_wanted_gone(self, one: StoredEvent, wishes: HistoryWishes) -> bool:
        if wishes.before_ms is not None and one.event.origin_server_ts >= wishes.before_ms:
            return False
        return wishes.with_local or server_name_of(one.event.sender) != self._server_name


def _awaited(tx: Transaction, head: RoomHead) -> set[EventID]:
    """What events that wait are built on."""
    awaited: set[EventID] = set()
    for waiting in all_waiting(tx, head.room_id):
        awaited.update(received_of(waiting, head.version).encoded.event.prev_event_ids)
    return awaited


def _place_of(tx: Transaction, room_id: RoomID, event_id: EventID) -> int:
    stored = find_event(tx, event_id)
    if stored is None or stored.event.room_id != room_id:
        raise NotFound("This server knows no such event in this room")
    if stored.place is None:
        raise InvalidParameter("The event has no place in the history of the room")
    return stored.place
