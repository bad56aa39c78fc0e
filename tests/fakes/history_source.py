"""Other servers that are asked for the history of rooms: they say what it is, unless told otherwise."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.outbound.errors import RemoteRefused, Unreachable
from tests.replicas import History

# Any: JSON, throughout.


@dataclass
class Holder:
    """One server: which events it has, and what it answers instead of the truth, by the name of the operation."""

    history: History
    lacks: set[EventID] = field(default_factory=set)
    lies: dict[str, Callable[..., Any]] = field(default_factory=dict)
    is_away: bool = False

    def find(self, event_id: EventID) -> Event:
        event = self.history.events.get(event_id)
        if event is None or event_id in self.lacks:
            raise RemoteRefused(404, "M_NOT_FOUND", "no such event")
        return event

    def state(self, event_id: EventID) -> list[Event]:
        """The state before an event."""
        state = self.history.state_after(self.find(event_id).prev_event_ids)
        return [self.history.events[one] for one in state.values()]

    def auth_chain(self, events: Iterable[Event]) -> list[Event]:
        """All that authorises these events."""
        chain: dict[EventID, Event] = {}
        waiting = [one for event in events for one in event.auth_event_ids]
        while waiting:
            event_id = waiting.pop()
            if event_id not in chain:
                chain[event_id] = self.history.events[event_id]
                waiting += chain[event_id].auth_event_ids
        return list(chain.values())


class FakeHistorySource:
    """The source of services/federation/missing_events.py and backfill.py; who is not here is unreachable."""

    def __init__(self) -> None:
        self.holders: dict[ServerName, Holder] = {}
        self.held: dict[ServerName, Deferred[None]] = {}
        self.asked: list[tuple[ServerName, str]] = []

    @property
    def operations(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(operation for _, operation in self.asked)

    def servers_asked(self, operation: str) -> list[ServerName]:
        """Who was asked, in order."""
        return [server for server, name in self.asked if name == operation]

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
        """Events before `latest`, the nearest first."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "get_missing_events")
        if "get_missing_events" in holder.lies:
            lie: list[Any] = holder.lies["get_missing_events"](latest)
            return lie
        found: dict[EventID, Event] = {}
        level = [one for event_id in latest for one in holder.find(event_id).prev_event_ids]
        while level and len(found) < limit:
            event_id = level.pop(0)
            if event_id in found or event_id in earliest or event_id in holder.lacks:
                continue
            found[event_id] = holder.find(event_id)
            level += found[event_id].prev_event_ids
        return [event.pdu for event in reversed(found.values()) if event.room_id == room_id]

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
        """These events and those before them, the deepest first."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "backfill")
        if destination in self.held:
            await self.held[destination]
        if "backfill" in holder.lies:
            lie: list[Any] = holder.lies["backfill"](list(event_ids))
            return lie
        found: list[Event] = []
        reached: dict[EventID, Event] = {}
        waiting = [event_id for event_id in event_ids if event_id in holder.history.events]
        while len(found) < limit:
            reached |= {one: holder.history.events[one] for one in waiting if one not in holder.lacks}
            left = [event for event in reached.values() if event not in found]
            if not left:
                break
            found.append(max(left, key=lambda event: (event.depth, event.event_id)))
            waiting = list(found[-1].prev_event_ids)
        return [event.pdu for event in found if event.room_id == room_id]

    async def event(
        self, destination: ServerName, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]:
        """One event."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "event")
        if "event" in holder.lies:
            lie: dict[str, Any] = holder.lies["event"](event_id)
            return lie
        return dict(holder.find(event_id).pdu)

    async def event_auth(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> list[Any]:
        """The auth chain of an event."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "event_auth")
        if "event_auth" in holder.lies:
            lie: list[Any] = holder.lies["event_auth"](event_id)
            return lie
        return [event.pdu for event in holder.auth_chain([holder.find(event_id)])]

    async def state_ids(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]:
        """The IDs of the state before an event."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "state_ids")
        if "state_ids" in holder.lies:
            lie: dict[str, Any] = holder.lies["state_ids"](event_id)
            return lie
        state = holder.state(event_id)
        chain = holder.auth_chain(state)
        return {"pdu_ids": [one.event_id for one in state], "auth_chain_ids": [one.event_id for one in chain]}

    async def state(
        self, destination: ServerName, room_id: RoomID, event_id: EventID, *, timeout_s: float, most_bytes: int
    ) -> dict[str, Any]:
        """The state before an event."""
        assert timeout_s > 0 < most_bytes
        holder = self._ask(destination, "state")
        if "state" in holder.lies:
            lie: dict[str, Any] = holder.lies["state"](event_id)
            return lie
        state = holder.state(event_id)
        chain = holder.auth_chain(state)
        return {"pdus": [one.pdu for one in state], "auth_chain": [one.pdu for one in chain]}

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
        """The last event that the server has, whenever it was sent."""
        assert timeout_s > 0 < most_bytes
        assert backwards
        holder = self._ask(destination, "timestamp_to_event")
        if "timestamp_to_event" in holder.lies:
            lie: dict[str, Any] = holder.lies["timestamp_to_event"](at_ms)
            return lie
        known = [one for event_id, one in holder.history.events.items() if event_id not in holder.lacks]
        last = [one for one in known if one.room_id == room_id][-1]
        return {"event_id": last.event_id, "origin_server_ts": last.origin_server_ts}

    def _ask(self, destination: ServerName, operation: str) -> Holder:
        self.asked.append((destination, operation))
        holder = self.holders.get(destination)
        if holder is None or holder.is_away:
            raise Unreachable("no such server")
        return holder
