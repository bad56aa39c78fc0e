"""Server-server API: backfilling and retrieving missing events."""

from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.core.identifiers import EventID
from homeserver.http.endpoint import FEDERATION, NoBody, NoQuery, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.serving_events import EventServing

DEFAULT_MISSING: Final = 10


class BackfillQuery(msgspec.Struct, frozen=True):
    """From which events on backwards, and how many."""

    v: list[str]
    limit: int


class MissingEvents(msgspec.Struct, frozen=True):
    """Between which events, and how many."""

    earliest_events: tuple[str, ...] = ()  # servers leave out what is empty, though the specification has them not
    latest_events: tuple[str, ...] = ()
    limit: int = DEFAULT_MISSING
    min_depth: int = 0


@dataclass(frozen=True)
class FederationHistoryEndpoints:
    """What came before."""

    events: EventServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/backfill/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1backfillroomid",
        query=BackfillQuery,
    )
    async def backfill(self, request: Request[BackfillQuery, NoBody]) -> Reply:
        """Events before some, and these."""
        wanted = [EventID(each) for each in request.query.v]
        return Reply(await self.events.before(request.peer, request.room_id, wanted, request.query.limit))

    @endpoint(
        "POST",
        "/_matrix/federation/v1/get_missing_events/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#post_matrixfederationv1get_missing_eventsroomid",
        body=MissingEvents,
    )
    async def missing_events(self, request: Request[NoQuery, MissingEvents]) -> Reply:
        """Events between some and others."""
        asked = request.body
        events = await self.events.missing(
            request.peer,
            request.room_id,
            earliest=[EventID(each) for each in asked.earliest_events],
            latest=[EventID(each) for each in asked.latest_events],
            limit=asked.limit,
            min_depth=asked.min_depth,
        )
        return Reply({"events": events})
