"""Server-server API: the public room directory."""

from dataclasses import dataclass

import msgspec

from homeserver.http.directory_pages import RoomsFilter, page_reply
from homeserver.http.endpoint import FEDERATION, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.parameters import checked_limit
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.directory import RoomDirectory


class PageQuery(msgspec.Struct, frozen=True):
    """A page of the directory; a limit of 0 is none. There are no networks here but this one."""

    limit: int | None = None
    since: str | None = None


class FilteredPage(msgspec.Struct, frozen=True):
    """A page of the directory, filtered."""

    limit: int | None = None
    since: str | None = None
    filter: RoomsFilter | None = None


@dataclass(frozen=True)
class FederationPublicRoomsEndpoints:
    """The rooms that this server shows to everybody."""

    rooms: RoomDirectory

    @endpoint(
        "GET",
        "/_matrix/federation/v1/publicRooms",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1publicrooms",
        query=PageQuery,
    )
    async def public_rooms(self, request: Request[PageQuery, NoBody]) -> Reply:
        """The directory, page by page."""
        return page_reply(await self.rooms.search(limit=checked_limit(request.query.limit), since=request.query.since))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/publicRooms",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#post_matrixfederationv1publicrooms",
        body=FilteredPage,
    )
    async def query_public_rooms(self, request: Request[NoQuery, FilteredPage]) -> Reply:
        """The rooms of the directory that a filter leaves."""
        asked = request.body
        wanted = asked.filter or RoomsFilter()
        page = await self.rooms.search(
            term=wanted.generic_search_term,
            room_types=wanted.room_types,
            limit=checked_limit(asked.limit),
            since=asked.since,
        )
        return page_reply(page)
