"""Spaces for other servers: a room and its children, as far as the asking server might get into them or read them.

Spec: server-server-api/#spaces
"""

from typing import Any, Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, ServerName, parse_room_id
from homeserver.services.errors import NotFound
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.rooms.spaces import Spaces
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import has_member_of_server
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import RoomHead

NO_ROOM: Final = "There is no such room here, or your server could not get into it"


class HierarchyServing:
    """Tells servers of spaces."""

    def __init__(self, database: Database, access: RoomAccess, acls: ServerAcls, spaces: Spaces) -> None:
        self._database = database
        self._access = access
        self._acls = acls
        self._spaces = spaces

    async def hierarchy(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> dict[str, Any]:  # Any: JSON, here and below
        """The room, its children, and which of them the server could not get into. Raises NotFound."""
        return await self._database.read(self._hierarchy, server, room_id, suggested_only=suggested_only)

    def _hierarchy(
        self, tx: Transaction, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> dict[str, Any]:
        head = self._find(tx, room_id)
        if head is None or not self._is_accessible(tx, head, server):
            raise NotFound(NO_ROOM)
        listed = self._spaces.children(tx, head, suggested_only=suggested_only)
        children, inaccessible = [], []
        for child_id in dict.fromkeys(_child_id(event) for event in listed):
            child = None if child_id is None else self._find(tx, child_id)
            if child is None:
                continue  # of it, others know more
            if self._is_accessible(tx, child, server):
                children.append(self._spaces.summary(tx, child, suggested_only=False))
            else:
                inaccessible.append(child.room_id)
        return {
            "room": self._spaces.summary(tx, head, suggested_only=suggested_only),
            "children": children,
            "inaccessible_children": inaccessible,
        }

    def _find(self, tx: Transaction, room_id: RoomID) -> RoomHead | None:
        """The room, if this server is in it and knows how many others are."""
        head = self._access.find_here(tx, room_id)
        return None if head is None or head.is_partial else head

    def _is_accessible(self, tx: Transaction, head: RoomHead, server: ServerName) -> bool:
        """Whether somebody of the server could get into the room, or read it."""
        if not self._acls.allows(tx, head.room_id, server):
            return False
        if is_server_in_room(tx, head.room_id, server) or has_member_of_server(tx, head.room_id, server, "invite"):
            return True
        entrance = self._spaces.entrance(tx, head)
        if entrance.is_readable or entrance.is_open:
            return True
        return any(is_server_in_room(tx, one, server) for one in entrance.allowed)


def _child_id(event: Event) -> RoomID | None:
    try:
        return parse_room_id(event.state_key or "")
    except BadIdentifier:
        return None
