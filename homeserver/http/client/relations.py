"""Client-server API: forming relationships between events; what relates to an event."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, Reply, Request, endpoint
from homeserver.http.parameters import read_token
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.relations import Relations, RelationsQuestion


class RelationsQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to", "direction": "dir"}):
    """From where to where, in which direction, and whether what relates to the children is wanted too."""

    begin: str | None = None
    end: str | None = None
    limit: int | None = None
    direction: Literal["b", "f"] = "b"
    recurse: bool | None = None


@dataclass(frozen=True)
class RelationsEndpoints:
    """The events that relate to another one."""

    relations: Relations

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventid",
        query=RelationsQuery,
    )
    async def related(self, request: Request[RelationsQuery, NoBody]) -> Reply:
        """All that relates to an event."""
        return await self._related(request, None, None)

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltype",
        query=RelationsQuery,
    )
    async def related_by_type(self, request: Request[RelationsQuery, NoBody]) -> Reply:
        """What relates to an event in one way."""
        return await self._related(request, request.path["relType"], None)

    @endpoint(
        "GET",
        "/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv1roomsroomidrelationseventidreltypeeventtype",
        query=RelationsQuery,
    )
    async def related_by_types(self, request: Request[RelationsQuery, NoBody]) -> Reply:
        """What relates to an event in one way and is of one type."""
        return await self._related(request, request.path["relType"], request.path["eventType"])

    async def _related(
        self, request: Request[RelationsQuery, NoBody], rel_type: str | None, event_type: str | None
    ) -> Reply:
        query = request.query
        if query.limit is not None and query.limit < 1:
            raise InvalidParameter("A limit is greater than zero")
        question = RelationsQuestion(
            rel_type=rel_type,
            event_type=event_type,
            begin=read_token(query.begin),
            end=read_token(query.end),
            backwards=query.direction == "b",
            limit=query.limit,
            recurse=bool(query.recurse),
        )
        viewer = request.viewer
        page = await self.relations.related(viewer, request.room_id, request.event_id, question)
        body: dict[str, Any] = {"chunk": page.chunk}
        if page.next_batch is not None:
            body["next_batch"] = page.next_batch
        if page.prev_batch is not None:
            body["prev_batch"] = page.prev_batch
        if query.recurse is not None:
            body["recursion_depth"] = page.recursion_depth
        return Reply(body)
