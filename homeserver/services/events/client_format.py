"""Events as clients are shown them: the shared part rendered once, what differs per reader added beside it.

Spec: client-server-api/#room-event-format. Who may see an event is decided in services/rooms/readers.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeserver.core.client_event import client_event_body, federation_event_body, spliced
from homeserver.core.identifiers import DeviceID, EventID, UserID
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, Form, StoredEvent


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose eyes an event is rendered for."""

    user_id: UserID
    device_id: DeviceID | None


class ClientFormat:
    """Renders stored events as JSON for clients."""

    def __init__(self, states: RoomStates, clock: Clock, budget: CacheBudget) -> None:
        self._states = states
        self._clock = clock
        self._bodies: BoundedCache[tuple[EventNid, Form], bytes] = BoundedCache("client events", budget, len)

    def render(
        self,
        tx: Transaction | None,
        events: Sequence[StoredEvent],
        viewer: Viewer,
        *,
        with_room_id: bool,
        memberships: Mapping[EventID, str] | None = None,
        for_federation: bool = False,
    ) -> list[orjson.Fragment]:
        """Each event as a JSON object, in the same order.

        `memberships` gives the viewer's membership at an event, where it is known. `for_federation` is the event format
        that filters can ask for. Without `tx` only what is in
        memory is used: raises MissingNodes when that does not suffice.
        """
        beside = [event_id for stored in events for event_id in (stored.replaces_state, stored.redacted_by) if event_id]
        others = self._states.load(tx, beside) if beside else {}
        now_ms = self._clock.now_ms()
        rendered = []
        for stored in events:
            unsigned = self._unsigned(stored, viewer, others, now_ms)
            if memberships is not None and stored.event.event_id in memberships:
                unsigned["membership"] = memberships[stored.event.event_id]
            rendered.append(
                orjson.Fragment(self._whole(stored, unsigned, with_room_id=with_room_id, for_federation=for_federation))
            )
        return rendered

    def body(self, stored: StoredEvent) -> bytes:
        """The part that is the same for every reader: a JSON object without its closing brace."""
        key = (stored.nid, stored.form)
        body = self._bodies.get(key)
        if body is None:
            body = client_event_body(stored.event)
            self._bodies.put(key, body)
        return body

    def _whole(
        self, stored: StoredEvent, unsigned: Mapping[str, Any], with_room_id: bool, for_federation: bool
    ) -> bytes:
        body = federation_event_body(stored.event) if for_federation else self.body(stored)
        room_id = stored.event.room_id if with_room_id else None
        return spliced(body, room_id=room_id, unsigned=orjson.dumps(unsigned))

    def _unsigned(
        self, stored: StoredEvent, viewer: Viewer, others: Mapping[EventID, StoredEvent], now_ms: int
    ) -> dict[str, Any]:
        event = stored.event
        unsigned: dict[str, Any] = {"age": max(0, now_ms - event.origin_server_ts)}
        transaction = stored.transaction
        if transaction is not None and event.sender == viewer.user_id and transaction[0] == viewer.device_id:
            unsigned["transaction_id"] = transaction[1]
        if stored.replaces_state is not None:
            unsigned["replaces_state"] = stored.replaces_state
            replaced = others.get(stored.replaces_state)
            if replaced is not None:
                unsigned["prev_content"] = replaced.event.content
                unsigned["prev_sender"] = replaced.event.sender
        if stored.redacted_by is not None:
            redaction = others.get(stored.redacted_by)
            if redaction is not None:
                because = self._whole(
                    redaction,
                    {"age": now_ms - redaction.event.origin_server_ts},
                    with_room_id=True,
                    for_federation=False,
                )
                unsigned["redacted_because"] = orjson.Fragment(because)
        return unsigned
