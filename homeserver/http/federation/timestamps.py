"""Server-server API: the event closest to a time."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.endpoint import FEDERATION, NoBody, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.timestamps import TimestampServing


class TimestampQuery(msgspec.Struct, frozen=True, rename={"direction": "dir"}):
    """Which time, and on which side of it."""

    ts: int
    direction: Literal["f", "b"]


@dataclass(frozen=True)
class FederationTimestampEndpoints:
    """Events by their time."""

    timestamps: TimestampServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/timestamp_to_event/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1timestamp_to_eventroomid",
        query=TimestampQuery,
    )
    async def closest(self, request: Request[TimestampQuery, NoBody]) -> Reply:
        """The event closest to a time."""
        event_id, at_ms = await self.timestamps.closest(
            request.peer, request.room_id, request.query.ts, backwards=request.query.direction == "b"
        )
        return Reply({"event_id": event_id, "origin_server_ts": at_ms})
