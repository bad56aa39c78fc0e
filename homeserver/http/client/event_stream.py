"""Client-server API: the event stream that came before /sync, also of one room for those who are not in it."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import RoomID
from homeserver.core.presence import PresenceWord
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.presence import Presence
from homeserver.services.sync.event_stream import EventStream


class EventsQuery(msgspec.Struct, frozen=True, rename={"begin": "from"}):
    """From where, how long to wait, of which room. What is not in the specification is what /sync has, or once was."""

    begin: str | None = None
    timeout: int = 0  # as /sync has it: the specification says nothing
    limit: int | None = None
    set_presence: PresenceWord | None = None
    room_id: RoomID | None = None


@dataclass(frozen=True)
class EventStreamEndpoints:
    """The older long poll."""

    stream: EventStream
    presence: Presence

    @endpoint(
        "GET",
        "/_matrix/client/v3/events",
        auth=ACCESS_TOKEN,
        limit=RateClass.FREE,
        spec="client-server-api/#get_matrixclientv3events",
        query=EventsQuery,
        guests=True,
        waits=True,
    )
    async def events(self, request: Request[EventsQuery, NoBody]) -> Reply:
        """What happened since a token, or, if nothing did, what happens then."""
        query, requester = request.query, request.requester
        if query.timeout < 0 or (query.limit or 0) < 0:
            raise InvalidParameter("Neither a timeout nor a limit is negative")
        viewer = Viewer(requester.user_id, requester.device_id)
        since = None if not query.begin else parse_sync_token(query.begin)
        if query.room_id is not None:
            answer = await self.stream.peek(viewer, query.room_id, since, timeout_ms=query.timeout, limit=query.limit)
        elif requester.is_guest:
            raise InvalidParameter("Guests follow one room: room_id is missing")
        else:
            with self.presence.polling(requester.user_id, requester.device_id, query.set_presence):
                answer = await self.stream.follow(viewer, since, timeout_ms=query.timeout, limit=query.limit)
        return Reply({"start": str(answer.start), "end": str(answer.chunk.end), "chunk": answer.chunk.events})
