"""Server-server API: querying for information."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import parse_room_alias, parse_user_id
from homeserver.http.endpoint import FEDERATION, NoBody, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import Unrecognized
from homeserver.services.federation.directory_queries import DirectoryQueries


class DirectoryQuery(msgspec.Struct, frozen=True):
    """Which alias."""

    room_alias: str


class ProfileQuery(msgspec.Struct, frozen=True):
    """Whose profile, and what of it."""

    user_id: str
    field: str | None = None


@dataclass(frozen=True)
class FederationQueryEndpoints:
    """Questions about aliases and profiles."""

    queries: DirectoryQueries

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/directory",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1querydirectory",
        query=DirectoryQuery,
    )
    async def directory(self, request: Request[DirectoryQuery, NoBody]) -> Reply:
        """The room of an alias."""
        room_id, servers = await self.queries.room(parse_room_alias(request.query.room_alias))
        return Reply({"room_id": room_id, "servers": servers})

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/profile",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1queryprofile",
        query=ProfileQuery,
    )
    async def profile(self, request: Request[ProfileQuery, NoBody]) -> Reply:
        """A user's profile."""
        return Reply(await self.queries.profile(parse_user_id(request.query.user_id), request.query.field))

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/{queryType}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1queryquerytype",
    )
    async def other(self, request: PlainRequest) -> Reply:
        """Whatever else servers may ask some day."""
        raise Unrecognized(f"This server answers no queries of the type {request.path['queryType']:.60}")
