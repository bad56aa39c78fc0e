"""Of whom keys are told, where the operator does not want accounts to be found by guessing: MSC4263.

Whoever shares a room is told, and keys of those in rooms that are open to all. Of others nothing is said, whether they
exist or not. It is not so unless the operator says so: clients ask for somebody's keys before they make a room with
them, and make one without encryption when they find none.
"""

from collections.abc import Sequence

from homeserver.core.device_keys import KeyQuery
from homeserver.core.identifiers import ServerName, UserID
from homeserver.services.errors import Forbidden
from homeserver.storage.database import Database
from homeserver.storage.key_visibility import visible_to_server, visible_to_user


class KeyVisibility:
    """Leaves out of queries those of whom the asker may not know."""

    def __init__(self, database: Database, *, is_limited: bool) -> None:
        self._database = database
        self._is_limited = is_limited

    async def for_user(self, viewer_id: UserID, queries: Sequence[KeyQuery]) -> Sequence[KeyQuery]:
        """What is answered of what a user of this server asks."""
        if not self._is_limited:
            return queries
        user_ids = {query.user_id for query in queries}
        visible = await self._database.read(visible_to_user, viewer_id, user_ids)
        return [query for query in queries if query.user_id in visible]

    async def for_server(self, server: ServerName, queries: Sequence[KeyQuery]) -> Sequence[KeyQuery]:
        """What is answered of what another server asks. Raises Forbidden if nothing is."""
        if not self._is_limited or not queries:
            return queries
        visible = await self._database.read(visible_to_server, server, {query.user_id for query in queries})
        if not visible:
            raise Forbidden("Your users share no room with these")
        return [query for query in queries if query.user_id in visible]

    async def check_server(self, server: ServerName, user_id: UserID) -> None:
        """Raises Forbidden unless a server may know of a user."""
        await self.for_server(server, [KeyQuery(user_id, frozenset())])
