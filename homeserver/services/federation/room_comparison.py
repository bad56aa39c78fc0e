"""Compares a room with what other servers say of it, as any server of the room may ask: nothing is changed by it.

What a server's last events are cannot be asked. So each is asked for the state before ours (`/state_ids`), which every
server that has them answers, for the event that it takes to be the newest (`/timestamp_to_event`) and what lies between
that and ours (`/get_missing_events`), and for what it has below ours (`/backfill`). Nothing of that is believed: an
event counts as missing here only if it is of the room and signed by its own server.
Spec: server-server-api/#retrieving-events-and-state
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol

from homeserver.core import state_map
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, parse_event_id, parse_server_name
from homeserver.core.state_map import Nodes
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.runtime.clock import Clock
from homeserver.runtime.parallel import in_parallel
from homeserver.services.errors import InvalidParameter, RoomIsPartial
from homeserver.services.events.intake import Intake
from homeserver.services.events.receipt import Receipt
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.backfill import BackfillSource
from homeserver.services.federation.event_fetching import (
    MIB,
    MOST_BYTES,
    MOST_BYTES_OF_A_STATE,
    Budget,
    EventFetching,
    Exhausted,
)
from homeserver.services.federation.missing_events import MOST_EARLIEST, HistorySource
from homeserver.services.rooms.known_rooms import known_head
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import events_by_id, known_events
from homeserver.storage.room_servers import is_server_in_room, largest_servers
from homeserver.storage.rooms import RoomHead

COMPARISON_S: Final = 60.0
REQUEST_S: Final = 15.0
AT_ONCE: Final = 5  # servers, and events of one of them
USUAL_SERVERS: Final = 8
MOST_SERVERS: Final = 20
MOST_HEADS: Final = 5  # of ours at which states are compared
MOST_REQUESTS: Final = 80  # to one server
MOST_NAMED: Final = 50  # events of a server's that are looked at
MOST_BETWEEN: Final = 20
MOST_BELOW: Final = 50
IDS_PER_READ: Final = 1_000

# Any: JSON of other servers.


class ComparisonSource(HistorySource, BackfillSource, Protocol):
    """Asks other servers about rooms. See outbound/federation_client.py."""

    async def timestamp_to_event(
        self,
        destination: ServerName,
        room_id: RoomID,
        at_ms: int,
        *,
        backwards: bool,
        timeout_s: float,
        most_bytes: int,
    ) -> dict[str, Any]:
        """The event nearest to a moment. Raises RemoteError."""


class Finding(Enum):
    """What came of asking a server."""

    AGREES = "agrees"
    DIFFERS = "differs"
    LACKS_OURS = "lacks ours"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    NONSENSE = "nonsense"


@dataclass(frozen=True, slots=True)
class Difference:
    """What two servers have under one key of a state, with who sent it; None for nothing."""

    type: str
    state_key: str
    ours: EventID | None
    our_sender: UserID | None
    theirs: EventID | None
    their_sender: UserID | None


@dataclass(slots=True)
class ServerView:
    """What one server says of the room."""

    server: ServerName
    finding: Finding = Finding.AGREES
    reason: str | None = None  # why there is no answer, or none that is of use
    differences: list[Difference] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)  # what it has in the state, and cannot show
    lacks: list[EventID] = field(default_factory=list)  # our last events that it does not have
    newer: list[EventID] = field(default_factory=list)  # what it has beside or after ours, and is not here
    older: list[EventID] = field(default_factory=list)  # what it has below ours, and is not here
    heads_compared: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A room as this server has it, beside what others say."""

    room_id: RoomID
    heads: Sequence[EventID]
    servers: Sequence[ServerView]


@dataclass(frozen=True, slots=True)
class _Ours:
    """The room here: its state before each of its last events, as far as these are compared."""

    head: RoomHead
    states: Mapping[EventID, Collection[EventID]]
    servers: Sequence[ServerName]


