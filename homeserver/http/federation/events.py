"""Server-server API: retrieving events."""

from dataclasses import dataclass

from homeserver.http.endpoint import FEDERATION, PlainRequest, Reply, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.serving_events import EventServing


@dataclass(frozen=True)
class FederationEventEndpoints:
    """Single events."""

    events: EventServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/event/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1eventeventid",
    )
    async def event(self, request: PlainRequest) -> Reply:
        """One event."""
        return Reply(await self.events.event(request.peer, request.event_id))
