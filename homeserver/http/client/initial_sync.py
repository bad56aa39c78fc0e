"""Client-server API: everything at once, as before /sync; and one room at once, also for those who are not in it."""

from dataclasses import dataclass

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.parameters import checked_limit
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.presence import Presence
from homeserver.services.sync.initial_sync import InitialSync


class InitialSyncQuery(msgspec.Struct, frozen=True):
    """How many messages of each room, and whether rooms that were left are wanted."""

    limit: int | None = None
    archived: bool = False


class RoomInitialSyncQuery(msgspec.Struct, frozen=True):
    """How many messages. Not in the specification, which speaks of a limit all the same."""

    limit: int | None = None


@dataclass(frozen=True)
class InitialSyncEndpoints:
    """First answers."""

    initial_sync: InitialSync
    presence: Presence

    @endpoint(
        "GET",
        "/_matrix/client/v3/initialSync",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3initialsync",
        query=InitialSyncQuery,
    )
    async def everything(self, request: Request[InitialSyncQuery, NoBody]) -> Reply:
        """All rooms of the user, and what belongs to the account. Who asks is there, as with a first /sync."""
        query, viewer = request.query, request.viewer
        limit = checked_limit(query.limit)
        with self.presence.polling(viewer.user_id, viewer.device_id, None):
            return Reply(await self.initial_sync.everything(viewer, limit=limit, archived=query.archived))

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/initialSync",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidinitialsync",
        query=RoomInitialSyncQuery,
        guests=True,
    )
    async def room(self, request: Request[RoomInitialSyncQuery, NoBody]) -> Reply:
        """One room with its newest messages."""
        limit = checked_limit(request.query.limit)
        return Reply(await self.initial_sync.room(request.viewer, request.room_id, limit=limit))
