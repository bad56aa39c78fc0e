"""Fetches events and states from other servers, for those who look for what is missing here, and keeps what is sound.

An attempt has a budget of requests and of time, whatever the other servers answer. All that they answer is checked as
any event from elsewhere (services/events/receipt.py), and must be of the room and what was asked for. Whose attempts
these are: missing_events.py, backfill.py.
Spec: server-server-api/#retrieving-events-and-state
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.event_graph import topological_order
from homeserver.core.identifiers import EventID, RoomID, ServerName, parse_event_id, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.core.slices import slices
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import get_logger
from homeserver.runtime.parallel import in_parallel
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Intake
from homeserver.services.events.receipt import Receipt, Received, Refused
from homeserver.storage.database import Database
from homeserver.storage.events import known_events
from homeserver.storage.rooms import RoomHead

MOST_REQUESTS: Final = 300  # of one attempt
REQUEST_S: Final = 20.0
STATE_S: Final = 60.0
MIB: Final = 1 << 20
MOST_BYTES: Final = 8 * MIB
MOST_BYTES_OF_A_STATE: Final = 64 * MIB
MOST_STATE: Final = 200_000  # events
FEW_EVENTS: Final = 100  # up to so many of a state are asked for one by one
AT_ONCE: Final = 5
BATCH: Final = 200  # events that are checked at once
IDS_PER_READ: Final = 1_000

log = get_logger(__name__)

# Any: JSON of other servers.


class EventSource(Protocol):
    """Asks other servers for events. Each method raises RemoteError. See outbound/federation_client.py."""

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


class Exhausted(Exception):  # noqa: N818 - a state of the attempt
    """The attempt has used up what it may."""


@dataclass(slots=True)
class Budget:
    """What an attempt may still use."""

    clock: Clock
    until_s: float
    requests: int = MOST_REQUESTS

    def spend(self, most_s: float) -> float:
        """Before each request: how long it may take, which is `most_s` at most. Raises Exhausted."""
        left_s = self.until_s - self.clock.seconds()
        if not self.requests or left_s <= 0:
            raise Exhausted
        self.requests -= 1
        return min(most_s, left_s)


@dataclass(frozen=True, slots=True)
class _State:
    """The IDs of the events in a state, and of those that authorise them."""

    event_ids: Sequence[EventID] = ()
    auth_ids: Sequence[EventID] = ()


@dataclass(slots=True)
class Fetched:
    """Events that a server gave: those that passed the checks, and of those that did not what they said to be."""

    received: dict[EventID, Received] = field(default_factory=dict)
    refused: dict[EventID, Any] = field(default_factory=dict)


class EventFetching:
    """Fetches what one attempt or another wants."""

    def __init__(
        self, database: Database, source: EventSource, receipt: Receipt, intake: Intake, counts: Counter[str]
    ) -> None:
        """`counts` are those of requests, by their names."""
        self._database = database
        self._source = source
        self._receipt = receipt
        self._intake = intake
        self._counts = counts

    async def state_before(self, room: RoomHead, event: Event, server: ServerName, budget: Budget) -> GivenState:
        """The state before an event as a server gives it, with all of its events here.

        Raises RemoteError, Exhausted.
        """
        state = await self._state_ids(room, event, server, budget)
        if not _may_believe(state, event, server):
            raise RemoteNonsense("the state lacks what its own server found in it")
        await self._bring(room, event, state, server, budget)
        here = await self.here(room, state.event_ids)
        return GivenState([event_id for event_id in state.event_ids if event_id in here], server)

    async def state_over_gap(
        self, room: RoomHead, event: Event, lacking: Sequence[EventID], server: ServerName, budget: Budget
    ) -> GivenState:
        """The state before an event of whose previous events some are not here, as a server gives it.

        The server may not know the event itself, but what came right before it: then it is asked for the state there.
        Raises RemoteError, Exhausted.
        """
        try:
            return await self.state_before(room, event, server, budget)
        except RemoteRefused:
            if len(lacking) != 1:
                raise
        return await self._state_after(room, lacking[0], event, server, budget)

    async def _state_after(
        self, room: RoomHead, previous_id: EventID, event: Event, server: ServerName, budget: Budget
    ) -> GivenState:
        """The state after an event that is not here, which is the one that `event` lacks. Raises RemoteError."""
        fetched = await self.check(room, await self.events([previous_id], server, budget))
        received = fetched.received.get(previous_id)
        if received is None:
            raise RemoteNonsense("what came before the event cannot be had either")
        previous = received.encoded.event
        given = await self.state_before(room, previous, server, budget)
        if previous.state_key is None:
            state, followed_by = given.event_ids, None
        else:
            await self._intake.take_outliers(room.room_id, room.version, [received])
            state, followed_by = [*given.event_ids, previous_id], previous_id
        if not _may_believe(_State(state), event, server):
            raise RemoteNonsense("the state lacks what its own server found in it")
        return replace(given, followed_by=followed_by)

    async def _state_ids(self, room: RoomHead, event: Event, server: ServerName, budget: Budget) -> _State:
        timeout_s = budget.spend(STATE_S)
        self._counts["state_ids"] += 1
        answer = await self._source.state_ids(
            server, room.room_id, event.event_id, timeout_s=timeout_s, most_bytes=MOST_BYTES_OF_A_STATE
        )
        return _State(_event_ids(answer["pdu_ids"], room.version), _event_ids(answer["auth_chain_ids"], room.version))

    async def _bring(self, room: RoomHead, event: Event, state: _State, server: ServerName, budget: Budget) -> None:
        """Have the events of a state here, and those that authorise them. Raises RemoteError."""
        wanted = await self.lacking(room, (*state.event_ids, *state.auth_ids))
        if not wanted:
            return
        if len(wanted) <= FEW_EVENTS:
            pdus = await self.events(wanted, server, budget)
        else:
            timeout_s = budget.spend(STATE_S)
            self._counts["state"] += 1
            answer = await self._source.state(
                server, room.room_id, event.event_id, timeout_s=timeout_s, most_bytes=MOST_BYTES_OF_A_STATE
            )
            pdus = [*answer["pdus"], *answer["auth_chain"]]
            if len(pdus) > MOST_STATE:
                raise RemoteNonsense("the state has too many events")
        fetched = await self._take_outliers(room, pdus, set(wanted))
        # Wrongly signed members may be left out, but nothing by which others are judged.
        missing = await self.lacking(room, state.event_ids)
        if not all(_may_lack(fetched.refused.get(event_id), event) for event_id in missing):
            raise RemoteNonsense("the state has events that cannot be had")

    async def bring_auth_chain(self, room: RoomHead, event: Event, server: ServerName, budget: Budget) -> None:
        """Have what authorises an event here. Raises RemoteError, Exhausted."""
        timeout_s = budget.spend(REQUEST_S)
        self._counts["event_auth"] += 1
        pdus = await self._source.event_auth(
            server, room.room_id, event.event_id, timeout_s=timeout_s, most_bytes=MOST_BYTES
        )
        await self._take_outliers(room, pdus[:MOST_STATE], None)

    async def events(self, wanted: Sequence[EventID], server: ServerName, budget: Budget) -> list[Any]:
        """Events one by one, as far as the server has them. Raises Exhausted."""
        pdus: list[Any] = []

        async def fetch(event_id: EventID) -> None:
            timeout_s = budget.spend(REQUEST_S)
            self._counts["event"] += 1
            try:
                pdus.append(await self._source.event(server, event_id, timeout_s=timeout_s, most_bytes=MIB))
            except RemoteError as error:
                log.debug("a server does not give an event", server=server, event_id=event_id, reason=error.reason)

        await in_parallel([partial(fetch, event_id) for event_id in wanted], at_once=AT_ONCE)
        return pdus

    async def _take_outliers(self, room: RoomHead, pdus: Sequence[Any], wanted: set[EventID] | None) -> Fetched:
        """Keep those of the events that were wanted; None for all of the room that are not here."""
        fetched = Fetched()
        for some in slices(pdus, BATCH):
            checked = await self.check(room, some)
            fetched.received.update(checked.received)
            fetched.refused.update(checked.refused)
        if wanted is None:
            wanted = set(await self.lacking(room, list(fetched.received)))
        taken = {event_id: one for event_id, one in fetched.received.items() if event_id in wanted}
        ordered = in_order(taken, lambda event: event.auth_event_ids)
        if ordered:
            await self._intake.take_outliers(room.room_id, room.version, ordered)
        return fetched

    # What all of these need

    async def check(self, room: RoomHead, pdus: Sequence[Any]) -> Fetched:
        """The events of the room that are what their servers signed."""
        fetched = Fetched()
        for pdu, judged in zip(pdus, await self._receipt.check(pdus, room.version), strict=True):
            if isinstance(judged, Refused):
                if judged.event_id is not None:
                    fetched.refused[judged.event_id] = pdu
            elif judged.encoded.event.room_id == room.room_id:
                fetched.received[judged.encoded.event.event_id] = judged
        return fetched

    async def lacking(
        self, room: RoomHead, event_ids: Sequence[EventID], *, needs_state: bool = False
    ) -> list[EventID]:
        """Those of the events that are not here, or (`needs_state`) here without the state around them."""
        here = await self.here(room, event_ids, needs_state=needs_state)
        return [event_id for event_id in dict.fromkeys(event_ids) if event_id not in here]

    async def here(self, room: RoomHead, event_ids: Sequence[EventID], *, needs_state: bool = False) -> set[EventID]:
        """Those of the events that are here, with (`needs_state`) the state around them."""
        here: set[EventID] = set()
        for some in slices(event_ids, IDS_PER_READ):
            known = await self._database.read(known_events, room.room_id, some)
            here.update(event_id for event_id, has_state in known.items() if has_state or not needs_state)
        return here


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


def in_order(received: Mapping[EventID, Received], edges: Callable[[Event], Iterable[EventID]]) -> list[Received]:
    """Those that are pointed to first; those on circles last."""
    graph = {event_id: tuple(edges(one.encoded.event)) for event_id, one in received.items()}
    order = topological_order(graph, lambda event_id: (received[event_id].encoded.event.depth, event_id))
    placed = set(order)
    return [received[event_id] for event_id in (*order, *(each for each in received if each not in placed))]
