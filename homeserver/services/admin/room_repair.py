"""Repairing a room: what follows from its events is put right, what is missing is fetched, and all of it is told.

It is a kind of job (jobs.py), of five steps: an audit (room_audit.py); the restoring of events that were lost or
damaged, by other servers (room_restoring.py); the mending of what is stored here and follows from events
(room_mending.py); a comparison with other servers (services/federation/room_comparison.py), whose events that are not
here are taken in as though they had sent them, and who are sent what they lack; and an audit again. Nothing that other
servers say overwrites anything: what is restored is the very event with that ID, other events are judged like all
others, and the state is what state resolution says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.outbound.errors import RemoteError
from homeserver.runtime.clock import Clock
from homeserver.services.admin.jobs import Jobs, Step
from homeserver.services.admin.room_audit import KnownKeys, RoomAudit
from homeserver.services.admin.room_mending import BEGIN, Point, RoomMending, Slice
from homeserver.services.admin.room_restoring import RoomRestoring
from homeserver.services.errors import InvalidParameter, RoomIsPartial
from homeserver.services.events.intake import Outcome
from homeserver.services.federation.event_recovery import EventRecovery
from homeserver.services.federation.missing_events import MissingEvents
from homeserver.services.federation.room_comparison import Comparison, RoomComparison, ServerView, explained
from homeserver.services.rooms.known_rooms import known_head
from homeserver.storage.admin_jobs import Job, JobProgress
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.waiting_events import gaps_of_waiting

KIND: Final = "repair_room"
STEPS: Final = 5
MOST_TOLD: Final = 100  # sentences of an outcome
MOST_GAPS: Final = 1_000


class RoomRepair:
    """Asks for rooms to be repaired."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def repair(self, room_id: RoomID, *, dry_run: bool, asked_by: UserID | None) -> Job:
        """Have a room repaired. Raises NotFound, InvalidParameter while that is in progress."""
        await self._database.read(known_head, room_id)
        return await self._jobs.schedule(KIND, room_id, {"dry_run": dry_run}, asked_by=asked_by)


@dataclass(frozen=True, slots=True)
class OtherServers:
    """What a repair needs of them; `retry` has what waits for one of them sent now."""

    comparison: RoomComparison
    missing_events: MissingEvents
    recovery: EventRecovery
    retry: Callable[[ServerName], None]


class _TakenBack(Exception):  # noqa: N818 - nothing is wrong
    """Nothing of a dry run is written; what it came to."""

    def __init__(self, done: Slice) -> None:
        super().__init__()
        self.done = done


