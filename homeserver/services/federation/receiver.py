"""Judges the events that other servers sent: room by room, in the order in which they came.

What came lies in a table until it is judged, so it survives the end of the process. A few rooms are worked on at once,
and take turns. Who puts events there is in inbound_transactions.py, how one is judged in services/events/receipt.py and
intake.py, and what becomes of those that lack ancestors in missing_events.py.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final

from homeserver.core.canonical_json import decode_lenient
from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.room_versions import RoomVersion
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.services.errors import LimitExceeded
from homeserver.services.events.intake import Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.storage.database import Database, DatabaseUnavailable, OutcomeUnknown, Transaction
from homeserver.storage.inbound_transactions import (
    NewPDU,
    StagedPDU,
    first_staged,
    forget_staged,
    stage_pdus,
    staged_amounts,
)
from homeserver.storage.rooms import find_head

LOOP: Final = "received events"
LANES: Final = 4  # rooms that are worked on at once
IDLE_S: Final = 60.0
EVENTS_AT_ONCE: Final = 50
MOST_TRIES: Final = 5  # of an event at which this server fails
LONGEST_REST_S: Final = 300.0
MIB: Final = 1 << 20
MOST_BYTES_OF_ORIGIN: Final = 32 * MIB
MOST_BYTES: Final = 1024 * MIB
MOST_EVENTS_OF_ROOM: Final = 20_000
RETRY_AFTER_MS: Final = 10_000

log = get_logger(__name__)


@dataclass(slots=True)
class _Backlog:
    """What waits in a room: how many events, and since when the oldest does, or one that came before it."""

    count: int
    since_ms: int


class Receiver:
    """The one that judges. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        receipt: Receipt,
        intake: Intake,
        policies: PolicyServers,
        clock: Clock,
        *,
        most_bytes_of_origin: int = MOST_BYTES_OF_ORIGIN,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.outcomes: Final[Counter[str]] = Counter()
        self._database = database
        self._receipt = receipt
        self._intake = intake
        self._policies = policies
        self._clock = clock
        self._most_bytes_of_origin = most_bytes_of_origin
        self._most_bytes = most_bytes
        self._loops: Loops | None = None
        self._is_stopping = False
        self._bytes: Counter[ServerName] = Counter()  # that wait
        self._backlogs: dict[RoomID, _Backlog] = {}
        self._ready: OrderedDict[RoomID, None] = OrderedDict()  # rooms whose turn it is next
        self._busy: set[RoomID] = set()  # rooms that are worked on, or rest after a failure
        self._tries: Counter[RoomID] = Counter()
        self._failures: Counter[RoomID] = Counter()  # in a row, those of the database too

    # From outside

    async def start(self, loops: Loops) -> None:
        """Begin to judge, with what a run before this one has left."""
        for amount in await self._database.read(staged_amounts):
            self._add(amount.room_id, amount.origin, amount.count, amount.size_bytes)
        self._loops = loops
        for lane in range(LANES):
            loops.start(f"{LOOP} {lane + 1}", self._run, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin with no further events."""
        self._is_stopping = True

    def check_amount(self, origin: ServerName, size_bytes: int) -> None:
        """Raises LimitExceeded when so much more of the server's may not wait."""
        of_origin = self._bytes[origin] + size_bytes
        if of_origin > self._most_bytes_of_origin or self._bytes.total() + size_bytes > self._most_bytes:
            raise LimitExceeded(RETRY_AFTER_MS, "Too many events wait to be judged")

    def is_full(self, room_id: RoomID) -> bool:
        """Whether no more events of a room may wait."""
        backlog = self._backlogs.get(room_id)
        return backlog is not None and backlog.count >= MOST_EVENTS_OF_ROOM

    def stage(self, tx: Transaction, origin: ServerName, pdus: Sequence[NewPDU], now_ms: int) -> None:
        """Keep events to be judged, which begins once they are committed."""

        def begin() -> None:
            for one in pdus:
                self._add(one.room_id, origin, 1, len(one.pdu))
            self._wake()

        stage_pdus(tx, origin, pdus, now_ms=now_ms)
        tx.after_commit(begin)

    @property
    def waiting(self) -> int:
        """How many events are not judged yet."""
        return sum(backlog.count for backlog in self._backlogs.values())

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_received",
            "PDUs from other servers, by what became of them.",
            ["outcome"],
            lambda: {(outcome,): number for outcome, number in self.outcomes.items()},
        )
        metrics.gauge(
            "columba_federation_staged", "PDUs that came and are not judged yet.", [], lambda: {(): self.waiting}
        )
        metrics.gauge(
            "columba_federation_receive_lag_seconds",
            "For how long the oldest of them has waited.",
            [],
            lambda: {(): self._lag_s()},
        )

    # Rooms in turn

    def _lag_s(self) -> float:
        now_ms = self._clock.now_ms()
        return max((now_ms - backlog.since_ms for backlog in self._backlogs.values()), default=0) / 1000

    def _add(self, room_id: RoomID, origin: ServerName, count: int, size_bytes: int) -> None:
        self._bytes[origin] += size_bytes
        backlog = self._backlogs.get(room_id)
        if backlog is None:
            backlog = self._backlogs[room_id] = _Backlog(0, self._clock.now_ms())
        backlog.count += count
        if room_id not in self._busy:
            self._ready[room_id] = None

    def _wake(self) -> None:
        if self._loops is not None and not self._is_stopping:
            for lane in range(LANES):
                self._loops.hurry(f"{LOOP} {lane + 1}")

    async def _run(self) -> None:
        while self._ready and not self._is_stopping:
            room_id, _ = self._ready.popitem(last=False)
            self._busy.add(room_id)
            try:
                await self._take_some(room_id)
            finally:
                failures = self._failures[room_id]
                if failures:
                    rest_s = min(2.0 ** min(failures, 16), LONGEST_REST_S)
                    self._clock.call_later(rest_s, partial(self._end_turn, room_id))
                else:
                    self._end_turn(room_id)

    def _end_turn(self, room_id: RoomID) -> None:
        self._busy.discard(room_id)
        if room_id in self._backlogs:
            self._ready[room_id] = None
            self._wake()

    async def _take_some(self, room_id: RoomID) -> None:
        """Judge the events of a room that came first.

        Where that failed they are taken one by one, and one at which it fails again and again is given up: a fault of
        this server must not end a room.
        """
        self._failures[room_id] += 1  # until it has succeeded
        self._tries[room_id] += 1
        tries = self._tries[room_id]
        try:
            staged = await self._database.read(first_staged, room_id, limit=EVENTS_AT_ONCE if tries == 1 else 1)
            if tries > MOST_TRIES:
                self._count("given up", len(staged))
                log.error("an event from another server could not be judged and is given up", room_id=room_id)
            else:
                await self._judge(room_id, staged)
            await self._database.write(forget_staged, [one.number for one in staged])
        except (DatabaseUnavailable, OutcomeUnknown):
            self._tries[room_id] -= 1  # it is not the event's fault
            raise
        del self._tries[room_id], self._failures[room_id]
        self._remove(room_id, staged)

    def _remove(self, room_id: RoomID, staged: Sequence[StagedPDU]) -> None:
        for one in staged:
            self._bytes[one.origin] -= len(one.pdu)
            if self._bytes[one.origin] <= 0:
                del self._bytes[one.origin]
        backlog = self._backlogs[room_id]
        backlog.count -= len(staged)
        if backlog.count <= 0 or not staged:
            del self._backlogs[room_id]
        else:
            backlog.since_ms = staged[-1].received_ms

    # Judging

    async def _judge(self, room_id: RoomID, staged: Sequence[StagedPDU]) -> None:
        head = await self._database.read(find_head, room_id)
        if head is None:  # it was, when they came
            self._count(Outcome.DROPPED.name.lower(), len(staged))
            return
        for origin, some in groupby(staged, lambda one: one.origin):
            await self._judge_from(origin, room_id, head.version, [one.pdu for one in some])

    async def _judge_from(
        self, origin: ServerName, room_id: RoomID, version: RoomVersion, pdus: Sequence[bytes]
    ) -> None:
        judged = await self._receipt.check([decode_lenient(pdu) for pdu in pdus], version)
        received = [one for one in judged if isinstance(one, Received)]
        self._count("refused", len(judged) - len(received))
        received = await self._policies.with_signatures(room_id, received)
        outcomes = await self._intake.take(room_id, version, received, received_from=origin)
        for one in received:
            self._count(outcomes[one.encoded.event.event_id].name.lower(), 1)

    def _count(self, outcome: str, number: int) -> None:
        if number:
            self.outcomes[outcome] += number
