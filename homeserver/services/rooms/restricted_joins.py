"""Restricted joins: whoever is in one of the named rooms may come in, if a local user could have invited them.

Spec: client-server-api/#restricted-rooms
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, JOIN_RULES, POWER_LEVELS
from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.membership_rules import is_restricted_rule
from homeserver.core.power_levels import read_power_levels
from homeserver.services.errors import Forbidden, UnableToAuthoriseJoin, UnableToGrantJoin
from homeserver.services.events.persistence import RoomWrite
from homeserver.storage.memberships import find_membership, local_members
from homeserver.storage.partial_rooms import find_partial_room
from homeserver.storage.room_servers import is_server_in_room

MOST_ALLOWED_ROOMS: Final = 100


def find_authoriser(write: RoomWrite, user_id: UserID, current: Event | None, server_name: ServerName) -> UserID | None:
    """The local user in whose name the join is authorised; None where the join needs no such permission.

    Raises Forbidden when the user is in none of the rooms that allow it, UnableToAuthoriseJoin when this server is in
    none of them or does not know all members of one, UnableToGrantJoin when nobody here may invite.
    """
    state = write.rules_state((CREATE, JOIN_RULES, POWER_LEVELS))
    rules = state.get(JOIN_RULES)
    if rules is None or not is_restricted_rule(rules.content.get("join_rule"), write.version):
        return None
    if current is not None and current.content.get("membership") in ("invite", "join"):
        return None
    rooms = allowed_rooms(rules.content)
    # Of a room in which nobody of this server is any more it only knows who was there once.
    here = [room_id for room_id in rooms if is_server_in_room(write.tx, room_id, server_name)]
    memberships = (find_membership(write.tx, room_id, user_id) for room_id in here)
    if not any(membership is not None and membership.membership == "join" for membership in memberships):
        if rooms and (not here or any(find_partial_room(write.tx, room_id) is not None for room_id in here)):
            raise UnableToAuthoriseJoin
        raise Forbidden("You are in none of the rooms that let you into this one")
    levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)
    candidates = local_members(write.tx, write.room_id)
    best = max(candidates, key=levels.user_level, default=None)
    if best is None or levels.user_level(best) < levels.invite:
        raise UnableToGrantJoin(f"Nobody of {server_name} may invite to this room")
    return best


def allowed_rooms(content: Mapping[str, Any]) -> list[RoomID]:
    """The rooms whose members an m.room.join_rules lets in; what is no room ID counts as nothing."""
    allow = content.get("allow")
    entries = allow if isinstance(allow, list) else []
    rooms = [
        RoomID(entry["room_id"])
        for entry in entries
        if isinstance(entry, dict)
        and entry.get("type") == "m.room_membership"
        and isinstance(entry.get("room_id"), str)
    ]
    return rooms[:MOST_ALLOWED_ROOMS]
