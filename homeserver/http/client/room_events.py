"""Client-server API: getting events for a room."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from homeserver.http.endpoint import ACCESS_TOKEN, NoBody, PlainRequest, Reply, Request, endpoint
from homeserver.http.history_pages import context_answer, history_answer
from homeserver.http.parameters import checked_limit, read_event_filter, read_token
from homeserver.http.rate_limiting import RateClass
from homeserver.services.rooms.room_history import RoomHistory
from homeserver.services.rooms.timeline import Timeline


class StateQuery(msgspec.Struct, frozen=True):
    """Whether the content alone or the whole event is wanted."""

    format: Literal["content", "event"] = "content"


class MembersQuery(msgspec.Struct, frozen=True):
    """Which members, and when."""

    at: str | None = None
    membership: Literal["join", "invite", "leave", "ban", "knock"] | None = None
    not_membership: Literal["join", "invite", "leave", "ban", "knock"] | None = None


class MessagesQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to", "direction": "dir"}):
    """From where to where, in which direction."""

    direction: Literal["b", "f"]
    begin: str | None = None
    end: str | None = None
    limit: int | None = None
    filter: str | None = None


class ContextQuery(msgspec.Struct, frozen=True):
    """How much around the event."""

    limit: int | None = None
    filter: str | None = None


@dataclass(frozen=True)
class RoomEventsEndpoints:
    """A room's events, state and members."""

    timeline: Timeline
    history: RoomHistory

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/event/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomideventeventid",
        guests=True,
    )
    async def event(self, request: PlainRequest) -> Reply:
        """One event."""
        return Reply(await self.timeline.event(request.viewer, request.room_id, request.event_id))

    @endpoint(
        "GET",
        "/_matrix/client/v3/events/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3eventseventid",
    )
    async def event_of_any_room(self, request: PlainRequest) -> Reply:
        """One event, whatever its room."""
        return Reply(await self.timeline.event_of_any_room(request.viewer, request.event_id))

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey",
        query=StateQuery,
        guests=True,
    )
    async def state_event(self, request: Request[StateQuery, NoBody]) -> Reply:
        """One piece of the room's state."""
        found = await self.timeline.state_event(
            request.viewer,
            request.room_id,
            request.path["eventType"],
            request.path.get("stateKey", ""),
            whole_event=request.query.format == "event",
        )
        return Reply(found)

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/state",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidstate",
        guests=True,
    )
    async def state(self, request: PlainRequest) -> Reply:
        """The whole state of the room."""
        return Reply(await self.timeline.state(request.viewer, request.room_id))

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/members",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidmembers",
        query=MembersQuery,
        guests=True,
    )
    async def members(self, request: Request[MembersQuery, NoBody]) -> Reply:
        """The member events of the room."""
        chunk = await self.timeline.members(
            request.viewer,
            request.room_id,
            at=read_token(request.query.at),
            membership=request.query.membership,
            not_membership=request.query.not_membership,
        )
        return Reply({"chunk": chunk})

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/joined_members",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidjoined_members",
    )
    async def joined_members(self, request: PlainRequest) -> Reply:
        """How those who are in the room are shown."""
        members = await self.timeline.joined_members(request.viewer, request.room_id)
        joined = {}
        for user_id, (display_name, avatar_url) in members.items():
            shown = {"display_name": display_name, "avatar_url": avatar_url}
            joined[user_id] = {key: value for key, value in shown.items() if value is not None}
        return Reply({"joined": joined})

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/messages",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidmessages",
        query=MessagesQuery,
        guests=True,
    )
    async def messages(self, request: Request[MessagesQuery, NoBody]) -> Reply:
        """A page of the room's history."""
        query = request.query
        page = await self.history.messages(
            request.viewer,
            request.room_id,
            begin=read_token(query.begin),
            end=read_token(query.end),
            backwards=query.direction == "b",
            limit=checked_limit(query.limit),
            event_filter=read_event_filter(query.filter),
        )
        return Reply(history_answer(page))

    @endpoint(
        "GET",
        "/_matrix/client/v3/rooms/{roomId}/context/{eventId}",
        auth=ACCESS_TOKEN,
        limit=RateClass.GENERAL,
        spec="client-server-api/#get_matrixclientv3roomsroomidcontexteventid",
        query=ContextQuery,
        guests=True,
    )
    async def context(self, request: Request[ContextQuery, NoBody]) -> Reply:
        """An event and what is around it."""
        context = await self.history.context(
            request.viewer,
            request.room_id,
            request.event_id,
            checked_limit(request.query.limit),
            read_event_filter(request.query.filter),
        )
        return Reply(context_answer(context))
