"""Which servers a room lets take part: its m.room.server_acl, as the current state has it.

What such a list means is in core/server_acls.py. Every endpoint for other servers that is about a room asks here.
Spec: client-server-api/#server-access-control-lists-acls-for-rooms
"""

from typing import Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.server_acls import ServerAcl, read_server_acl
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from homeserver.storage.rooms import find_head

TIMES_LARGER: Final = 6  # a list that is ready to be asked than the JSON that it was made of


class ServerAcls:
    """Knows the lists of rooms. Asked on any thread."""

    def __init__(self, states: RoomStates, budget: CacheBudget) -> None:
        self._states = states
        # A redaction takes the list out of its event, which keeps its ID.
        self._lists: BoundedCache[tuple[EventID, Form], tuple[ServerAcl, int]] = BoundedCache(
            "server ACLs", budget, lambda entry: entry[1]
        )

    def allows(self, tx: Transaction, room_id: RoomID, server: ServerName) -> bool:
        """Whether the server may take part in the room; a room that is not known here keeps nobody out."""
        head = find_head(tx, room_id)
        if head is None:
            return True
        stored = self._states.find(tx, room_id, head.current_root, "m.room.server_acl")
        if stored is None:
            return True
        key = (stored.event.event_id, stored.form)
        entry = self._lists.get(key)
        if entry is None:
            entry = read_server_acl(stored.event.content), TIMES_LARGER * stored.size_bytes
            self._lists.put(key, entry)
        return entry[0].allows(server)
