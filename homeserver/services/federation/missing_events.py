"""Finds what events wait for that another server sent: their ancestors, or the state where those cannot be had.

First the server is asked for what lies between its event and what is here. Where a gap stays, the state before the
event is asked for, and the event is judged in that; what lies behind the gap stays missing. Auth events are asked for
by themselves. Room by room, one attempt at a time; what was not found is looked for again later and later.

How servers are asked, and what is made of their answers, is in event_fetching.py.
Spec: server-server-api/#retrieving-events-and-state
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, ServerName, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.outbound.errors import RemoteError, Unreachable
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Intake, Outcome, received_of
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.federation.event_fetching import (
    MOST_BYTES,
    REQUEST_S,
    Budget,
    EventFetching,
    EventSource,
    Exhausted,
    in_order,
)
from homeserver.services.federation.pauses import Pauses
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import events_by_id
from homeserver.storage.room_servers import servers_in_room
from homeserver.storage.rooms import RoomHead, find_head
from homeserver.storage.waiting_events import (
    Gap,
    WaitingEvent,
    find_waiting,
    gaps_of_waiting,
    lacks_not,
    rooms_with_waiting,
)

LOOP: Final = "missing events"
LANES: Final = 4  # rooms at once
IDLE_S: Final = 60.0

ATTEMPT_S: Final = 180.0

ROUNDS: Final = 3
EVENTS_PER_ROUND: Final = 20
MOST_GAPS: Final = 1_000  # that are looked at
MOST_LATEST: Final = 20  # events whose ancestors are asked for at once
MOST_EARLIEST: Final = 20
MOST_UNREACHED: Final = 1_000  # servers that are remembered, and rooms of each
MOST_AT_GAP: Final = 10  # events of an attempt for which a state is asked for
MOST_SERVERS: Final = 4

log = get_logger(__name__)

# Any: JSON of other servers.


class HistorySource(EventSource, Protocol):
    """Asks other servers for events, those before others too. See outbound/federation_client.py."""

    async def get_missing_events(
        self,
        destination: ServerName,
        room_id: RoomID,
        *,
        earliest: Sequence[EventID],
        latest: Sequence[EventID],
        limit: int,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Any]:
        """Events on which `latest` are built, down to `earliest`. Raises RemoteError."""


@dataclass(frozen=True, slots=True)
class _Room:
    """A room in which events wait."""

    head: RoomHead
    gaps: Sequence[Gap]
    servers: frozenset[ServerName]

    @property
    def room_id(self) -> RoomID:
        return self.head.room_id

    @property
    def version(self) -> RoomVersion:
        return self.head.version


class MissingEvents:
    """The one that looks for them. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        source: HistorySource,
        receipt: Receipt,
        intake: Intake,
        policies: PolicyServers,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self.counts: Final[Counter[str]] = Counter()
        self._database = database
        self._source = source
        self._fetching = EventFetching(database, source, receipt, intake, self.counts)
        self._intake = intake
        self._policies = policies
        self._clock = clock
        self._server_name = server_name
        self._loops: Loops | None = None
        self._is_stopping = False
        self._ready: OrderedDict[RoomID, None] = OrderedDict()
        self._busy: dict[RoomID, bool] = {}  # rooms that are worked on; whether more came for them meanwhile
        self._later: dict[RoomID, float] = {}  # when to look again
        self._pauses: Pauses[tuple[RoomID, EventID]] = Pauses(clock)
        # Which rooms would have asked a server that could not be reached.
        self._unreached: OrderedDict[ServerName, set[RoomID]] = OrderedDict()

    # From outside

    async def start(self, loops: Loops) -> None:
        """Begin to look, also for what was missing when a run before this one ended."""
        for room_id in await self._database.read(rooms_with_waiting):
            self._ready[room_id] = None
        self._loops = loops
        for lane in range(LANES):
            loops.start(f"{LOOP} {lane + 1}", self._run, IDLE_S, first_after_s=0.0)

    def stop(self) -> None:
        """Begin no further attempt."""
        self._is_stopping = True

    def wake(self, room_id: RoomID) -> None:
        """An event of the room lacks ancestors."""
        if room_id in self._busy:
            self._busy[room_id] = True
            return
        self._ready[room_id] = None
        if self._loops is not None and not self._is_stopping:
            for lane in range(LANES):
                self._loops.hurry(f"{LOOP} {lane + 1}")

    async def look_now(self, room_id: RoomID) -> None:
        """Look at once for what a room lacks, however short a time ago that was done in vain."""
        for key in [key for key, _ in self._pauses.resting() if key[0] == room_id]:
            self._pauses.cut_short(key)
        if room_id in self._busy:
            self._busy[room_id] = True
            return
        self._ready.pop(room_id, None)
        await self._take_turn(room_id)

    async def bring(self, room_id: RoomID, server: ServerName, event_ids: Sequence[EventID]) -> dict[EventID, Outcome]:
        """Take in events that a server has, as though it had sent them; what they lack is looked for next.

        What it does not give, or what is not as its own server signed it, is left out. Raises RemoteError.
        """
        head = await self._database.read(find_head, room_id)
        if head is None or head.is_partial:
            return {}
        budget = Budget(self._clock, self._clock.seconds() + ATTEMPT_S)
        try:
            pdus = await self._fetching.events(event_ids, server, budget)
        except Exhausted:
            return {}
        fetched = await self._fetching.check(head, pdus)
        wanted = {event_id: one for event_id, one in fetched.received.items() if event_id in set(event_ids)}
        ordered = in_order(wanted, lambda event: (*event.prev_event_ids, *event.auth_event_ids))
        ordered = await self._policies.with_signatures(room_id, ordered)
        return await self._intake.take(room_id, head.version, ordered, received_from=server, is_found=True)

    def note_reachable(self, server: ServerName | None) -> None:
        """A server that could not be reached may be asked again: so it is, by all rooms that would have."""
        rooms = self._unreached.pop(server, set()) if server is not None else set()
        for key in [key for key, _ in self._pauses.resting() if key[0] in rooms]:
            self._pauses.cut_short(key)
        for room_id in rooms:
            self.wake(room_id)

    def export(self, metrics: Metrics) -> None:
        """Show what goes on."""
        metrics.counter(
            "columba_federation_missing",
            "Requests for missing events, and what came of the attempts.",
            ["kind"],
            lambda: {(kind,): number for kind, number in self.counts.items()},
        )
        metrics.gauge(
            "columba_federation_looking",
            "Rooms whose missing events are looked for, or next.",
            [],
            lambda: {(): len(self._ready) + len(self._busy)},
        )

    # Rooms in turn

    async def _run(self) -> None:
        now_s = self._clock.seconds()
        due = [room_id for room_id, due_s in self._later.items() if due_s <= now_s]
        for room_id in due:
            del self._later[room_id]
        for room_id in due:
            self.wake(room_id)  # the other lanes begin at once
        while self._ready and not self._is_stopping:
            room_id, _ = self._ready.popitem(last=False)
            await self._take_turn(room_id)

    async def _take_turn(self, room_id: RoomID) -> None:
        """Look at a room; one that is woken meanwhile gets another turn."""
        self._busy[room_id] = False
        try:
            await self._attempt(room_id)
        finally:
            if self._busy.pop(room_id):
                self._ready[room_id] = None

    async def _attempt(self, room_id: RoomID) -> None:
        """Look for what the room's events lack, as far as a budget goes."""
        room = await self._look(room_id)
        if room is None or not room.gaps:
            self._look_later(room_id)
            return
        self.counts["attempts"] += 1
        for gap in room.gaps:
            self._pauses.put_off((room_id, gap.missing_id))
        budget = Budget(self._clock, self._clock.seconds() + ATTEMPT_S)
        try:
            room = await self._fill(room, budget)
            await self._stand_at_gaps(room, budget)
        except Exhausted:
            self.counts["exhausted"] += 1
        self._look_later(room_id)

    def _note_failure(self, room_id: RoomID, server: ServerName, error: RemoteError) -> None:
        if isinstance(error, Unreachable):
            rooms = self._unreached.setdefault(server, set())
            if len(rooms) < MOST_UNREACHED:
                rooms.add(room_id)
            if len(self._unreached) > MOST_UNREACHED:
                self._unreached.popitem(last=False)

    def _look_later(self, room_id: RoomID) -> None:
        due = [until_s for (room, _), until_s in self._pauses.resting() if room == room_id]
        if due:
            self._later[room_id] = min(due)

    async def _look(self, room_id: RoomID, *, all_gaps: bool = False) -> _Room | None:
        """The room, with those of its gaps that are to be looked at now."""
        head, gaps, servers = await self._database.read(_read_room, room_id)
        if head is None or head.is_partial:  # then nothing could be judged even if it lacked nothing
            return None
        if not all_gaps:
            gaps = [gap for gap in gaps if not self._pauses.rests((room_id, gap.missing_id))]
        return _Room(head, gaps, frozenset(servers - {self._server_name}))

    # The ancestors

    async def _fill(self, room: _Room, budget: Budget) -> _Room:
        """Ask those who brought events for what comes before them; the room afterwards."""
        wanted = {gap.missing_id for gap in room.gaps}
        asked: set[EventID] = set()
        for _ in range(ROUNDS):
            by_server: dict[ServerName, list[EventID]] = {}
            for gap in room.gaps:
                if gap.received_from is not None and gap.event_id not in asked:
                    by_server.setdefault(gap.received_from, []).append(gap.event_id)
            has_news = False
            for server, event_ids in by_server.items():
                latest = list(dict.fromkeys(event_ids))[:MOST_LATEST]
                asked.update(latest)
                has_news = await self._take_missing(room, server, latest, budget) or has_news
            looked = await self._look(room.room_id, all_gaps=True)
            if looked is None:
                return _Room(room.head, (), room.servers)
            # What was found to be missing now is looked at; what rests from attempts before is not.
            gaps = [gap for gap in looked.gaps if gap.missing_id in wanted or not self._is_put_off(room, gap)]
            wanted.update(gap.missing_id for gap in gaps)
            room = _Room(looked.head, gaps, looked.servers)
            if not has_news or not gaps:
                break
        return room

    def _is_put_off(self, room: _Room, gap: Gap) -> bool:
        return self._pauses.rests((room.room_id, gap.missing_id))

    async def _take_missing(self, room: _Room, server: ServerName, latest: Sequence[EventID], budget: Budget) -> bool:
        """Whether the server knew anything that was not here."""
        timeout_s = budget.spend(REQUEST_S)
        self.counts["get_missing_events"] += 1
        try:
            pdus = await self._source.get_missing_events(
                server,
                room.room_id,
                earliest=room.head.heads[:MOST_EARLIEST],
                latest=latest,
                limit=EVENTS_PER_ROUND,
                timeout_s=timeout_s,
                most_bytes=MOST_BYTES,
            )
        except RemoteError as error:
            log.debug("a server has no missing events", server=server, room_id=room.room_id, reason=error.reason)
            self._note_failure(room.room_id, server, error)
            return False
        fetched = await self._fetching.check(room.head, pdus[:EVENTS_PER_ROUND])
        new = await self._unknown(room, fetched.received)
        if not new:
            return False
        ordered = in_order(new, lambda event: (*event.prev_event_ids, *event.auth_event_ids))
        ordered = await self._policies.with_signatures(room.room_id, ordered)
        await self._intake.take(room.room_id, room.version, ordered, received_from=server, is_found=True)
        return True

    async def _unknown(self, room: _Room, received: Mapping[EventID, Received]) -> dict[EventID, Received]:
        def known(tx: Transaction) -> set[EventID]:
            stored = events_by_id(tx, list(received))
            return {event_id for event_id, one in stored.items() if one.root is not None} | {
                event_id for event_id in received if find_waiting(tx, room.room_id, event_id) is not None
            }

        here = await self._database.read(known)
        return {event_id: one for event_id, one in received.items() if event_id not in here}

    # The state where ancestors stay missing

    async def _stand_at_gaps(self, room: _Room, budget: Budget) -> None:
        """Judge the events that come right after a gap by what other servers say was the state there."""
        for event_id in list(dict.fromkeys(gap.event_id for gap in _in_turn(room.gaps)))[:MOST_AT_GAP]:
            waiting = await self._database.read(find_waiting, room.room_id, event_id)
            if waiting is None:
                continue  # it came in meanwhile
            received = received_of(waiting, room.version)
            for server in _servers_to_ask(room, waiting, received.encoded.event):
                try:
                    is_done = await self._stand_at_gap(room, received, server, budget)
                except RemoteError as error:
                    log.debug("a server gives no state", server=server, room_id=room.room_id, reason=error.reason)
                    self._note_failure(room.room_id, server, error)
                    continue
                if is_done:
                    self.counts["closed"] += 1
                    break

    async def _stand_at_gap(self, room: _Room, received: Received, server: ServerName, budget: Budget) -> bool:
        """Whether the event was judged. Raises RemoteError, Exhausted."""
        event = received.encoded.event
        head, fetching = room.head, self._fetching
        given: GivenState | None = None
        lacking = await fetching.lacking(head, event.prev_event_ids, needs_state=True)
        if lacking:
            given = await fetching.state_over_gap(head, event, lacking, server, budget)
        if await fetching.lacking(head, event.auth_event_ids):
            await fetching.bring_auth_chain(head, event, server, budget)
            if await fetching.lacking(head, event.auth_event_ids):
                return False
        if given is None:
            await self._intake.take(room.room_id, room.version, [received], received_from=server, is_found=True)
        else:
            await self._intake.take_at_gap(room.room_id, room.version, received, given)
        found = [one for one in event.auth_event_ids if one not in event.prev_event_ids]
        return not await self._database.write(_still_waits, room.room_id, event.event_id, found)


