"""Events as clients are shown them: the shared part rendered once, what differs per reader added beside it.

Spec: client-server-api/#room-event-format. Who may see an event is decided in services/rooms/readers.py; of what an
erased user sent, that is the event at all, and here whether its content, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.client_event import client_event_body, federation_event_body, spliced
from homeserver.core.history_visibility import Visibility, may_see_event, read_visibility
from homeserver.core.identifiers import DeviceID, EventID, UserID
from homeserver.core.membership_rules import membership_said
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.services.events.erased_users import ErasedUsers, without_content
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.room_state import VISIBILITY, RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import EventNid, Form, StoredEvent

OUTSIDE: Final = EventNid(0)  # of an event that no room here has, but its own user is shown
DELAYED: Final = "delayed event"  # in place of a device, with the delay ID in place of the transaction ID
NOTHING_RELATES: Final[Mapping[EventID, Mapping[str, Any]]] = {}  # Any: JSON
ALWAYS_OPEN: Final = (Visibility.SHARED, Visibility.WORLD_READABLE)  # to members, whenever they joined


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose eyes an event is rendered for."""

    user_id: UserID
    device_id: DeviceID | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a viewer sees of a room's history without looking at each event.

    `root` is a state that the viewer may see. From the place `joined_from` on the viewer was in the room all the time;
    up to `member_upto` shared history is open to the viewer. None: nowhere.
    """

    root: bytes
    joined_from: int | None
    member_upto: int | None


class ClientFormat:
    """Renders stored events as JSON for clients."""

    def __init__(
        self,
        states: RoomStates,
        clock: Clock,
        budget: CacheBudget,
        erased: ErasedUsers,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self._states = states
        self._clock = clock
        self._erased = erased
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
        sight: Sight | None = None,
        relations: Mapping[EventID, Mapping[str, Any]] = NOTHING_RELATES,
    ) -> list[orjson.Fragment]:
        """Each event as a JSON object, in the same order.

        `memberships` gives the viewer's membership at an event, where it is known. `for_federation` is the event format
        that filters can ask for. `sight` says what the viewer sees of the room, all of whose events these are; without
        it, nothing that an event replaced is shown. `relations` tells of events' children: see
        services/rooms/aggregations.py. Without `tx` only what is in memory is used: raises MissingNodes when that does
        not suffice.
        """
        beside = [event_id for stored in events for event_id in (stored.replaces_state, stored.redacted_by) if event_id]
        others = self._states.load(tx, beside) if beside else {}
        now_ms = self._clock.now_ms()
        rendered = []
        for one in events:
            if self._lifetimes.has_expired(one, now_ms):
                stored = without_content(one)
            else:
                stored = self._as_seen(tx, one, viewer, sight, memberships or {})
            unsigned = self._unsigned(stored, viewer, others, now_ms)
            replaced = others.get(stored.replaces_state) if stored.replaces_state is not None else None
            if replaced is not None and sight is not None and self._may_see(tx, replaced, viewer, sight):
                unsigned["prev_content"] = replaced.event.content
                unsigned["prev_sender"] = replaced.event.sender
            if memberships is not None and stored.event.event_id in memberships:
                unsigned["membership"] = memberships[stored.event.event_id]
            if stored.event.event_id in relations:
                unsigned["m.relations"] = relations[stored.event.event_id]
            rendered.append(
                orjson.Fragment(self._whole(stored, unsigned, with_room_id=with_room_id, for_federation=for_federation))
            )
        return rendered

    def is_expired(self, stored: StoredEvent) -> bool:
        """Whether nothing is shown any more of what an event said."""
        return self._lifetimes.has_expired(stored, self._clock.now_ms())

    def forget(self, nids: Iterable[EventNid]) -> None:
        """These events were deleted."""
        for nid in nids:
            for form in Form:
                self._bodies.discard((nid, form))

    def _as_seen(
        self,
        tx: Transaction | None,
        stored: StoredEvent,
        viewer: Viewer,
        sight: Sight | None,
        memberships: Mapping[EventID, str],
    ) -> StoredEvent:
        """The event, or what is left of it where an erased user sent it and the viewer was not in the room.

        State that still holds is shown whole: it says what the room is, and not what somebody said in it.
        """
        event = stored.event
        if event.sender not in self._erased or memberships.get(event.event_id) == "join":
            return stored
        if sight is not None and event.state_key is not None:
            current = self._states.find(tx, event.room_id, sight.root, event.type, event.state_key)
            if current is not None and current.event.event_id == event.event_id:
                return stored
        return stored if self._was_there(tx, stored, viewer, sight) else without_content(stored)

    def _was_there(self, tx: Transaction | None, stored: StoredEvent, viewer: Viewer, sight: Sight | None) -> bool:
        """Whether the viewer was in the room when an event came into it."""
        if stored.place is None or stored.root_before is None:
            return False
        if sight is not None and sight.joined_from is not None and stored.place >= sight.joined_from:
            return True
        key = ("m.room.member", viewer.user_id)
        state = self._states.select(tx, stored.event.room_id, stored.root_before, (key,))
        return membership_said(state.get(key)) == "join"

    def body(self, stored: StoredEvent) -> bytes:
        """The part that is the same for every reader: a JSON object without its closing brace."""
        if stored.nid == OUTSIDE:
            return client_event_body(stored.event)
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
        # What servers exchange says of which room it is, wherever it is shown.
        room_id = stored.event.room_id if with_room_id or for_federation else None
        return spliced(body, room_id=room_id, unsigned=orjson.dumps(unsigned))

    def _unsigned(
        self, stored: StoredEvent, viewer: Viewer, others: Mapping[EventID, StoredEvent], now_ms: int
    ) -> dict[str, Any]:
        event = stored.event
        unsigned: dict[str, Any] = {"age": max(0, now_ms - event.origin_server_ts)}
        transaction = stored.transaction
        if transaction is not None and event.sender == viewer.user_id and transaction[0] == (viewer.device_id or ""):
            unsigned["transaction_id"] = transaction[1]
        elif transaction is not None and event.sender == viewer.user_id and transaction[0] == DELAYED:
            # MSC4140, by the name that it has in the proposal and the one that it will have.
            unsigned["delay_id"] = unsigned["org.matrix.msc4140.delay_id"] = transaction[1]
        if stored.replaces_state is not None:
            unsigned["replaces_state"] = stored.replaces_state
        if stored.redacted_by is not None:
            # Not in the specification, which has the whole event below; but clients look for its ID alone.
            unsigned["redacted_by"] = stored.redacted_by
            redaction = others.get(stored.redacted_by)
            if redaction is not None and redaction.event.sender in self._erased:
                redaction = without_content(redaction)  # the reason; the event beside it stays as it is
            if redaction is not None:
                because = self._whole(
                    redaction,
                    {"age": now_ms - redaction.event.origin_server_ts},
                    with_room_id=True,
                    for_federation=False,
                )
                unsigned["redacted_because"] = orjson.Fragment(because)
        return unsigned

    def _may_see(self, tx: Transaction | None, stored: StoredEvent, viewer: Viewer, sight: Sight) -> bool:
        """Whether the viewer may see an event that another one replaced."""
        if stored.place is None or stored.root_before is None:
            return False
        if sight.joined_from is not None and stored.place >= sight.joined_from:
            return True
        if stored.event.sender in self._erased and not self._was_there(tx, stored, viewer, sight):
            return False
        room_id = stored.event.room_id
        is_member = sight.member_upto is not None and stored.place <= sight.member_upto
        if is_member:
            current = self._states.find(tx, room_id, sight.root, *VISIBILITY)
            is_first = current is None or current.replaces_state is None
            is_open = read_visibility(None if current is None else current.event) in ALWAYS_OPEN
            # Before the first setting, and since the newest, it was the same all the time.
            if is_open and (is_first or (current is not None and (current.place or 0) <= stored.place)):
                return True
        key = ("m.room.member", viewer.user_id)
        state = self._states.select(tx, room_id, stored.root_before, (VISIBILITY, key))
        event, member = stored.event, state.get(key)
        return may_see_event(
            visibility_before=read_visibility(state.get(VISIBILITY)),
            membership_before=membership_said(member),
            joined_since=is_member,
            visibility_after=read_visibility(event) if (event.type, event.state_key) == VISIBILITY else None,
            membership_after=membership_said(event) if (event.type, event.state_key) == key else None,
        )
