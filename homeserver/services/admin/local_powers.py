"""Whose power in a room an administrator can use: the users of this server who are in it.

This server cannot act in a room otherwise: other servers would not believe it. So whatever is done by its hand is done
in the name of one of its users who is there and may do it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.power_levels import LONE_CREATOR_LEVEL, Level, PowerLevels, creator, read_power_levels
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import local_members

P = ParamSpec("P")
T = TypeVar("T")

NOT_ALLOWED: Final = "No user of this server in the room has the power for it"
NOBODY_HERE: Final = "No user of this server is in the room, so that this server can do nothing there"


@dataclass(frozen=True, slots=True)
class LocalPowers:
    """A room that is open for writing, and which users of this server are in it, the most powerful first.

    Of those who are as powerful, who is heard by nobody (shadow_bans.py) comes last.
    """

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

    def without(self, user_id: str) -> "LocalPowers":
        """The powers that are left once a user has gone."""
        return replace(self, members=tuple(one for one in self.members if one != user_id))

    def with_level(self, user_id: UserID, level: int | None) -> dict[str, Any]:  # Any: JSON
        """What the room's power levels say when this user has another one; None: the one of everybody."""
        event = self.write.state((POWER_LEVELS,)).get(POWER_LEVELS)
        if event is None:
            # Without the event the creator has power, and with it, whoever it names; or creators always have it.
            first = None if self.levels.version.privileged_creators else creator(self.levels.create)
            content: dict[str, Any] = {} if first is None else {"users": {first: LONE_CREATOR_LEVEL}}
        else:
            content = dict(event.content)
        users = content.get("users")
        others = {one: has for one, has in users.items() if one != user_id} if isinstance(users, dict) else {}
        content["users"] = others if level is None else {**others, user_id: level}
        return content


async def by_local_power(
    creation: EventCreation, fn: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a write that adds events in the name of users of this server. Raises Forbidden if none of them may."""
    try:
        return await creation.write(fn, *args, **kwargs)
    except AuthRejected as rejected:
        raise Forbidden(f"{NOT_ALLOWED}: {rejected.reason}") from rejected


def local_powers(tx: Transaction, creation: EventCreation, room_id: RoomID) -> LocalPowers:
    """Who of this server has which power in a room: within a write that EventCreation has begun. Raises NotFound."""
    write = creation.writer.open(tx, room_id)
    state = {} if write is None else write.rules_state((CREATE, POWER_LEVELS))
    if write is None or CREATE not in state:
        raise NotFound(NO_ROOM)
    levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)

    def rank(user_id: UserID) -> tuple[Level, bool, UserID]:
        return -levels.user_level(user_id), creation.reaches_nobody(user_id), user_id

    return LocalPowers(write, levels, tuple(sorted(local_members(tx, room_id), key=rank)))
