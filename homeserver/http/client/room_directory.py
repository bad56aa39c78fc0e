"""Client-server API: room aliases, and the public directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import msgspec

from homeserver.core.identifiers import parse_room_id
from homeserver.http.directory_pages import RoomsFilter, page_reply
from homeserver.http.endpoint import (
    ACCESS_TOKEN,
    EMPTY,
    NONE,
    NoBody,
    NoQuery,
    PlainRequest,
    Reply,
    Request,
    endpoint,
)
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.aliases import RoomAliases
from homeserver.services.rooms.directory import DirectoryPage, RoomDirectory
from homeserver.services.rooms.remote_directory import RemoteDirectory


class AliasBody(msgspec.Struct, frozen=True):
    """What an alias points to."""

    room_id: str


class VisibilityBody(msgspec.Struct, frozen=True):
    """Whether a room is shown."""

    visibility: Literal["public", "private"] = "public"


class PublicRoomsQuery(msgspec.Struct, frozen=True):
    """A page of the directory."""

    limit: int | None = None
    since: str | None = None
    server: str | None = None


class ServerQuery(msgspec.Struct, frozen=True):
    """Whose directory."""

    server: str | None = None


class PublicRoomsBody(msgspec.Struct, frozen=True):
    """A page of the directory, filtered."""

    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter = RoomsFilter()
    include_all_networks: bool = False
    third_party_instance_id: str | None = None


class Search(TypedDict, total=False):
    """What is looked for in a directory."""

    term: str | None
    room_types: Sequence[str | None] | None
    limit: int | None
    since: str | None


@dataclass(frozen=True)
class RoomDirectoryEndpoints:
    """How rooms are found."""

    aliases: RoomAliases
    directory: RoomDirectory
    elsewhere: RemoteDirectory

    @endpoint(
        "GET",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3directoryroomroomalias",
    )
    async def resolve_alias(self, request: PlainRequest) -> Reply:
        """The room of this name."""
        room_id, servers = await self.aliases.resolve(request.room_alias)
        return Reply({"room_id": room_id, "servers": servers})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3directoryroomroomalias",
        body=AliasBody,
        suspended=False,
    )
    async def create_alias(self, request: Request[NoQuery, AliasBody]) -> Reply:
        """Name a room."""
        room_id = parse_room_id(request.body.room_id)
        await self.aliases.create(request.requester.user_id, request.room_alias, room_id)
        return EMPTY

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/directory/room/{roomAlias}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#delete_matrixclientv3directoryroomroomalias",
    )
    async def delete_alias(self, request: PlainRequest) -> Reply:
        """Take a name away."""
        requester = request.requester
        await self.aliases.delete(requester.user_id, request.room_alias, is_admin=requester.is_admin)
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/aliases",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidaliases",
    )
    async def aliases_of_room(self, request: PlainRequest) -> Reply:
        """A room's names on this server."""
        requester = request.requester
        aliases = await self.aliases.of_room(requester.user_id, request.room_id, is_admin=requester.is_admin)
        return Reply({"aliases": aliases})

    @endpoint(
        "GET",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        auth=NONE,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3directorylistroomroomid",
    )
    async def visibility(self, request: PlainRequest) -> Reply:
        """Whether a room is in the directory."""
        is_published = await self.directory.is_published(request.room_id)
        return Reply({"visibility": "public" if is_published else "private"})

    @endpoint(
        "PUT",
        "/_matrix/client/v3/directory/list/room/{roomId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#put_matrixclientv3directorylistroomroomid",
        body=VisibilityBody,
        suspended=False,
    )
    async def set_visibility(self, request: Request[NoQuery, VisibilityBody]) -> Reply:
        """Put a room into the directory, or take it out."""
        requester = request.requester
        await self.directory.publish(
            requester.user_id,
            request.room_id,
            is_published=request.body.visibility == "public",
            is_admin=requester.is_admin,
        )
        return EMPTY

    @endpoint(
        "GET",
        "/_matrix/client/v3/publicRooms",
        auth=NONE,
        limit=RateClass.SEARCH,
        spec="client-server-api/#get_matrixclientv3publicrooms",
        query=PublicRoomsQuery,
    )
    async def public_rooms(self, request: Request[PublicRoomsQuery, NoBody]) -> Reply:
        """The directory, page by page."""
        query = request.query
        return page_reply(await self._search(query.server, limit=_limit(query.limit), since=query.since))

    @endpoint(
        "POST",
        "/_matrix/client/v3/publicRooms",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#post_matrixclientv3publicrooms",
        query=ServerQuery,
        body=PublicRoomsBody,
        guests=True,
    )
    async def query_public_rooms(self, request: Request[ServerQuery, PublicRoomsBody]) -> Reply:
        """The rooms of the directory that a filter leaves."""
        body = request.body
        page = await self._search(
            request.query.server,
            term=body.filter.generic_search_term,
            room_types=body.filter.room_types,
            limit=_limit(body.limit),
            since=body.since,
        )
        return page_reply(page)

    async def _search(self, server: str | None, **asked: Unpack[Search]) -> DirectoryPage:
        if server is None or server == self.aliases.server_name:
            return await self.directory.search(**asked)
        return await self.elsewhere.search(server, **asked)


def _limit(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise InvalidParameter("A limit is at least 1")
    return limit
