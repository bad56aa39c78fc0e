"""Rooms as they are shown to those who look through spaces: what they are, which rooms they hold, who may get in.

Walking from space to space is in hierarchy.py; what other servers say of their rooms, in remote_spaces.py.
Spec: client-server-api/#spaces
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.auth_selection import JOIN_RULES
from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, read_visibility
from homeserver.core.identifiers import RoomID, ServerName, UserID, parse_room_id
from homeserver.core.membership_rules import is_knock_rule, is_restricted_rule, join_rule_of
from homeserver.core.state_map import EMPTY_SUBTREE
from homeserver.services.events.room_state import VISIBILITY, RoomStates
from homeserver.services.rooms.directory import RoomDirectory
from homeserver.services.rooms.restricted_joins import allowed_rooms
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.room_servers import is_server_in_room
from homeserver.storage.rooms import RoomHead, find_head

# JSON is `Any` here.

SPACE: Final = "m.space"
CHILD: Final = "m.space.child"
MOST_CHILDREN: Final = 200
LONGEST_ORDER: Final = 50


@dataclass(frozen=True, slots=True)
class Entrance:
    """Who may read a room, or come into it, without being named there."""

    is_readable: bool  # everybody may read it
    is_open: bool  # everybody may come in, or knock
    allowed: Sequence[RoomID] = ()  # members of these may come in

    def lets_in(self, tx: Transaction, room_id: RoomID, user_id: UserID | None) -> bool:
        """Whether a user sees the room: who is in it or may get in, or everybody. None: somebody who is not known.

        Spec: client-server-api/#get_matrixclientv1roomsroomidhierarchy
        """
        if self.is_readable or user_id is None:
            return self.is_readable or self.is_open
        membership = find_membership(tx, room_id, user_id)
        known = None if membership is None else membership.membership
        if known in ("join", "invite"):
            return True
        return known != "ban" and (self.is_open or any(_is_joined(tx, one, user_id) for one in self.allowed))


@dataclass(frozen=True, slots=True)
class Child:
    """A room that a space holds, and the servers by which it can be found."""

    room_id: RoomID
    via: tuple[str, ...]  # as somebody wrote them


class Spaces:
    """Shows the rooms of this server."""

    def __init__(self, states: RoomStates, directory: RoomDirectory, server_name: ServerName) -> None:
        self._states = states
        self._directory = directory
        self._server_name = server_name

    def find_here(self, tx: Transaction, room_id: RoomID) -> RoomHead | None:
        """The room, if this server is in it and knows how many others are; what it knows of other rooms is old."""
        head = find_head(tx, room_id)
        if head is None or head.is_partial:
            return None
        return head if is_server_in_room(tx, room_id, self._server_name) else None

    def entrance(self, tx: Transaction, head: RoomHead) -> Entrance:
        """Who gets into a room."""
        state = self._states.select(tx, head.room_id, head.current_root, (JOIN_RULES, VISIBILITY))
        rule = join_rule_of(state)
        return Entrance(
            is_readable=read_visibility(state.get(VISIBILITY)) is Visibility.WORLD_READABLE,
            is_open=rule == "public" or is_knock_rule(rule, head.version),
            allowed=allowed_rooms(state[JOIN_RULES].content) if is_restricted_rule(rule, head.version) else (),
        )

    def children(self, tx: Transaction, head: RoomHead, *, suggested_only: bool) -> list[Event]:
        """The first of a space's m.space.child events, in their order; none of a room that has none."""
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
        wanted.sort(key=lambda event: place_of(event.content, event.origin_server_ts, event.state_key or ""))
        return wanted[:MOST_CHILDREN]

    def summary(self, tx: Transaction, head: RoomHead, *, suggested_only: bool) -> dict[str, Any]:
        """A room as spaces show it. What is no space has no children, whatever its state says."""
        summary = dict(self._directory.summary(tx, head))
        state = self._states.select(tx, head.room_id, head.current_root, (JOIN_RULES,))
        if is_restricted_rule(join_rule_of(state), head.version):
            summary["allowed_room_ids"] = allowed_rooms(state[JOIN_RULES].content)
        is_space = summary.get("room_type") == SPACE
        children = self.children(tx, head, suggested_only=suggested_only) if is_space else []
        summary["children_state"] = [
            {
                "type": event.type,
                "state_key": event.state_key,
                "sender": event.sender,
                "content": event.content,
                "origin_server_ts": event.origin_server_ts,
            }
            for event in children
        ]
        return summary


def place_of(content: Mapping[str, Any], origin_server_ts: int, state_key: str) -> tuple[int, str, int, str]:
    """By `order` where it is one, then by age. Spec: client-server-api/#ordering-of-children-within-a-space"""
    order = content.get("order")
    is_order = isinstance(order, str) and len(order) <= LONGEST_ORDER and all(" " <= each <= "~" for each in order)
    return (0 if is_order else 1, str(order) if is_order else "", origin_server_ts, state_key)


def children_of(summary: Mapping[str, Any]) -> list[Child]:
    """The rooms that a summary's children_state names, each once."""
    children: dict[RoomID, Child] = {}
    for event in summary["children_state"]:
        try:
            room_id = parse_room_id(event["state_key"])
        except BadIdentifier:
            continue
        via = event["content"]["via"]
        children.setdefault(room_id, Child(room_id, tuple(_texts(via))))
    return list(children.values())


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _is_joined(tx: Transaction, room_id: RoomID, user_id: UserID) -> bool:
    membership = find_membership(tx, room_id, user_id)
    return membership is not None and membership.membership == "join"