class RoomComparison:
    """The one that asks. Used on the reactor thread."""

    def __init__(
        self,
        database: Database,
        source: ComparisonSource,
        receipt: Receipt,
        intake: Intake,
        states: RoomStates,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._source = source
        self._fetching = EventFetching(database, source, receipt, intake, Counter())
        self._states = states
        self._clock = clock
        self._server_name = server_name

    async def compare(self, room_id: RoomID, servers: Sequence[str] = ()) -> Comparison:
        """Ask these servers, or else the largest in the room. Raises NotFound, InvalidParameter, RoomIsPartial."""
        named = self._named(servers)
        ours = await self._database.read(self._look, room_id, named)
        views = [ServerView(server) for server in ours.servers]
        until_s = self._clock.seconds() + COMPARISON_S
        works = [partial(self._ask, ours, view, Budget(self._clock, until_s, MOST_REQUESTS)) for view in views]
        await in_parallel(works, at_once=AT_ONCE)
        return Comparison(room_id, ours.head.heads, views)

    def _named(self, servers: Sequence[str]) -> list[ServerName]:
        if len(servers) > MOST_SERVERS:
            raise InvalidParameter(f"No more than {MOST_SERVERS} servers are asked at once")
        try:
            named = [parse_server_name(server) for server in dict.fromkeys(servers)]
        except BadIdentifier as bad:
            raise InvalidParameter(bad.reason) from bad
        if self._server_name in named:
            raise InvalidParameter("This server is not another one")
        return named

    def _look(self, tx: Transaction, room_id: RoomID, named: Sequence[ServerName]) -> _Ours:
        head = known_head(tx, room_id)
        if head.is_partial:
            raise RoomIsPartial(room_id)
        if not is_server_in_room(tx, room_id, self._server_name):
            raise InvalidParameter("Nobody of this server is in the room, so that others do not tell it about it")
        states: dict[EventID, Collection[EventID]] = {}
        for event_id, stored in self._states.load(tx, head.heads[:MOST_HEADS]).items():
            if stored.root_before is not None:
                entries = partial(_entries, stored.root_before)
                states[event_id] = self._states.with_nodes(tx, room_id, entries)
        servers = named or largest_servers(tx, room_id, but=self._server_name, limit=USUAL_SERVERS)
        return _Ours(head, states, servers)

    # One server

    async def _ask(self, ours: _Ours, view: ServerView, budget: Budget) -> None:
        """Ask a server all there is to ask. What it does not answer is said in its view."""
        try:
            for head, state in ours.states.items():
                await self._compare_state(ours.head, view, head, state, budget)
            await self._look_for_newer(ours.head, view, budget)
            await self._look_for_older(ours.head, view, budget)
        except RemoteError as error:
            view.finding, view.reason = _finding_of(error), error.reason
            return
        except Exhausted:
            view.reason = "it took too long to answer, or was asked too much: not everything was compared"
            if not view.heads_compared and not view.lacks:
                view.finding = Finding.UNREACHABLE
                return
        if view.differences or view.unproven:
            view.finding = Finding.DIFFERS
        elif view.lacks:
            view.finding = Finding.LACKS_OURS

    async def _compare_state(
        self, room: RoomHead, view: ServerView, head: EventID, state: Collection[EventID], budget: Budget
    ) -> None:
        timeout_s = budget.spend(REQUEST_S)
        try:
            answer = await self._source.state_ids(
                view.server, room.room_id, head, timeout_s=timeout_s, most_bytes=MOST_BYTES_OF_A_STATE
            )
        except RemoteRefused as refused:
            if refused.status != 404 or refused.is_unrecognized:
                raise
            view.lacks.append(head)
            return
        theirs = set(_event_ids(answer["pdu_ids"], room))
        view.heads_compared += 1
        if theirs != state:
            await self._explain(room, view, sorted(set(state) - theirs), sorted(theirs - set(state)), budget)

    async def _explain(
        self, room: RoomHead, view: ServerView, ours: Sequence[EventID], theirs: Sequence[EventID], budget: Budget
    ) -> None:
        """Say of events that only one of the two states has under which keys they stand."""
        named, rest = theirs[:MOST_NAMED], theirs[MOST_NAMED:]
        known = await self._database.read(_keys_of, room.room_id, [*ours[:IDS_PER_READ], *named])
        unknown = [event_id for event_id in named if event_id not in known]
        shown = await self._shown(room, view.server, unknown, budget)
        known |= shown
        keys: dict[tuple[str, str], dict[str, tuple[EventID, UserID]]] = {}
        for whose, event_ids in (("ours", ours), ("theirs", named)):
            for event_id in event_ids:
                if (found := known.get(event_id)) is not None:
                    event_type, state_key, sender = found
                    keys.setdefault((event_type, state_key), {})[whose] = (event_id, sender)
        for (event_type, state_key), sides in sorted(keys.items()):
            our_id, our_sender = sides.get("ours", (None, None))
            their_id, their_sender = sides.get("theirs", (None, None))
            one = Difference(event_type, state_key, our_id, our_sender, their_id, their_sender)
            if one not in view.differences:
                view.differences.append(one)
        view.unproven += [one for one in unknown if one not in shown and one not in view.unproven]
        if rest and view.reason is None:
            view.reason = f"its state has {len(theirs)} events that ours has not, of which {MOST_NAMED} are told"
        view.newer += [one for one in shown if one not in view.newer]

    async def _shown(
        self, room: RoomHead, server: ServerName, event_ids: Sequence[EventID], budget: Budget
    ) -> dict[EventID, tuple[str, str, UserID]]:
        """Type, state key and sender of those state events that a server gives, if their own servers signed them."""
        pdus = await self._events(server, event_ids, budget)
        received = (await self._fetching.check(room, pdus)).received
        events = [received[one].encoded.event for one in event_ids if one in received]
        return {
            event.event_id: (event.type, event.state_key, event.sender)
            for event in events
            if event.state_key is not None
        }

    async def _events(self, server: ServerName, event_ids: Sequence[EventID], budget: Budget) -> list[Any]:
        pdus: list[Any] = []

        async def fetch(event_id: EventID) -> None:
            timeout_s = budget.spend(REQUEST_S)
            try:
                pdus.append(await self._source.event(server, event_id, timeout_s=timeout_s, most_bytes=MIB))
            except RemoteRefused:
                return  # it has none like that

        await in_parallel([partial(fetch, event_id) for event_id in event_ids], at_once=AT_ONCE)
        return pdus

    async def _look_for_newer(self, room: RoomHead, view: ServerView, budget: Budget) -> None:
        """Whether the event that a server takes to be the newest, or what leads to it, is not here."""
        timeout_s = budget.spend(REQUEST_S)
        try:
            answer = await self._source.timestamp_to_event(
                view.server,
                room.room_id,
                self._clock.now_ms(),
                backwards=True,
                timeout_s=timeout_s,
                most_bytes=MIB,
            )
        except RemoteRefused:
            return  # it has none, or does not know how to find it
        newest = _event_ids([answer.get("event_id")], room)
        if not await self._unknown(room, newest):
            return
        pdus = await self._events(view.server, newest, budget)
        timeout_s = budget.spend(REQUEST_S)
        try:
            between = await self._source.get_missing_events(
                view.server,
                room.room_id,
                earliest=room.heads[:MOST_EARLIEST],
                latest=newest,
                limit=MOST_BETWEEN,
                timeout_s=timeout_s,
                most_bytes=MOST_BYTES,
            )
        except RemoteRefused:
            between = []
        received = (await self._fetching.check(room, [*pdus, *between[:MOST_BETWEEN]])).received
        if newest[0] in received:
            found = await self._unknown(room, [newest[0], *(one for one in received if one != newest[0])])
            view.newer += [one for one in found if one not in view.newer]

    async def _look_for_older(self, room: RoomHead, view: ServerView, budget: Budget) -> None:
        """What a server has below our last events, and is not here."""
        known = [head for head in room.heads[:MOST_HEADS] if head not in view.lacks]
        if not known:
            return
        timeout_s = budget.spend(REQUEST_S)
        try:
            pdus = await self._source.backfill(
                view.server, room.room_id, known, MOST_BELOW, timeout_s=timeout_s, most_bytes=MOST_BYTES
            )
        except RemoteRefused:
            return
        received = (await self._fetching.check(room, pdus[:MOST_BELOW])).received
        view.older = await self._unknown(room, list(received))

    async def _unknown(self, room: RoomHead, event_ids: Sequence[EventID]) -> list[EventID]:
        known = await self._database.read(known_events, room.room_id, event_ids)
        return [event_id for event_id in event_ids if not known.get(event_id, False)]


def explained(comparison: Comparison) -> list[str]:
    """A comparison in plain words, a sentence for each thing that there is to say."""
    told: list[str] = []
    for view in comparison.servers:
        told.extend(f"{view.server}: {sentence}" for sentence in _sentences(view, len(comparison.heads)))
    return told or ["No other server is in the room: there is nobody to compare it with."]


def _sentences(view: ServerView, heads: int) -> Iterable[str]:
    match view.finding:
        case Finding.UNREACHABLE:
            yield f"did not answer ({view.reason})"
            return
        case Finding.REFUSED:
            yield f"does not tell this server about the room ({view.reason})"
            return
        case Finding.NONSENSE:
            yield f"its answers make no sense ({view.reason})"
            return
        case Finding.AGREES:
            yield "agrees about the state of the room"
        case Finding.LACKS_OURS:
            which = "all of our last events" if len(view.lacks) >= heads else f"{len(view.lacks)} of our last events"
            yield f"lacks {which} ({', '.join(view.lacks)}), so that they are to be sent once more"
        case Finding.DIFFERS:
            yield f"has another state of the room: {len(view.differences)} entries differ"
    for one in view.differences:
        key = f"{one.type} {one.state_key!r}" if one.state_key else one.type
        ours = "nothing" if one.ours is None else f"{one.ours} by {one.our_sender}"
        theirs = "nothing" if one.theirs is None else f"{one.theirs} by {one.their_sender}"
        yield f"under {key} it has {theirs}, and this server {ours}"
    if view.unproven:
        yield f"names {len(view.unproven)} events of the state that it does not show as their servers signed them"
    if view.newer:
        yield f"has events that are not here: {', '.join(view.newer)}"
    if view.older:
        yield f"has {len(view.older)} events of the past that are not here"
    if view.reason is not None:
        yield view.reason


def _finding_of(error: RemoteError) -> Finding:
    if isinstance(error, RemoteRefused):
        return Finding.REFUSED
    return Finding.NONSENSE if isinstance(error, RemoteNonsense) else Finding.UNREACHABLE


def _entries(root: bytes, nodes: Nodes) -> set[EventID]:
    return {event_id for _, event_id in state_map.items(nodes, root)}


def _event_ids(values: Sequence[Any], room: RoomHead) -> list[EventID]:
    """Raises RemoteNonsense."""
    try:
        return [
            parse_event_id(value if isinstance(value, str) else "", room.version.event_id_format) for value in values
        ]
    except BadIdentifier as bad:
        raise RemoteNonsense(bad.reason) from bad


def _keys_of(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, tuple[str, str, UserID]]:
    """Under which keys these events of the room may stand in a state, and who sent them."""
    return {
        event_id: (one.event.type, one.event.state_key, one.event.sender)
        for event_id, one in events_by_id(tx, event_ids).items()
        if one.event.room_id == room_id and one.event.state_key is not None
    }
