"""Brings the history of rooms from other servers, where it breaks off here.

Below a user's join, and where this server was away for long, there are events whose previous events are not here: gaps
(storage/waiting_events.py). A batch of events below one is asked for; those that it is really built on are judged and
put where they belong (services/events/intake.py), in the state that the same server gives for the oldest of them. So
no server can bring anything that an accepted event does not stand on, and nothing that it brings changes the present.
Servers are asked in turn; where none is of any use, the gap rests for longer and longer.

Whoever reads back to a gap waits for this (services/rooms/room_history.py). Without being asked, a loop sees to the
newest events of each room: after a join, and after an outage.
Spec: server-server-api/#backfilling-and-retrieving-missing-events
"""

from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, Protocol

from homeserver.core.identifiers import EventID, RoomID, ServerName, server_name_of_user
from homeserver.outbound.errors import RemoteError, RemoteNonsense
from homeserver.runtime.clock import Clock
from homeserver.runtime.flights import Flights
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import MOST_OF_HISTORY, Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.federation.event_fetching import (
    MOST_BYTES,
    Budget,
    EventFetching,
    EventSource,
    Exhausted,
    in_order,
)
from homeserver.services.federation.pauses import Pauses
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent, events_by_id, place_below_newest
from homeserver.storage.room_servers import is_server_in_room, largest_servers
from homeserver.storage.rooms import RoomHead, find_head
from homeserver.storage.waiting_events import OpenGap, open_gaps, rooms_with_open_gaps

LOOP: Final = "history"
EVERY_S: Final = 30.0
BETWEEN_BATCHES_S: Final = 1.0
SEEN_TO_S: Final = 600.0  # a room that lacks nothing is looked at again
KEPT_WHOLE: Final = 300  # of the newest events of a room no gap is left without having been asked for
ROOMS_PER_READ: Final = 100
MOST_ROOMS_AT_ONCE: Final = 16
ALL_PLACES: Final = 2**62

ATTEMPT_S: Final = 30.0
BACKFILL_S: Final = 15.0
MOST_REQUESTS: Final = 150  # of an attempt
MOST_SERVERS: Final = 4
MOST_GAPS: Final = 100  # that are looked at
MOST_ASKED_FOR: Final = 20  # events below one gap
MOST_STATES: Final = 10  # of a batch
MOST_AUTH_CHAINS: Final = 5

log = get_logger(__name__)

# Any: JSON of other servers.


class BackfillSource(EventSource, Protocol):
    """Asks other servers for history. See outbound/federation_client.py."""

    async def backfill(
        self,
        destination: ServerName,
        room_id: RoomID,
        event_ids: Iterable[EventID],
        limit: int,
        *,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Any]:
        """Events before `event_ids`, and these. Raises RemoteError."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Where a room's history breaks off, and who may know more."""

    head: RoomHead
    event: StoredEvent
    missing: Sequence[EventID]
    servers: Sequence[ServerName]

    @property
    def key(self) -> tuple[RoomID, EventID]:
        return self.head.room_id, self.event.event.event_id


