"""Server-server API: a room's state before an event, and what authorises an event."""

from dataclasses import dataclass

import msgspec

from homeserver.core.identifiers import EventID, parse_event_id
from homeserver.http.endpoint import FEDERATION, NoBody, PlainRequest, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.federation.serving_state import StateServing


class StateAtQuery(msgspec.Struct, frozen=True):
    """Before which event."""

    event_id: str

    @property
    def checked(self) -> EventID:
        """Raises BadIdentifier."""
        return parse_event_id(self.event_id)


@dataclass(frozen=True)
class FederationStateEndpoints:
    """States and auth chains."""

    states: StateServing

    @endpoint(
        "GET",
        "/_matrix/federation/v1/state/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1stateroomid",
        query=StateAtQuery,
    )
    async def state(self, request: Request[StateAtQuery, NoBody]) -> Reply:
        """The events of a state."""
        return Reply(await self.states.state(request.peer, request.room_id, request.query.checked))

    @endpoint(
        "GET",
        "/_matrix/federation/v1/state_ids/{roomId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1state_idsroomid",
        query=StateAtQuery,
    )
    async def state_ids(self, request: Request[StateAtQuery, NoBody]) -> Reply:
        """The IDs of the events of a state."""
        return Reply(await self.states.state_ids(request.peer, request.room_id, request.query.checked))

    @endpoint(
        "GET",
        "/_matrix/federation/v1/event_auth/{roomId}/{eventId}",
        auth=FEDERATION,
        limit=RateClass.FEDERATION,
        spec="server-server-api/#get_matrixfederationv1event_authroomideventid",
    )
    async def event_auth(self, request: PlainRequest) -> Reply:
        """The auth chain of an event."""
        return Reply(await self.states.auth_chain(request.peer, request.room_id, request.event_id))
