"""Users of this server who were removed from a room before it was known as a whole.

Their removal waits with all that others say there; but who is out of a room is told nothing of it any more, and so it
would wait for ever. When the other servers refuse to tell, it is believed of somebody who by what is known of the room
may remove its members: there is no other reason to send it.
"""

from collections.abc import Mapping
from typing import Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of_user
from homeserver.core.power_levels import PowerLevels, read_power_levels
from homeserver.runtime.clock import Clock
from homeserver.services.events.intake import received_of
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.outside_memberships import OutsideMemberships
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import local_members
from homeserver.storage.partial_rooms import PartialRoom, find_partial_room
from homeserver.storage.room_servers import count_members
from homeserver.storage.rooms import find_head
from homeserver.storage.waiting_events import all_waiting

REMOVED: Final = ("leave", "ban")


class Removals:
    """Lets users out of rooms."""

    def __init__(self, states: RoomStates, outside: OutsideMemberships, clock: Clock, server_name: ServerName) -> None:
        self._states = states
        self._outside = outside
        self._clock = clock
        self._server_name = server_name

    def take(self, tx: Transaction, room: PartialRoom) -> bool:
        """Whether everybody of this server who is in the room was removed; then they are out."""
        head = find_head(tx, room.room_id)
        if head is None or find_partial_room(tx, room.room_id) != room:
            return False
        state = self._states.select(tx, room.room_id, head.current_root, (CREATE, POWER_LEVELS), for_rules=True)
        levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), head.version)
        members = local_members(tx, room.room_id)
        removed: dict[UserID, EncodedEvent] = {}
        for waiting in all_waiting(tx, room.room_id):
            encoded = received_of(waiting, head.version).encoded
            if _removes(encoded.event, members, levels):
                removed[UserID(encoded.event.state_key or "")] = encoded
        if not members or removed.keys() != members.keys():
            return False
        # First this server leaves: what its users are then they are from outside.
        tx.at_position(("room_servers",), lambda tx, position: self._leave(tx, room.room_id, len(removed), position))
        for encoded in removed.values():
            self._outside.put(tx, encoded, server_name_of_user(encoded.event.sender), ())
        return True

    def _leave(self, tx: Transaction, room_id: RoomID, count: int, position: int) -> None:
        now_ms = self._clock.now_ms()
        count_members(tx, room_id, {self._server_name: -count}, position=position, now_ms=now_ms)


def _removes(event: Event, members: Mapping[UserID, str | None], levels: PowerLevels) -> bool:
    """Whether by an event somebody removes one of the members who may do so, if they are in the room themselves."""
    membership, target = event.content.get("membership"), UserID(event.state_key or "")
    if event.type != "m.room.member" or target not in members or target == event.sender or membership not in REMOVED:
        return False
    needed = levels.ban if membership == "ban" else levels.kick
    return levels.user_level(event.sender) >= max(needed, levels.user_level(target) + 1)