def _read_room(tx: Transaction, room_id: RoomID) -> tuple[RoomHead | None, list[Gap], set[ServerName]]:
    return find_head(tx, room_id), gaps_of_waiting(tx, room_id, limit=MOST_GAPS), servers_in_room(tx, room_id)


def _still_waits(tx: Transaction, room_id: RoomID, event_id: EventID, found: Sequence[EventID]) -> bool:
    """Whether an event still waits; what was found for it is no more missing to it."""
    if find_waiting(tx, room_id, event_id) is None:
        return False
    lacks_not(tx, room_id, event_id, found)
    return True


def _in_turn(gaps: Iterable[Gap]) -> list[Gap]:
    """One gap of each server, then another one of each: so that none takes all the places."""
    by_server: dict[ServerName | None, list[Gap]] = {}
    for gap in gaps:
        by_server.setdefault(gap.received_from, []).append(gap)
    numbered = [(number, gap) for some in by_server.values() for number, gap in enumerate(some)]
    return [gap for _, gap in sorted(numbered, key=lambda each: each[0])]


def _servers_to_ask(room: _Room, waiting: WaitingEvent, event: Event) -> list[ServerName]:
    """Who made the event, who brought it, and others in the room."""
    first = [server for server in (server_name_of_user(event.sender), waiting.received_from) if server in room.servers]
    return list(dict.fromkeys([*first, *sorted(room.servers)]))[:MOST_SERVERS]
