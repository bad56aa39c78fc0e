"""Whether another server may ask about a room at all: it takes part in it, and the room does not shut it out.

What it may then see of the room's events is in visibility.py. A room of which the server is to know nothing is refused
like one that does not exist. Of one that is known in part it is told to ask another one, or later (MSC3895).
"""

from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.services.errors import Forbidden, NotFound, UnableDueToPartialState
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.acl import ServerAcls
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import RoomHead, find_head

NOT_IN_ROOM: Final = "Your server is not in this room"
SHUT_OUT: Final = "The room does not let your server take part"
NO_ROOM: Final = "This server is not in such a room"
NO_EVENT: Final = "There is no such event here, or your server may not see it"


class RoomAccess:
    """Lets servers into rooms of which they are a part."""

    def __init__(self, states: RoomStates, acls: ServerAcls, server_name: ServerName) -> None:
        self._states = states
        self._acls = acls
        self._server_name = server_name

    def enter(self, tx: Transaction, room_id: RoomID, server: ServerName) -> RoomHead:
        """The room, for a server that is in it together with this one.

        Raises Forbidden; UnableDueToPartialState when it is not known whether the server is in it.
        """
        head = self.find_here(tx, room_id)
        if head is None:
            raise Forbidden(NOT_IN_ROOM)
        if not is_server_in_room(tx, room_id, server):
            raise UnableDueToPartialState if head.is_partial else Forbidden(NOT_IN_ROOM)
        self.check_allows(tx, room_id, server)
        return head

    def find(self, tx: Transaction, room_id: RoomID, server: ServerName) -> RoomHead | None:
        """The room, for a server that is in it together with this one; whether the room shuts it out is not asked."""
        head = self.find_here(tx, room_id)
        return head if head is not None and is_server_in_room(tx, room_id, server) else None

    def find_here(self, tx: Transaction, room_id: RoomID) -> RoomHead | None:
        """The room, if this server is in it and serves it."""
        head = find_head(tx, room_id)
        if head is None or head.is_blocked or not is_server_in_room(tx, room_id, self._server_name):
            return None
        return head

    def whole_room(self, tx: Transaction, room_id: RoomID, server: ServerName) -> RoomHead:
        """The room, for a server that wants into it or out of it; all of its state is known here.

        Raises NotFound, UnableDueToPartialState, Forbidden.
        """
        head = self.find_here(tx, room_id)
        if head is None:
            raise NotFound(NO_ROOM)
        if head.is_partial:
            raise UnableDueToPartialState
        self.check_allows(tx, room_id, server)
        return head

    def check_allows(self, tx: Transaction, room_id: RoomID, server: ServerName) -> None:
        """Raises Forbidden for a server that the room shuts out."""
        if not self._acls.allows(tx, room_id, server):
            raise Forbidden(SHUT_OUT)

    def find_event(self, tx: Transaction, room_id: RoomID, event_id: EventID) -> StoredEvent | None:
        """The event, if it is one of this room that was not rejected."""
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None or stored.event.room_id != room_id or stored.verdict is Verdict.REJECTED:
            return None
        return stored

    def placed_event(self, tx: Transaction, room_id: RoomID, event_id: EventID) -> tuple[StoredEvent, bytes]:
        """An event of this room and the root of the state before it. Raises NotFound, whatever the reason."""
        stored = self.find_event(tx, room_id, event_id)
        if stored is None or stored.root_before is None:
            raise NotFound(NO_EVENT)
        return stored, stored.root_before