class RoomRepairJob:
    """Repairs rooms. The outcome tells in sentences what was `done`, and what could `not` be done and why."""

    name: Final = KIND

    def __init__(
        self,
        database: Database,
        keys: KnownKeys,
        others: OtherServers,
        forgetting: Sequence[Callable[[RoomID], None]],
        clock: Clock,
        server_name: ServerName,
        replaced: Callable[[StoredEvent], None],
    ) -> None:
        """`forgetting` is called with a room of which rows were changed: what is remembered of them is old.

        `replaced` is called with each event that is stored otherwise than before.
        """
        self._database = database
        self._keys = keys
        self._others = others
        self._restoring = RoomRestoring(database, keys, others.recovery, replaced)
        self._forgetting = forgetting
        self._clock = clock
        self._server_name = server_name

    def may_be_cancelled(self, job: Job) -> bool:  # noqa: ARG002 - see JobKind
        """Yes: each step is whole."""
        return True

    async def step(self, job: Job) -> Step:
        """Do the next of the five."""
        room_id, dry_run = RoomID(job.subject), bool(job.arguments["dry_run"])
        outcome: dict[str, Any] = {"dry_run": dry_run, "done": [], "not": [], **job.progress.outcome}  # Any: JSON
        done, left = list(outcome["done"]), list(outcome["not"])
        match job.progress.done:
            case 0:
                outcome["fault"] = await self._audit(room_id)
            case 1:
                if outcome["fault"] is not None:
                    await self._restore(room_id, done, left, dry_run=dry_run)
            case 2:
                await self._mend(room_id, done, left, dry_run=dry_run)
            case 3:
                await self._compare(room_id, done, left, dry_run=dry_run)
            case _:
                outcome["remaining_fault"] = outcome["fault"] if dry_run else await self._audit(room_id)
        outcome["done"], outcome["not"] = done[:MOST_TOLD], left[:MOST_TOLD]
        count = job.progress.done + 1
        return Step(JobProgress(count, STEPS, outcome), is_last=count >= STEPS)

    async def _audit(self, room_id: RoomID) -> str | None:
        audit = RoomAudit(room_id, self._keys, self._server_name)
        while await self._database.read(audit.go_on):
            pass
        return None if audit.fault is None else str(audit.fault)

    # --- What was lost ---

    async def _restore(self, room_id: RoomID, done: list[str], left: list[str], *, dry_run: bool) -> None:
        told = await self._restoring.restore(room_id, dry_run=dry_run)
        done += told.done
        left += told.left
        self._forget(room_id, has_changed=told.has_changed)

    # --- What is stored here ---

    async def _mend(self, room_id: RoomID, done: list[str], left: list[str], *, dry_run: bool) -> None:
        mending = RoomMending(room_id, self._keys, self._server_name)
        counts: dict[str, int] = {}
        point: Point | None = BEGIN
        while point is not None:
            came = await self._slice(mending, point, dry_run=dry_run)
            for what, number in came.mended.items():
                counts[what] = counts.get(what, 0) + number
            if came.refused is not None:
                left.append(f"What is stored here could not be put right beyond this: {came.refused}")
            point = came.following
        would = "would be " if dry_run else ""
        done += [f"{what}: {number} rows {would}put right" for what, number in counts.items()]
        self._forget(room_id, has_changed=bool(counts) and not dry_run)

    def _forget(self, room_id: RoomID, *, has_changed: bool) -> None:
        for forget in self._forgetting if has_changed else ():
            forget(room_id)

    async def _slice(self, mending: RoomMending, point: Point, *, dry_run: bool) -> Slice:
        def tried(tx: Transaction) -> Slice:
            raise _TakenBack(mending.slice(tx, point, self._clock.now_ms()))

        if not dry_run:
            return await self._database.write(mending.slice, point, self._clock.now_ms())
        try:
            return await self._database.write(tried)
        except _TakenBack as taken:
            return taken.done

    # --- What others have ---

    async def _compare(self, room_id: RoomID, done: list[str], left: list[str], *, dry_run: bool) -> None:
        try:
            comparison = await self._others.comparison.compare(room_id)
        except (InvalidParameter, RoomIsPartial) as refused:
            left.append(f"The room was not compared with other servers: {refused}")
            return
        if not dry_run:
            for view in comparison.servers:
                await self._take_newer(room_id, view, done, left)
                if view.lacks:
                    self._others.retry(view.server)
                    done.append(f"{view.server}: what waits for it is sent now")
            await self._fill_gaps(room_id, done, left)
            comparison = await self._others.comparison.compare(room_id)
        left += _remaining(comparison)

    async def _take_newer(self, room_id: RoomID, view: ServerView, done: list[str], left: list[str]) -> None:
        if not view.newer:
            return
        try:
            outcomes = await self._others.missing_events.bring(room_id, view.server, view.newer)
        except RemoteError as error:
            left.append(f"{view.server}: its events could not be fetched: {error.reason}")
            return
        if outcomes:
            done.append(f"{view.server}: {len(outcomes)} events were fetched: {_counted(outcomes)}")

    async def _fill_gaps(self, room_id: RoomID, done: list[str], left: list[str]) -> None:
        """Have what waits get what it lacks, as far as others have that."""
        before = await self._database.read(gaps_of_waiting, room_id, limit=MOST_GAPS)
        if not before:
            return
        await self._others.missing_events.look_now(room_id)
        after = await self._database.read(gaps_of_waiting, room_id, limit=MOST_GAPS)
        done.append(
            f"what waiting events lacked was looked for: {len(before)} events, of which {len(after)} are missing"
        )
        left += [f"{gap.event_id} still waits for {gap.missing_id}, which no server gave" for gap in after]


def _remaining(comparison: Comparison) -> list[str]:
    """What others have, and this server has not made its own: for their word alone changes nothing."""
    if all(view.finding.value == "agrees" and not view.newer for view in comparison.servers):
        return []
    return explained(comparison)


def _counted(outcomes: dict[EventID, Outcome]) -> str:
    counts = {kind: sum(one is kind for one in outcomes.values()) for kind in Outcome}
    return ", ".join(f"{number} {kind.name.lower().replace('_', '-')}" for kind, number in counts.items() if number)
