"""Users of this server whom nobody hears: what they say is answered as though it had been said, and goes nowhere.

They are not to notice. So what they ask for is judged like anybody's, and refused with the same words; what would be
done then is not, unless it concerns nobody but themselves. That they come into rooms and leave them others do see,
since rooms would not let them read else; without a name, a picture or a reason, by which something could be said.

Each service that passes on what users say looks here first; for events that is EventCreation.say.
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.identifiers import UserID
from homeserver.storage.accounts import shadow_banned_users
from homeserver.storage.database import Database

# Of a membership, besides which it is: how it may be judged in a room that members of others let users into.
KEPT: Final = ("membership", "join_authorised_via_users_server")


class ShadowBans:
    """Who they are, in memory: it is asked for with everything that anybody says."""

    def __init__(self) -> None:
        self._users: set[str] = set()

    async def load(self, database: Database) -> None:
        """Read them from the database: to be called once, before anybody says anything."""
        self._users.update(await database.read(shadow_banned_users))

    def note(self, user_id: UserID, *, is_banned: bool) -> None:
        """Somebody is one of them now, or is no longer: to be called after the commit of that."""
        if is_banned:
            self._users.add(user_id)
        else:
            self._users.discard(user_id)

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._users


def heard_of_membership(
    content: Mapping[str, Any], current: Mapping[str, Any] | None
) -> dict[str, Any] | None:  # Any: JSON
    """What others hear of a membership that such a user gives themselves, in place of `current`; None: nothing."""
    membership = content.get("membership")
    if membership not in ("join", "leave") or (current is not None and current.get("membership") == membership):
        return None
    return {key: content[key] for key in KEPT if key in content}
