"""Spaces for other servers: a room and its children, as far as the asking server might get into them or read them.

Spec: server-server-api/#spaces
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.auth_selection import JOIN_RULES
from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, read_visibility
from homeserver.core.identifiers import RoomID, ServerName, parse_room_id
from homeserver.core.membership_rules import is_knock_rule, is_restricted_rule, join_rule_of
from homeserver.core.state_map import EMPTY_SUBTREE
from homeserver.services.errors import NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.acl import ServerAcls
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.rooms.directory import RoomDirectory
from homeserver.services.rooms.restricted_joins import allowed_rooms
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import has_member_of_server
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import RoomHead

CHILD: Final = "m.space.child"
MOST_CHILDREN: Final = 200
NO_ROOM: Final = "There is no such room here, or your server could not get into it"
VISIBILITY: Final = ("m.room.history_visibility", "")


class HierarchyServing:
    """Tells servers of spaces."""

    def __init__(
        self, database: Database, access: RoomAccess, acls: ServerAcls, states: RoomStates, directory: RoomDirectory
    ) -> None:
        self._database = database
        self._access = access
        self._acls = acls
        self._states = states
        self._directory = directory

    async def hierarchy(
        self, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> dict[str, Any]:  # Any: JSON, here and below
        """The room, its children, and which of them the server could not get into. Raises NotFound."""
        return await self._database.read(self._hierarchy, server, room_id, suggested_only=suggested_only)

    def _hierarchy(
        self, tx: Transaction, server: ServerName, room_id: RoomID, *, suggested_only: bool
    ) -> dict[str, Any]:
        head = self._access.find_here(tx, room_id)
        if head is None or not self._is_accessible(tx, head, server):
            raise NotFound(NO_ROOM)
        listed = self._children(tx, head, suggested_only=suggested_only)
        children, inaccessible = [], []
        for child_id in dict.fromkeys(_child_id(event) for event in listed):
            child = None if child_id is None else self._access.find_here(tx, child_id)
            if child is None:
                continue  # of it, others know more
            if self._is_accessible(tx, child, server):
                children.append(self._summary(tx, child, suggested_only=False))
            else:
                inaccessible.append(child.room_id)
        return {
            "room": self._summary(tx, head, suggested_only=suggested_only),
            "children": children,
            "inaccessible_children": inaccessible,
        }

    def _is_accessible(self, tx: Transaction, head: RoomHead, server: ServerName) -> bool:
        """Whether somebody of the server could get into the room, or read it."""
        if not self._acls.allows(tx, head.room_id, server):
            return False
        if is_server_in_room(tx, head.room_id, server) or has_member_of_server(tx, head.room_id, server, "invite"):
            return True
        state = self._states.select(tx, head.room_id, head.current_root, (JOIN_RULES, VISIBILITY))
        if read_visibility(state.get(VISIBILITY)) is Visibility.WORLD_READABLE:
            return True
        rule = join_rule_of(state)
        if rule == "public" or is_knock_rule(rule, head.version):
            return True
        if not is_restricted_rule(rule, head.version):
            return False
        return any(is_server_in_room(tx, one, server) for one in allowed_rooms(state[JOIN_RULES].content))

    def _children(self, tx: Transaction, head: RoomHead, *, suggested_only: bool) -> list[Event]:
        """The first of a space's children; none of a room that is no space."""
        if self._states.subtree_root(tx, head.room_id, head.current_root, CHILD) == EMPTY_SUBTREE:
            return []
        events = [stored.event for stored in self._states.of_type(tx, head.room_id, head.current_root, CHILD)]
        wanted = [
            event
            for event in events
            if isinstance(event.content.get("via"), list)
            and event.content["via"]
            and (not suggested_only or event.content.get("suggested") is True)
        ]
        wanted.sort(key=_place)
        return wanted[:MOST_CHILDREN]

    def _summary(self, tx: Transaction, head: RoomHead, *, suggested_only: bool) -> Mapping[str, Any]:
        summary = dict(self._directory.summary(tx, head))
        state = self._states.select(tx, head.room_id, head.current_root, (JOIN_RULES,))
        if is_restricted_rule(join_rule_of(state), head.version):
            summary["allowed_room_ids"] = allowed_rooms(state[JOIN_RULES].content)
        is_space = summary.get("room_type") == "m.space"
        children = self._children(tx, head, suggested_only=suggested_only) if is_space else []
        return {**summary, "children_state": [_shown_child(event) for event in children]}


def _child_id(event: Event) -> RoomID | None:
    try:
        return parse_room_id(event.state_key or "")
    except BadIdentifier:
        return None


def _place(event: Event) -> tuple[int, str, int, str]:
    """By `order` where it is one, then by age. Spec: client-server-api/#ordering-of-children-within-a-space"""
    order = event.content.get("order")
    is_order = isinstance(order, str) and len(order) <= 50 and all(" " <= each <= "~" for each in order)
    return (0 if is_order else 1, str(order) if is_order else "", event.origin_server_ts, event.state_key or "")


def _shown_child(event: Event) -> dict[str, Any]:
    return {
        "type": event.type,
        "state_key": event.state_key,
        "sender": event.sender,
        "content": event.content,
        "origin_server_ts": event.origin_server_ts,
    }