class Backfill:
    """The one that brings history. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        source: BackfillSource,
        receipt: Receipt,
        intake: Intake,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self.counts: Final[Counter[str]] = Counter()
        self._database = database
        self._source = source
        self._fetching = EventFetching(database, source, receipt, intake, self.counts)
        self._intake = intake
        self._clock = clock
        self._server_name = server_name
        self._pauses: Pauses[tuple[RoomID, EventID]] = Pauses(clock)
        self._room_pauses: Pauses[RoomID] = Pauses(clock)
        self._seen_to: dict[RoomID, float] = {}  # until when nothing more is to be done for a room
        self._flights: Flights[RoomID] | None = None
        self._is_stopping = False

    # From outside

    def start(self, loops: Loops) -> None:
        """Begin to look after the newest events of all rooms."""
        self._flights = Flights(loops, self._clock, "backfill")
        loops.start(LOOP, self._run, EVERY_S)

    def stop(self) -> None:
        """Begin no further attempt."""
        self._is_stopping = True

    async def fill(self, room_id: RoomID, *, upto: int, down_to: int, timeout_s: float) -> bool:
        """Bring some of what lies below the newest gap at these places; whether there is more to be read now.

        Of a room there is one attempt at a time. False too if it takes longer than `timeout_s`.
        """
        flights = self._flights
        if flights is None or self._is_stopping:
            return False
        if len(flights) >= MOST_ROOMS_AT_ONCE and not flights.is_under_way(room_id):
            self.counts["too_many_rooms"] += 1
            return False
        return await flights.join(room_id, lambda: self._attempt(room_id, upto, down_to), timeout_s=timeout_s)

    def forget_room(self, room_id: RoomID) -> None:
        """A room was deleted: should it come again, its history is to be looked for."""
        self._seen_to.pop(room_id, None)

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_backfill",
            "Requests for history, events that were brought, and what came of the attempts.",
            ["kind"],
            lambda: {(kind,): number for kind, number in self.counts.items()},
        )

    # Rooms in turn

    async def _run(self) -> None:
        """See to the newest events of each room, one room at a time."""
        now_s = self._clock.seconds()
        self._seen_to = {room_id: until_s for room_id, until_s in self._seen_to.items() if until_s > now_s}
        after = ""
        while not self._is_stopping:
            rooms = await self._database.read(rooms_with_open_gaps, after=after, limit=ROOMS_PER_READ)
            for room_id in rooms:
                await self._see_to(room_id)
            if len(rooms) < ROOMS_PER_READ:
                return
            after = rooms[-1]

    async def _see_to(self, room_id: RoomID) -> None:
        if self._seen_to.get(room_id, 0.0) > self._clock.seconds():
            return
        while not self._is_stopping and not self._room_pauses.rests(room_id):
            lowest = await self._database.read(place_below_newest, room_id, number=KEPT_WHOLE)
            down_to = -ALL_PLACES if lowest is None else lowest
            if await self._find(room_id, ALL_PLACES, down_to) is None:
                self._seen_to[room_id] = self._clock.seconds() + SEEN_TO_S
                return
            if not await self.fill(room_id, upto=ALL_PLACES, down_to=down_to, timeout_s=ATTEMPT_S):
                self._room_pauses.put_off(room_id)
                return
            self._room_pauses.forget(room_id)
            await self._clock.sleep(BETWEEN_BATCHES_S)

    # One gap

    async def _attempt(self, room_id: RoomID, upto: int, down_to: int) -> bool:
        """Ask servers for a batch, until one has given something; whether there is more to be read now."""
        gap = await self._find(room_id, upto, down_to)
        if gap is None:
            return False
        self.counts["attempts"] += 1
        self._pauses.put_off(gap.key)
        budget = Budget(self._clock, self._clock.seconds() + ATTEMPT_S, MOST_REQUESTS)
        try:
            for server in gap.servers:
                try:
                    taken = await self._take_batch(gap, server, budget)
                except RemoteError as error:
                    log.debug("a server gives no history", server=server, room_id=room_id, reason=error.reason)
                    continue
                if taken is not None:
                    self._pauses.forget(gap.key)
                    self.counts["events"] += taken
                    return taken > 0
        except Exhausted:
            self.counts["exhausted"] += 1
        self.counts["in_vain"] += 1
        return False

    async def _find(self, room_id: RoomID, upto: int, down_to: int) -> _Gap | None:
        """The newest gap at these places that does not rest, if there is anybody to ask."""
        resting = frozenset(key for key, _ in self._pauses.resting())
        return await self._database.read(self._read_gap, room_id, upto, down_to, resting)

    def _read_gap(
        self, tx: Transaction, room_id: RoomID, upto: int, down_to: int, resting: Set[tuple[RoomID, EventID]]
    ) -> _Gap | None:
        head = find_head(tx, room_id)
        if head is None or head.is_blocked or head.is_partial:
            return None
        gaps = [gap for gap in open_gaps(tx, room_id, upto=upto, limit=MOST_GAPS) if gap.place > down_to]
        newest = next((gap for gap in gaps if (room_id, gap.event_id) not in resting), None)
        if newest is None or not is_server_in_room(tx, room_id, self._server_name):
            return None
        event = events_by_id(tx, [newest.event_id]).get(newest.event_id)
        if event is None:
            return None
        missing = _missing_to(newest.event_id, gaps)[:MOST_ASKED_FOR]
        return _Gap(head, event, missing, self._servers_to_ask(tx, room_id, event))

    def _servers_to_ask(self, tx: Transaction, room_id: RoomID, stored: StoredEvent) -> list[ServerName]:
        """Who gave the state before the event, who made it, and the largest in the room."""
        largest = largest_servers(tx, room_id, but=self._server_name, limit=2 * MOST_SERVERS)
        first = [stored.root_given_by, server_name_of_user(stored.event.sender)]
        known = [server for server in first if server is not None and is_server_in_room(tx, room_id, server)]
        others = [server for server in (*known, *largest) if server != self._server_name]
        return list(dict.fromkeys(others))[:MOST_SERVERS]

    async def _take_batch(self, gap: _Gap, server: ServerName, budget: Budget) -> int | None:
        """How many events a server gave that are shown now; None if it has none of the missing ones.

        Raises RemoteError, Exhausted.
        """
        timeout_s = budget.spend(BACKFILL_S)
        self.counts["backfill"] += 1
        head = gap.head
        pdus = await self._source.backfill(
            server, head.room_id, gap.missing, MOST_OF_HISTORY, timeout_s=timeout_s, most_bytes=MOST_BYTES
        )
        fetched = await self._fetching.check(head, pdus[:MOST_OF_HISTORY])
        batch = await self._below(head, gap.missing, fetched.received)
        if not batch:
            return None
        given = await self._states(head, batch, server, budget)
        await self._bring_auth_events(head, batch, server, budget)
        outcomes = await self._intake.take_history(head.room_id, head.version, batch, given)
        if not any(outcomes.get(event_id, Outcome.DROPPED) is not Outcome.DROPPED for event_id in gap.missing):
            raise RemoteNonsense("the history cannot be judged by what is told with it")
        taken = [outcomes[one.encoded.event.event_id] for one in batch]
        return sum(outcome is Outcome.ACCEPTED for outcome in taken)

    async def _below(
        self, head: RoomHead, missing: Sequence[EventID], received: dict[EventID, Received]
    ) -> list[Received]:
        """Those of the events that are missing, or before such ones, and have no place here; the oldest first."""
        placed = await self._fetching.here(head, list(received), needs_state=True)
        found: dict[EventID, Received] = {}
        left = list(missing)
        while left:
            event_id = left.pop()
            if event_id in received and event_id not in found and event_id not in placed:
                found[event_id] = received[event_id]
                left += received[event_id].encoded.event.prev_event_ids
        return in_order(found, lambda event: (*event.prev_event_ids, *event.auth_event_ids))

    async def _states(
        self, head: RoomHead, batch: Sequence[Received], server: ServerName, budget: Budget
    ) -> dict[EventID, GivenState]:
        """The states before those events of a batch whose previous events are neither in it nor here.

        Raises RemoteError, Exhausted.
        """
        events = [one.encoded.event for one in batch]
        in_batch = {event.event_id for event in events}
        named = [event_id for event in events for event_id in event.prev_event_ids if event_id not in in_batch]
        lacking = set(await self._fetching.lacking(head, named, needs_state=True))
        given: dict[EventID, GivenState] = {}
        by_previous: dict[frozenset[EventID], GivenState] = {}
        for event in events:
            previous = frozenset(event.prev_event_ids)
            if lacking.isdisjoint(previous):
                continue
            if previous not in by_previous:
                if len(by_previous) >= MOST_STATES:
                    raise RemoteNonsense("the history comes from too many sides")
                by_previous[previous] = await self._fetching.state_before(head, event, server, budget)
            given[event.event_id] = by_previous[previous]
        return given

    async def _bring_auth_events(
        self, head: RoomHead, batch: Sequence[Received], server: ServerName, budget: Budget
    ) -> None:
        """Have what authorises the events of a batch here, where the states before them did not have it."""
        events = [one.encoded.event for one in batch]
        in_batch = {event.event_id for event in events}
        named = [event_id for event in events for event_id in event.auth_event_ids if event_id not in in_batch]
        for _ in range(MOST_AUTH_CHAINS):
            lacking = set(await self._fetching.lacking(head, named))
            if not lacking:
                return
            event = next(event for event in events if not lacking.isdisjoint(event.auth_event_ids))
            await self._fetching.bring_auth_chain(head, event, server, budget)


def _missing_to(event_id: EventID, gaps: Sequence[OpenGap]) -> list[EventID]:
    return [gap.missing_id for gap in gaps if gap.event_id == event_id]
