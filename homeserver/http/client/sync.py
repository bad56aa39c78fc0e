"""Client-server API: syncing."""

from dataclasses import dataclass

import msgspec

from homeserver.core.presence import PresenceWord
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.presence import Presence
from homeserver.services.sync.long_poll import LongPoll
from homeserver.services.sync.request import SyncRequest
from homeserver.services.sync.stored_filters import StoredFilters


class SyncQuery(msgspec.Struct, frozen=True):
    """What a client wants to hear of, since when, and how long it waits."""

    filter: str | None = None
    since: str | None = None
    full_state: bool = False
    set_presence: PresenceWord | None = None  # online, unless the user has said something else
    timeout: int = 0
    use_state_after: bool = False


@dataclass(frozen=True)
class SyncEndpoints:
    """The long poll."""

    long_poll: LongPoll
    filters: StoredFilters
    presence: Presence

    @endpoint(
        "GET",
        "/_matrix/client/v3/sync",
        auth=ACCESS_TOKEN,
        limit=RateClass.FREE,
        spec="client-server-api/#get_matrixclientv3sync",
        query=SyncQuery,
        guests=True,
        waits=True,
    )
    async def sync(self, request: Request[SyncQuery, NoBody]) -> Reply:
        """What happened since the client's token, now or when something does."""
        query = request.query
        if query.timeout < 0:
            raise InvalidParameter("A timeout is not negative")
        requester = request.requester
        asked = SyncRequest(
            viewer=Viewer(requester.user_id, requester.device_id),
            since=None if not query.since else parse_sync_token(query.since),
            filter=await self.filters.find(requester.user_id, query.filter),
            full_state=query.full_state,
            state_after=query.use_state_after,
            timeout_ms=query.timeout,
        )
        with self.presence.polling(requester.user_id, requester.device_id, query.set_presence):
            answer = await self.long_poll.sync(asked)
        return Reply(answer.body)
