"""Room aliases: who may give and take those of this server, and what they and those of other servers point to.

Spec: client-server-api/#room-aliases
"""

from collections.abc import Mapping
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.errors import AuthRejected, BadIdentifier
from homeserver.core.identifiers import (
    RoomAlias,
    RoomID,
    ServerName,
    UserID,
    is_legible_localpart,
    localpart_of,
    parse_room_id,
    server_name_of,
)
from homeserver.core.power_levels import read_power_levels
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.errors import AliasInUse, Forbidden, InvalidParameter, NotFound, NotRecommended, RemoteFailed
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.readers import NOT_IN_ROOM, Readers
from homeserver.services.rooms.several_servers import candidates
from homeserver.storage.aliases import Alias, aliases_of_room, delete_alias, find_alias, insert_alias
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_servers import servers_in_room

REMEMBERED_MS: Final = 60_000  # what another server said of one of its aliases
MOST_REMEMBERED: Final = 1_000
MOST_SERVERS_TOLD: Final = 50
ILLEGIBLE: Final = "A new alias is not empty, and has no blanks or invisible characters"


class RoomAliases:
    """Gives rooms names."""

    def __init__(
        self,
        database: Database,
        creation: EventCreation,
        readers: Readers,
        client: FederationClient,
        admission: Admission,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._creation = creation
        self._readers = readers
        self._client = client
        self._admission = admission
        self._clock = clock
        self.server_name = server_name
        self._remembered: dict[RoomAlias, tuple[int, RoomID, list[ServerName]]] = {}  # with when it was said

    async def resolve(
        self, room_alias: RoomAlias, *, is_remembered_enough: bool = True
    ) -> tuple[RoomID, list[ServerName]]:
        """The room of this name and servers that are in it. Raises NotFound, RemoteFailed.

        What another server said a moment ago will not do for somebody who would go there: a name leads to another room
        when its room is upgraded.
        """
        server = server_name_of(room_alias)
        if server is not None and server != self.server_name:
            remembered = self._find_remembered(room_alias) if is_remembered_enough else None
            return remembered or await self._resolve_elsewhere(room_alias, server)
        return await self.resolve_own(room_alias)

    async def resolve_own(self, room_alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        """As `resolve`, for an alias of this server. Raises NotFound."""
        return await self._database.read(self._resolve, room_alias)

    async def of_room(self, user_id: UserID, room_id: RoomID, *, is_admin: bool) -> list[RoomAlias]:
        """The room's names on this server, for those who may read the room, and for administrators."""
        return await self._database.read(self._of_room, user_id, room_id, is_admin=is_admin)

    async def create(self, user_id: UserID, room_alias: RoomAlias, room_id: RoomID) -> None:
        """Name a room.

        Raises InvalidParameter for another server's alias, or one that cannot be read, AliasInUse when it is taken,
        NotFound.
        """
        check_new_alias(room_alias, self.server_name)
        await self._admission.may_create_alias(user_id, room_alias)
        await self._database.write(self._create, Alias(room_alias, room_id, user_id))

    async def delete(self, user_id: UserID, room_alias: RoomAlias, *, is_admin: bool) -> None:
        """Take a name away: the one who gave it may, those who may set the canonical alias, and administrators."""
        await self._creation.write(self._delete, user_id, room_alias, is_admin=is_admin)

    def _resolve(self, tx: Transaction, room_alias: RoomAlias) -> tuple[RoomID, list[ServerName]]:
        alias = find_alias(tx, room_alias)
        if alias is None:
            raise NotFound(f"There is no room {room_alias}")
        others = sorted(servers_in_room(tx, alias.room_id) - {self.server_name})
        return alias.room_id, [self.server_name, *others[: MOST_SERVERS_TOLD - 1]]

    def _find_remembered(self, room_alias: RoomAlias) -> tuple[RoomID, list[ServerName]] | None:
        said_ms, room_id, servers = self._remembered.get(room_alias, (-REMEMBERED_MS, RoomID(""), []))
        return (room_id, servers) if self._clock.now_ms() - said_ms < REMEMBERED_MS else None

    async def _resolve_elsewhere(self, room_alias: RoomAlias, server: ServerName) -> tuple[RoomID, list[ServerName]]:
        now_ms = self._clock.now_ms()
        try:
            answer = await self._client.query_directory(server, room_alias, ignores_backoff=True)
            room_id, servers = _told(answer, server)
        except RemoteRefused as refused:
            if refused.status == 404:
                raise NotFound(f"There is no room {room_alias}") from refused
            raise RemoteFailed(refused.reason) from refused
        except RemoteError as failure:
            raise RemoteFailed(failure.reason) from failure
        self._remembered.pop(room_alias, None)
        self._remembered[room_alias] = (now_ms, room_id, servers)
        if len(self._remembered) > MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return room_id, servers

    def _of_room(self, tx: Transaction, user_id: UserID, room_id: RoomID, *, is_admin: bool) -> list[RoomAlias]:
        if not is_admin:
            access = self._readers.access(tx, room_id, user_id)
            if not access.is_joined and not access.is_open:
                raise Forbidden(NOT_IN_ROOM)
        return aliases_of_room(tx, room_id)

    def _create(self, tx: Transaction, alias: Alias) -> None:
        write = self._creation.writer.open(tx, alias.room_id)
        if write is None:
            raise Forbidden(NOT_IN_ROOM)
        key = ("m.room.member", alias.creator)
        member = write.state((key,)).get(key)
        if member is None or member.content.get("membership") != "join":
            raise Forbidden(NOT_IN_ROOM)
        if not insert_alias(tx, alias, created_ms=self._clock.now_ms()):
            raise AliasInUse

    def _delete(self, tx: Transaction, user_id: UserID, room_alias: RoomAlias, *, is_admin: bool) -> None:
        alias = find_alias(tx, room_alias)
        if alias is None:
            raise NotFound(f"There is no room {room_alias}")
        write = self._creation.writer.open(tx, alias.room_id)
        if alias.creator != user_id and not is_admin and (write is None or not _may_set_alias(write, user_id)):
            raise Forbidden("You may not delete this alias")
        delete_alias(tx, room_alias)
        if write is not None:
            drop_from_state(self._creation, write, user_id, room_alias)


def check_new_alias(room_alias: RoomAlias, server_name: ServerName) -> None:
    """Raise InvalidParameter for an alias that is another server's to give, or that cannot be read."""
    if server_name_of(room_alias) != server_name:
        raise InvalidParameter(f"Aliases of this server end in :{server_name}")
    if not is_legible_localpart(localpart_of(room_alias)):
        raise InvalidParameter(ILLEGIBLE)


def drop_from_state(creation: EventCreation, write: RoomWrite, user_id: UserID, room_alias: RoomAlias) -> None:
    """Take the alias out of m.room.canonical_alias, if the user may write that; if not, it stays there."""
    key = ("m.room.canonical_alias", "")
    current = write.state((key,)).get(key)
    if current is None:
        return
    content = dict(current.content)
    others = content.get("alt_aliases")
    if content.get("alias") == room_alias:
        del content["alias"]
    if isinstance(others, list):
        content["alt_aliases"] = [other for other in others if other != room_alias]
    if content == current.content or creation.reaches_nobody(user_id):
        return
    try:
        creation.add(write, Draft(key[0], user_id, content, state_key=""))
    except (AuthRejected, NotRecommended):
        return
    write.finish()


def _told(answer: Mapping[str, Any], server: ServerName) -> tuple[RoomID, list[ServerName]]:
    """What a server says of one of its aliases: the room, and servers that are in it. Any: JSON. RemoteNonsense."""
    try:
        room_id = parse_room_id(str(answer.get("room_id")))
    except BadIdentifier as bad:
        raise RemoteNonsense(f"{server} names no room: {bad.reason}") from bad
    names = [name for name in answer["servers"][:MOST_SERVERS_TOLD] if isinstance(name, str)]
    return room_id, candidates(ServerName(""), names) or [server]


def _may_set_alias(write: RoomWrite, user_id: UserID) -> bool:
    member_key = ("m.room.member", user_id)
    state = write.rules_state((CREATE, POWER_LEVELS, member_key))
    member = state.get(member_key)
    if member is None or member.content.get("membership") != "join":
        return False
    levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)
    return levels.may_send(user_id, "m.room.canonical_alias", is_state=True)
