"""Whose power in a room an administrator can use: the users of this server who are in it.

This server cannot act in a room otherwise: other servers would not believe it. So whatever is done by its hand is done
in the name of one of its users who is there and may do it.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.power_levels import Level, PowerLevels, read_power_levels
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import local_members

NO_ROOM: Final = "This server knows no such room"
NOBODY_HERE: Final = "No user of this server is in the room, so that this server can do nothing there"


@dataclass(frozen=True, slots=True)
class LocalPowers:
    """A room that is open for writing, and which users of this server are in it, the most powerful first."""

    write: RoomWrite
    levels: PowerLevels
    members: tuple[UserID, ...]

    @property
    def strongest(self) -> UserID:
        """The one with the most power. Raises Forbidden if nobody is there."""
        if not self.members:
            raise Forbidden(NOBODY_HERE)
        return self.members[0]

    def level(self, user_id: str) -> Level:
        """The power of a user, of whichever server."""
        return self.levels.user_level(user_id)

    def is_here(self, user_id: str) -> bool:
        """Whether this is a user of this server who is in the room."""
        return user_id in self.members


def local_powers(tx: Transaction, creation: EventCreation, room_id: RoomID) -> LocalPowers:
    """Who of this server has which power in a room: within a write that EventCreation has begun. Raises NotFound."""
    write = creation.writer.open(tx, room_id)
    state = {} if write is None else write.rules_state((CREATE, POWER_LEVELS))
    if write is None or CREATE not in state:
        raise NotFound(NO_ROOM)
    levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)
    members = sorted(local_members(tx, room_id), key=lambda user_id: (-levels.user_level(user_id), user_id))
    return LocalPowers(write, levels, tuple(members))
