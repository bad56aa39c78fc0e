"""One room as it is shown to somebody who thinks of joining it. Spec: client-server-api/#room-summaries"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import RoomAlias, RoomID, ServerName, UserID, parse_room_id
from homeserver.services.errors import NotFound
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.announced_rooms import announced_room
from homeserver.services.rooms.remote_spaces import RemoteSpaces, ToldRoom
from homeserver.services.rooms.several_servers import candidates
from homeserver.services.rooms.spaces import Spaces
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership
from homeserver.storage.partial_rooms import find_partial_room
from homeserver.storage.remote_memberships import find_remote_membership
from homeserver.storage.rooms import find_head

# JSON is `Any` here.

NO_ROOM: Final = "There is no such room, or you may not look into it"


@dataclass(frozen=True, slots=True)
class _Known:
    """What this server can say of a room by itself."""

    summary: Mapping[str, Any] | None
    is_here: bool  # or closed by the administrators, so that nobody else is asked
    inviting: Sequence[str]


class RoomSummaries:
    """Describes rooms."""

    def __init__(
        self,
        database: Database,
        spaces: Spaces,
        remote: RemoteSpaces,
        aliases: RoomAliases,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._spaces = spaces
        self._remote = remote
        self._aliases = aliases
        self._server_name = server_name

    async def summary(self, user_id: UserID | None, room: str, *, via: Sequence[str] = ()) -> Mapping[str, Any]:
        """The room of this ID or alias, and what the user is in it.

        For nobody in particular (None) no other server is asked about the room. Where none answers, what came with an
        invite of the user's, or an answer to a knock, has to do. Raises NotFound, RemoteFailed.
        """
        room_id, told_of = (parse_room_id(room), ()) if not room.startswith("#") else await self._resolved(room)
        known = await self._database.read(self._here, room_id, user_id)
        if known.summary is not None:
            return known.summary
        if known.is_here or user_id is None:
            raise NotFound(NO_ROOM)
        servers = candidates(self._server_name, known.inviting, via, told_of, [room_id.partition(":")[2]])
        told = await self._remote.find(room_id, servers, suggested_only=False)
        if told is None:
            return await self._database.read(self._announced, room_id, user_id)
        return await self._database.read(self._elsewhere, told.room, user_id)

    async def _resolved(self, alias: str) -> tuple[RoomID, Sequence[ServerName]]:
        return await self._aliases.resolve(RoomAlias(alias))

    def _here(self, tx: Transaction, room_id: RoomID, user_id: UserID | None) -> _Known:
        head = find_head(tx, room_id)
        if head is not None and head.is_blocked:
            return _Known(None, is_here=True, inviting=())
        here = self._spaces.find_here(tx, room_id)
        if here is None:
            invite = None if user_id is None else find_remote_membership(tx, room_id, user_id)
            inviting = () if invite is None else (invite.told_by,)
            partial = find_partial_room(tx, room_id)
            return _Known(None, is_here=False, inviting=inviting if partial is None else (partial.given_by,))
        if not self._spaces.entrance(tx, here).lets_in(tx, room_id, user_id):
            return _Known(None, is_here=True, inviting=())
        summary = self._spaces.summary(tx, here, suggested_only=False)
        return _Known(_with_membership(tx, summary, user_id), is_here=True, inviting=())

    def _announced(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> Mapping[str, Any]:
        announced = announced_room(tx, room_id, user_id)
        if announced is None:
            raise NotFound(NO_ROOM)
        return _with_membership(tx, announced, user_id)

    def _elsewhere(self, tx: Transaction, told: ToldRoom, user_id: UserID) -> Mapping[str, Any]:
        if not told.entrance.lets_in(tx, told.room_id, user_id):
            raise NotFound(NO_ROOM)
        return _with_membership(tx, told.summary, user_id)


def _with_membership(tx: Transaction, summary: Mapping[str, Any], user_id: UserID | None) -> Mapping[str, Any]:
    shown = {name: value for name, value in summary.items() if name != "children_state"}
    membership = None if user_id is None else find_membership(tx, shown["room_id"], user_id)
    return shown if membership is None else {**shown, "membership": membership.membership}
