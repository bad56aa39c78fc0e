"""Finds what events wait for that another server sent: their ancestors, or the state where those cannot be had.

First the server is asked for what lies between its event and what is here. Where a gap stays, the state before the
event is asked for, and the event is judged in that; what lies behind the gap stays missing. Auth events are asked for
by themselves. Room by room, one attempt at a time; what was not found is looked for again later and later.

An attempt has a budget of requests and of time, whatever the other servers answer. All that they answer is checked as
any event from elsewhere (services/events/receipt.py), and must be of the room and what was asked for.
Spec: server-server-api/#retrieving-events-and-state
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.event_graph import topological_order
from homeserver.core.identifiers import EventID, RoomID, ServerName, parse_event_id, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.outbound.errors import RemoteError, RemoteNonsense
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.loops import Loops
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.parallel import in_parallel
from homeserver.services.events.intake import GivenState, Intake, received_of
from homeserver.services.events.receipt import Receipt, Received, Refused
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
FIRST_PAUSE_S: Final = 60.0
PAUSE_FACTOR: Final = 4
LONGEST_PAUSE_S: Final = 24 * 3600.0
MOST_REMEMBERED: Final = 10_000  # of what was not found

MOST_REQUESTS: Final = 300  # of one attempt
ATTEMPT_S: Final = 180.0
REQUEST_S: Final = 20.0
STATE_S: Final = 60.0
MIB: Final = 1 << 20
MOST_BYTES: Final = 8 * MIB
MOST_BYTES_OF_A_STATE: Final = 64 * MIB

ROUNDS: Final = 3
EVENTS_PER_ROUND: Final = 20
MOST_GAPS: Final = 1_000  # that are looked at
MOST_LATEST: Final = 20  # events whose ancestors are asked for at once
MOST_EARLIEST: Final = 20
MOST_AT_GAP: Final = 10  # events of an attempt for which a state is asked for
MOST_SERVERS: Final = 4
MOST_STATE: Final = 200_000  # events
FEW_EVENTS: Final = 100  # up to so many of a state are asked for one by one
AT_ONCE: Final = 5
BATCH: Final = 200  # events that are checked at once

log = get_logger(__name__)

# Any: JSON of other servers.


class HistorySource(Protocol):
    """Asks other servers for events. Each method raises RemoteError. See outbound/federation_client.py."""

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
    ) -> list[Any]: ...

    async def event(
        self, destination: ServerName, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]: ...

    async def event_auth(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> list[Any]: ...

    async def state_ids(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]: ...

    async def state(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]: ...


class _Exhausted(Exception):  # noqa: N818 - a state of the attempt
    """The attempt has used up what it may."""


@dataclass(slots=True)
class _Budget:
    """What an attempt may still use."""

    clock: Clock
    until_s: float
    requests: int = MOST_REQUESTS

    def spend(self) -> None:
        """Before each request. Raises _Exhausted."""
        if not self.requests or self.clock.seconds() >= self.until_s:
            raise _Exhausted
        self.requests -= 1


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


@dataclass(slots=True)
class _Pause:
    """When something that was not found is looked for again."""

    attempts: int
    until_s: float


@dataclass(frozen=True, slots=True)
class _State:
    """The IDs of the events in a state, and of those that authorise them."""

    event_ids: Sequence[EventID] = ()
    auth_ids: Sequence[EventID] = ()


@dataclass(slots=True)
class _Fetched:
    """Events that a server gave: those that passed the checks, and of those that did not what they said to be."""

    received: dict[EventID, Received] = field(default_factory=dict)
    refused: dict[EventID, Any] = field(default_factory=dict)


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
        self._receipt = receipt
        self._intake = intake
        self._policies = policies
        self._clock = clock
        self._server_name = server_name
        self._loops: Loops | None = None
        self._is_stopping = False
        self._ready: OrderedDict[RoomID, None] = OrderedDict()
        self._busy: dict[RoomID, bool] = {}  # rooms that are worked on; whether more came for them meanwhile
        self._later: dict[RoomID, float] = {}  # when to look again
        self._pauses: OrderedDict[tuple[RoomID, EventID], _Pause] = OrderedDict()

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
            self._put_off(room_id, gap.missing_id)
        budget = _Budget(self._clock, self._clock.seconds() + ATTEMPT_S)
        try:
            room = await self._fill(room, budget)
            await self._stand_at_gaps(room, budget)
        except _Exhausted:
            self.counts["exhausted"] += 1
        self._look_later(room_id)

    def _put_off(self, room_id: RoomID, missing_id: EventID) -> None:
        key = (room_id, missing_id)
        pause = self._pauses.pop(key, None)
        attempts = 0 if pause is None else pause.attempts
        pause_s = min(FIRST_PAUSE_S * PAUSE_FACTOR ** min(attempts, 16), LONGEST_PAUSE_S)
        self._pauses[key] = _Pause(attempts + 1, self._clock.seconds() + pause_s)
        while len(self._pauses) > MOST_REMEMBERED:
            self._pauses.popitem(last=False)

    def _look_later(self, room_id: RoomID) -> None:
        now_s = self._clock.seconds()
        due = [pause.until_s for (room, _), pause in self._pauses.items() if room == room_id and pause.until_s > now_s]
        if due:
            self._later[room_id] = min(due)

    async def _look(self, room_id: RoomID, *, all_gaps: bool = False) -> _Room | None:
        """The room, with those of its gaps that are to be looked at now."""
        head, gaps, servers = await self._database.read(_read_room, room_id)
        if head is None:
            return None
        now_s = self._clock.seconds()
        if not all_gaps:
            gaps = [gap for gap in gaps if not self._rests(room_id, gap.missing_id, now_s)]
        return _Room(head, gaps, frozenset(servers - {self._server_name}))

    def _rests(self, room_id: RoomID, missing_id: EventID, now_s: float) -> bool:
        pause = self._pauses.get((room_id, missing_id))
        return pause is not None and pause.until_s > now_s

    # The ancestors

    async def _fill(self, room: _Room, budget: _Budget) -> _Room:
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
        return self._rests(room.room_id, gap.missing_id, self._clock.seconds())

    async def _take_missing(self, room: _Room, server: ServerName, latest: Sequence[EventID], budget: _Budget) -> bool:
        """Whether the server knew anything that was not here."""
        budget.spend()
        self.counts["get_missing_events"] += 1
        try:
            pdus = await self._source.get_missing_events(
                server,
                room.room_id,
                earliest=room.head.heads[:MOST_EARLIEST],
                latest=latest,
                limit=EVENTS_PER_ROUND,
                timeout_s=REQUEST_S,
                most_bytes=MOST_BYTES,
            )
        except RemoteError as error:
            log.debug("a server has no missing events", server=server, room_id=room.room_id, reason=error.reason)
            return False
        fetched = await self._check(room, pdus[:EVENTS_PER_ROUND])
        new = await self._unknown(room, fetched.received)
        if not new:
            return False
        ordered = _in_order(new, lambda event: (*event.prev_event_ids, *event.auth_event_ids))
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

    async def _stand_at_gaps(self, room: _Room, budget: _Budget) -> None:
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
                    continue
                if is_done:
                    self.counts["closed"] += 1
                    break

    async def _stand_at_gap(self, room: _Room, received: Received, server: ServerName, budget: _Budget) -> bool:
        """Whether the event was judged. Raises RemoteError, _Exhausted."""
        event = received.encoded.event
        lacks_ancestors = bool(await self._lacking(room, event.prev_event_ids, needs_state=True))
        state = await self._state_ids(room, event, server, budget) if lacks_ancestors else _State()
        if lacks_ancestors and not _may_believe(state, event, server):
            raise RemoteNonsense("the state lacks what its own server found in it")
        await self._bring(room, event, state, server, budget)
        lacking = await self._lacking(room, event.auth_event_ids)
        if lacking:
            await self._bring_auth_chain(room, event, server, budget)
            lacking = await self._lacking(room, event.auth_event_ids)
        if lacking:
            return False
        if not lacks_ancestors:
            await self._intake.take(room.room_id, room.version, [received], received_from=server, is_found=True)
        else:
            here = await self._here(room, state.event_ids)
            given = GivenState([event_id for event_id in state.event_ids if event_id in here], server)
            await self._intake.take_at_gap(room.room_id, room.version, received, given)
        found = [one for one in event.auth_event_ids if one not in event.prev_event_ids]
        return not await self._database.write(_still_waits, room.room_id, event.event_id, found)

    async def _state_ids(self, room: _Room, event: Event, server: ServerName, budget: _Budget) -> _State:
        budget.spend()
        self.counts["state_ids"] += 1
        answer = await self._source.state_ids(
            server, room.room_id, event.event_id, timeout_s=STATE_S, most_bytes=MOST_BYTES_OF_A_STATE
        )
        return _State(_event_ids(answer["pdu_ids"], room.version), _event_ids(answer["auth_chain_ids"], room.version))

    async def _bring(self, room: _Room, event: Event, state: _State, server: ServerName, budget: _Budget) -> None:
        """Have the events of a state here, and those that authorise them. Raises RemoteError."""
        wanted = await self._lacking(room, (*state.event_ids, *state.auth_ids))
        if not wanted:
            return
        if len(wanted) <= FEW_EVENTS:
            pdus = await self._events(wanted, server, budget)
        else:
            budget.spend()
            self.counts["state"] += 1
            answer = await self._source.state(
                server, room.room_id, event.event_id, timeout_s=STATE_S, most_bytes=MOST_BYTES_OF_A_STATE
            )
            pdus = [*answer["pdus"], *answer["auth_chain"]]
            if len(pdus) > MOST_STATE:
                raise RemoteNonsense("the state has too many events")
        fetched = await self._take_outliers(room, pdus, set(wanted))
        # Wrongly signed members may be left out, but nothing by which others are judged.
        missing = await self._lacking(room, state.event_ids)
        if not all(_may_lack(fetched.refused.get(event_id), event) for event_id in missing):
            raise RemoteNonsense("the state has events that cannot be had")

    async def _bring_auth_chain(self, room: _Room, event: Event, server: ServerName, budget: _Budget) -> None:
        budget.spend()
        self.counts["event_auth"] += 1
        pdus = await self._source.event_auth(
            server, room.room_id, event.event_id, timeout_s=REQUEST_S, most_bytes=MOST_BYTES
        )
        await self._take_outliers(room, pdus[:MOST_STATE], None)

    async def _events(self, wanted: Sequence[EventID], server: ServerName, budget: _Budget) -> list[Any]:
        """Events one by one, as far as the server has them. Raises _Exhausted."""
        pdus: list[Any] = []

        async def fetch(event_id: EventID) -> None:
            budget.spend()
            self.counts["event"] += 1
            try:
                pdus.append(await self._source.event(server, event_id, timeout_s=REQUEST_S, most_bytes=MIB))
            except RemoteError as error:
                log.debug("a server does not give an event", server=server, event_id=event_id, reason=error.reason)

        await in_parallel([partial(fetch, event_id) for event_id in wanted], at_once=AT_ONCE)
        return pdus

    async def _take_outliers(self, room: _Room, pdus: Sequence[Any], wanted: set[EventID] | None) -> _Fetched:
        """Keep those of the events that were wanted; None for all of the room that are not here."""
        fetched = _Fetched()
        for start in range(0, len(pdus), BATCH):
            some = await self._check(room, pdus[start : start + BATCH])
            fetched.received.update(some.received)
            fetched.refused.update(some.refused)
        if wanted is None:
            wanted = set(await self._lacking(room, list(fetched.received)))
        taken = {event_id: one for event_id, one in fetched.received.items() if event_id in wanted}
        ordered = _in_order(taken, lambda event: event.auth_event_ids)
        if ordered:
            await self._intake.take_outliers(room.room_id, room.version, ordered)
        return fetched

    # What all of these need

    async def _check(self, room: _Room, pdus: Sequence[Any]) -> _Fetched:
        """The events of the room that are what their servers signed."""
        fetched = _Fetched()
        for pdu, judged in zip(pdus, await self._receipt.check(pdus, room.version), strict=True):
            if isinstance(judged, Refused):
                if judged.event_id is not None:
                    fetched.refused[judged.event_id] = pdu
            elif judged.encoded.event.room_id == room.room_id:
                fetched.received[judged.encoded.event.event_id] = judged
        return fetched

    async def _lacking(self, room: _Room, event_ids: Sequence[EventID], *, needs_state: bool = False) -> list[EventID]:
        """Those of the events that are not here, or (`needs_state`) here without the state around them."""
        here = await self._here(room, event_ids, needs_state=needs_state)
        return [event_id for event_id in dict.fromkeys(event_ids) if event_id not in here]

    async def _here(self, room: _Room, event_ids: Sequence[EventID], *, needs_state: bool = False) -> set[EventID]:
        here: set[EventID] = set()
        for start in range(0, len(event_ids), BATCH):
            stored = await self._database.read(events_by_id, event_ids[start : start + BATCH])
            here.update(
                event_id
                for event_id, one in stored.items()
                if one.event.room_id == room.room_id and (one.root is not None or not needs_state)
            )
        return here


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


def _event_ids(values: Sequence[Any], version: RoomVersion) -> list[EventID]:
    """Raises RemoteNonsense."""
    if len(values) > MOST_STATE:
        raise RemoteNonsense("the state has too many events")
    try:
        return [parse_event_id(value if isinstance(value, str) else "", version.event_id_format) for value in values]
    except BadIdentifier as bad:
        raise RemoteNonsense(bad.reason) from bad


def _may_believe(state: _State, event: Event, server: ServerName) -> bool:
    """Whether it may be the state before an event, of which another server than the event's own speaks.

    What authorised the event was in it: nobody else may have it rejected by leaving that out.
    """
    return server == server_name_of_user(event.sender) or set(event.auth_event_ids) <= set(state.event_ids)


def _may_lack(pdu: Any, event: Event) -> bool:
    """Whether an event can be judged without this one, which its server has not signed: the member event of another."""
    return (
        isinstance(pdu, dict) and pdu.get("type") == "m.room.member" and pdu.get("state_key") not in _members_of(event)
    )


def _members_of(event: Event) -> tuple[str | None, ...]:
    return event.sender, event.state_key, event.content.get("join_authorised_via_users_server")


def _in_order(received: Mapping[EventID, Received], edges: Any) -> list[Received]:
    """Those that are pointed to first; those on circles last."""
    graph = {event_id: edges(one.encoded.event) for event_id, one in received.items()}
    order = topological_order(graph, lambda event_id: (received[event_id].encoded.event.depth, event_id))
    placed = set(order)
    return [received[event_id] for event_id in (*order, *(each for each in received if each not in placed))]
