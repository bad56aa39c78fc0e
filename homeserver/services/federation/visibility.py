"""What other servers may see of a room's events: whole, or only what a redaction leaves.

The graph is shown to every server that is in the room, for without it none could judge what is built on it; what was
said is shown by the history visibility at the event and by who of the server was in the room then. What an erased user
said is shown to those alone who were there, for they have it. The rule itself is in core/history_visibility.py; which
server is in the room is asked before, in room_access.py.
Spec: client-server-api/#room-history-visibility, server-server-api/#backfilling-and-retrieving-missing-events
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, may_server_see, read_visibility
from homeserver.core.identifiers import EventID, ServerName, UserID, server_name_of
from homeserver.core.redaction import redact
from homeserver.core.slices import slices
from homeserver.core.state_map import UnknownState
from homeserver.services.events.erased_users import ErasedUsers
from homeserver.services.events.room_state import VISIBILITY, RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import members_of_server
from homeserver.storage.rooms import RoomHead

OPEN: Final = frozenset({Visibility.WORLD_READABLE, Visibility.SHARED})
# Of a server, those who are in the room first: whether nobody of it was there then is asked of no more.
MOST_MEMBERS_ASKED: Final = 200
MEMBERS_PER_READ: Final = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """How a server stands to a point of a room's history."""

    is_open: bool  # it may see what happened there, whoever did it
    was_there: bool  # and was in the room then


class ServerVisibility:
    """Decides what servers see."""

    def __init__(
        self,
        states: RoomStates,
        erased: ErasedUsers,
        is_expired: Callable[[StoredEvent], bool] = lambda _: False,
    ) -> None:
        """What `is_expired` nobody is shown any more."""
        self._states = states
        self._erased = erased
        self._is_expired = is_expired

    def seen_by(
        self, tx: Transaction, head: RoomHead, server: ServerName, events: Sequence[StoredEvent]
    ) -> set[EventID]:
        """Those of the room's events that a server which is in the room may see whole."""
        asked = _Asked(self._states, tx, head, server)
        return {
            stored.event.event_id
            for stored in events
            if not self._is_expired(stored)
            and (asked.has(stored) if stored.event.sender in self._erased else asked.may_see(stored))
        }

    def standing(self, tx: Transaction, head: RoomHead, server: ServerName, stored: StoredEvent) -> Standing:
        """How a server which is in the room now stands to an event of it; if nobody is erased, nobody asks for more."""
        asked = _Asked(self._states, tx, head, server)
        is_open = asked.may_see(stored)
        return Standing(is_open, was_there=not is_open or not self._erased or asked.was_there(stored))

    def was_there_before(self, tx: Transaction, head: RoomHead, server: ServerName, stored: StoredEvent) -> bool:
        """Whether somebody of the server was in the room before an event, if it matters."""
        return not self._erased or _Asked(self._states, tx, head, server).was_there_before(stored)

    def pdus_for(
        self, tx: Transaction, head: RoomHead, server: ServerName, events: Sequence[StoredEvent]
    ) -> list[bytes]:
        """The events as a server which is in the room gets them: the JSON of their PDUs, in the same order."""
        seen = self.seen_by(tx, head, server, events)
        return [pdu_json(stored.event, is_whole=stored.event.event_id in seen) for stored in events]


def pdu_json(event: Event, *, is_whole: bool) -> bytes:
    """The JSON of an event's PDU; redacted, its hash and signatures stay right."""
    pdu: Mapping[str, Any] = event.pdu if is_whole else redact(event.pdu, event.version)
    return encode_for(event.version, pdu)


class _Asked:
    """What was found out for one question: events that have the same state before them ask once."""

    def __init__(self, states: RoomStates, tx: Transaction, head: RoomHead, server: ServerName) -> None:
        self._states = states
        self._tx = tx
        self._head = head
        self._server = server
        self._visibilities: dict[bytes, Visibility] = {}
        self._memberships: dict[bytes, tuple[str, ...]] = {}
        self._members: list[UserID] | None = None

    def may_see(self, stored: StoredEvent) -> bool:
        """Whether the server may see the event whole."""
        return any(self._knows(question, stored) for question in (self._was_visible, self._is_current_state))

    def has(self, stored: StoredEvent) -> bool:
        """Whether the server must have seen the event before, or knows it from the room's current state."""
        return any(self._knows(question, stored) for question in (self._was_in_room, self._is_current_state))

    def was_there(self, stored: StoredEvent) -> bool:
        """Whether somebody of the server was in the room when the event came into it."""
        return self._knows(self._was_in_room, stored)

    @staticmethod
    def _knows(question: Callable[[StoredEvent], bool], stored: StoredEvent) -> bool:
        """What a question comes to; False where it is about members of a partial room, who are not known here."""
        try:
            return question(stored)
        except UnknownState:
            return False

    def _is_current_state(self, stored: StoredEvent) -> bool:
        """Whether the event is something that everybody in the room knows."""
        event = stored.event
        if event.state_key is None:
            return False
        root = self._head.current_root
        current = self._states.event_id(self._tx, self._head.room_id, root, event.type, event.state_key)
        return current == event.event_id

    def was_there_before(self, stored: StoredEvent) -> bool:
        """Whether somebody of the server was in the room before the event."""
        root = stored.root_before
        return root is not None and "join" in self._memberships_at(root)

    def _was_in_room(self, stored: StoredEvent) -> bool:
        return "join" in self._own_membership(stored.event) or self.was_there_before(stored)

    def _was_visible(self, stored: StoredEvent) -> bool:
        root, event = stored.root_before, stored.event
        if root is None:
            return False  # an outlier: nothing is known of the room around it
        before = self._visibility(root)
        after = read_visibility(event) if (event.type, event.state_key) == VISIBILITY else None
        if before in OPEN or after in OPEN:
            return True
        return may_server_see(
            visibility_before=before,
            memberships=(*self._own_membership(event), *self._memberships_at(root)),
            visibility_after=after,
        )

    def _visibility(self, root: bytes) -> Visibility:
        if root not in self._visibilities:
            state = self._states.select(self._tx, self._head.room_id, root, (VISIBILITY,))
            self._visibilities[root] = read_visibility(state.get(VISIBILITY))
        return self._visibilities[root]

    def _own_membership(self, event: Event) -> tuple[str, ...]:
        """What the event itself makes of a user of the server."""
        if event.type != "m.room.member" or server_name_of(UserID(event.state_key or "")) != self._server:
            return ()
        return tuple(_texts([event.content.get("membership")]))

    def _memberships_at(self, root: bytes) -> tuple[str, ...]:
        """What users of the server were in the state; those who are asked for come before those who left long ago."""
        if root not in self._memberships:
            self._memberships[root] = self._read_memberships(root)
        return self._memberships[root]

    def _read_memberships(self, root: bytes) -> tuple[str, ...]:
        if self._members is None:
            self._members = members_of_server(self._tx, self._head.room_id, self._server, limit=MOST_MEMBERS_ASKED)
        found: list[str] = []
        for some in slices(self._members, MEMBERS_PER_READ):
            keys = [("m.room.member", user) for user in some]
            state = self._states.select(self._tx, self._head.room_id, root, keys)
            found += _texts(event.content.get("membership") for event in state.values())
            if "join" in found:
                break
        return tuple(found)


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
