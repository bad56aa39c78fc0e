"""Client-server API: the event of a room that is closest to a time."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.event_times import EventTimes


class EventTimeQuery(msgspec.Struct, frozen=True, rename={"direction": "dir"}):
    """Which time, and on which side of it."""

    ts: int
    direction: Literal["f", "b"]


@dataclass(frozen=True)
class EventTimeEndpoints:
    """Events by their time."""

    times: EventTimes

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event",
        query=EventTimeQuery,
    )
    async def closest(self, request: Request[EventTimeQuery, NoBody]) -> Reply:
        """The event closest to a time."""
        event_id, at_ms = await self.times.closest(
            request.requester.user_id, request.room_id, request.query.ts, backwards=request.query.direction == "b"
        )
        return Reply({"event_id": event_id, "origin_server_ts": at_ms})
