"""What other servers ask about names of this server: which room an alias means, how a user wants to be shown.

Spec: server-server-api/#querying-for-information
"""

from collections.abc import Mapping
from typing import Any

from homeserver.core.identifiers import RoomAlias, RoomID, ServerName, UserID, server_name_of, server_name_of_user
from homeserver.services.accounts.profiles import NOBODY, Profiles
from homeserver.services.errors import NotFound
from homeserver.services.rooms.aliases import RoomAliases


class DirectoryQueries:
    """Answers what is asked about this server's own aliases and users, and about no others."""

    def __init__(self, aliases: RoomAliases, profiles: Profiles, server_name: ServerName) -> None:
        self._aliases = aliases
        self._profiles = profiles
        self._server_name = server_name

    async def room(self, room_alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        """The room of this name and servers that are in it. Raises NotFound."""
        if server_name_of(room_alias) != self._server_name:
            raise NotFound(f"There is no room {room_alias}")
        return await self._aliases.resolve_own(room_alias)

    async def profile(self, user_id: UserID, field: str | None) -> Mapping[str, Any]:  # Any: JSON
        """A user's profile, or that one field of it, if it is set. Raises NotFound."""
        if server_name_of_user(user_id) != self._server_name:
            raise NotFound(NOBODY)
        fields = await self._profiles.profile(user_id)
        return fields if field is None else {key: value for key, value in fields.items() if key == field}
