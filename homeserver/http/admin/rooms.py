"""Administration: the rooms that this server knows, and everything in them.

Each lies under a name of this server's own and under that of Synapse, whose tools use it, and has the shape of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from homeserver.core.sync_tokens import PaginationToken, SyncToken
from homeserver.http.endpoint import NoBody, OpaqueObject, PlainRequest, Reply, Request, admin_endpoint
from homeserver.http.history_pages import ContextAnswer, HistoryAnswer, context_answer, history_answer
from homeserver.http.parameters import checked_limit, read_event_filter, read_token
from homeserver.services.admin.rooms import Extremity, RoomDescription, RoomReading
from homeserver.services.errors import InvalidParameter
from homeserver.storage.room_listing import RoomWanted

SYNAPSE_ROOMS: Final = "https://element-hq.github.io/synapse/latest/admin_api/rooms.html"
SYNAPSE_EVENTS: Final = "https://element-hq.github.io/synapse/latest/admin_api/fetch_event.html"
OLD_ORDERS: Final = {"alphabetical": "name", "size": "joined_members"}


class RoomsQuery(msgspec.Struct, frozen=True, rename={"skipped": "from", "direction": "dir"}):
    """Which rooms, in which order, from which on."""

    skipped: int = 0
    limit: int = 100
    order_by: str = "name"
    direction: Literal["f", "b"] = "f"
    search_term: str | None = None
    public_rooms: bool | None = None
    empty_rooms: bool | None = None


class StateQuery(msgspec.Struct, frozen=True):
    """Of which type; without, all of it."""

    type: str | None = None


class HistoryQuery(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to", "direction": "dir"}):
    """From where to where, in which direction."""

    begin: str | None = None
    end: str | None = None
    direction: Literal["b", "f"] = "f"
    limit: int = 10
    filter: str | None = None


class AroundQuery(msgspec.Struct, frozen=True):
    """How much around the event."""

    limit: int = 10


class TimeQuery(msgspec.Struct, frozen=True, rename={"direction": "dir"}):
    """Which time, and on which side of it."""

    ts: int
    direction: Literal["f", "b"] = "f"


class RoomRow(TypedDict):
    """A room, among others: what its state says, null where it does not; the last four are this server's own."""

    room_id: str
    name: str | None
    canonical_alias: str | None
    joined_members: int
    joined_local_members: int
    version: str
    creator: str | None
    encryption: str | None
    federatable: bool
    public: bool
    join_rules: str | None
    guest_access: str | None
    history_visibility: str
    state_events: int
    room_type: str | None
    complexity: float
    events: int
    size_bytes: int
    is_partial: bool


class RoomAnswer(RoomRow):
    """A room. It is forgotten when all of this server's users have left and forgotten it."""

    topic: str | None
    avatar: str | None
    tombstoned: bool
    replacement_room: str | None
    joined_local_devices: int
    forgotten: bool


class RoomsAnswer(TypedDict):
    """A page of rooms, how many there are on all pages, and where the next one and the one before begin."""

    rooms: list[RoomRow]
    offset: int
    total_rooms: int
    next_batch: NotRequired[int]
    prev_batch: NotRequired[int]


class RoomMembersAnswer(TypedDict):
    """The IDs of those who are in a room, and how many they are."""

    members: list[str]
    total: int


class StateAnswer(TypedDict):
    """Events of a room's state."""

    state: Sequence[OpaqueObject]


class OneEventAnswer(TypedDict):
    """An event."""

    event: OpaqueObject


class ClosestAnswer(TypedDict):
    """The ID of an event, and its own time."""

    event_id: str
    origin_server_ts: int


class ExtremitiesAnswer(TypedDict):
    """Events, and how many they are."""

    count: int
    results: Sequence[Extremity]


@dataclass(frozen=True)
class RoomAdminEndpoints:
    """Rooms, read by those who look after the server."""

    reading: RoomReading

    @admin_endpoint(
        "GET", "/_columba/admin/v1/rooms", also=("/_synapse/admin/v1/rooms",), query=RoomsQuery, spec=SYNAPSE_ROOMS
    )
    async def all(self, request: Request[RoomsQuery, NoBody]) -> Reply[RoomsAnswer]:
        """Some of the rooms, and where the page after them and the one before them begin."""
        query = request.query
        page = await self.reading.page(
            RoomWanted(query.search_term, query.public_rooms, query.empty_rooms),
            by=OLD_ORDERS.get(query.order_by, query.order_by),
            reverses=query.direction == "b",
            skipped=query.skipped,
            limit=query.limit,
        )
        rooms = [_described(room) for room in page.rooms]
        body: RoomsAnswer = {"rooms": rooms, "offset": page.skipped, "total_rooms": page.total}
        if rooms and page.skipped + len(rooms) < page.total:
            body["next_batch"] = page.skipped + len(rooms)
        if page.skipped > 0:
            body["prev_batch"] = max(0, page.skipped - query.limit)
        return Reply(body)

    @admin_endpoint(
        "GET", "/_columba/admin/v1/rooms/{roomId}", also=("/_synapse/admin/v1/rooms/{roomId}",), spec=SYNAPSE_ROOMS
    )
    async def one(self, request: PlainRequest) -> Reply[RoomAnswer]:
        """One room."""
        details = await self.reading.details(request.room_id)
        described = details.description
        return Reply(
            {
                **_described(described),
                "topic": described.topic,
                "avatar": described.avatar_url,
                "tombstoned": described.is_tombstoned,
                "replacement_room": described.replacement_room,
                "joined_local_devices": details.joined_local_devices,
                "forgotten": details.is_forgotten,
            }
        )

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/members",
        also=("/_synapse/admin/v1/rooms/{roomId}/members",),
        spec=SYNAPSE_ROOMS,
    )
    async def members(self, request: PlainRequest) -> Reply[RoomMembersAnswer]:
        """Who is in a room, of this server and others."""
        members = await self.reading.members(request.room_id)
        return Reply({"members": members, "total": len(members)})

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/state",
        also=("/_synapse/admin/v1/rooms/{roomId}/state",),
        query=StateQuery,
        spec=SYNAPSE_ROOMS,
    )
    async def state(self, request: Request[StateQuery, NoBody]) -> Reply[StateAnswer]:
        """The current state of a room."""
        return Reply({"state": await self.reading.state(request.room_id, request.query.type)})

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/messages",
        also=("/_synapse/admin/v1/rooms/{roomId}/messages",),
        query=HistoryQuery,
        spec=SYNAPSE_ROOMS,
    )
    async def messages(self, request: Request[HistoryQuery, NoBody]) -> Reply[HistoryAnswer]:
        """A page of a room's history."""
        query = request.query
        page = await self.reading.messages(
            request.room_id,
            begin=_token(query.begin),
            end=_token(query.end),
            backwards=query.direction == "b",
            limit=checked_limit(query.limit),
            event_filter=read_event_filter(query.filter),
        )
        return Reply(history_answer(page))

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/context/{eventId}",
        also=("/_synapse/admin/v1/rooms/{roomId}/context/{eventId}",),
        query=AroundQuery,
        spec=SYNAPSE_ROOMS,
    )
    async def context(self, request: Request[AroundQuery, NoBody]) -> Reply[ContextAnswer]:
        """An event and what is around it."""
        around = await self.reading.context(request.room_id, request.event_id, checked_limit(request.query.limit))
        return Reply(context_answer(around))

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/events/{eventId}",
        also=("/_synapse/admin/v1/fetch_event/{eventId}",),
        spec=SYNAPSE_EVENTS,
    )
    async def event(self, request: PlainRequest) -> Reply[OneEventAnswer]:
        """An event, whatever its room."""
        return Reply({"event": await self.reading.event(request.event_id)})

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomId}/timestamp_to_event",
        also=("/_synapse/admin/v1/rooms/{roomId}/timestamp_to_event",),
        query=TimeQuery,
        spec=SYNAPSE_ROOMS,
    )
    async def timestamp_to_event(self, request: Request[TimeQuery, NoBody]) -> Reply[ClosestAnswer]:
        """The event closest to a time."""
        event_id, when_ms = await self.reading.closest(
            request.room_id, request.query.ts, backwards=request.query.direction == "b"
        )
        return Reply({"event_id": event_id, "origin_server_ts": when_ms})

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/rooms/{roomIdOrAlias}/forward_extremities",
        also=("/_synapse/admin/v1/rooms/{roomIdOrAlias}/forward_extremities",),
        spec=SYNAPSE_ROOMS,
    )
    async def forward_extremities(self, request: PlainRequest) -> Reply[ExtremitiesAnswer]:
        """The events on which nothing is built yet."""
        heads = await self.reading.extremities(request.path["roomIdOrAlias"])
        return Reply({"count": len(heads), "results": heads})


def _described(room: RoomDescription) -> RoomRow:
    listed = room.listed
    return {
        "room_id": listed.room_id,
        "name": room.name,
        "canonical_alias": room.canonical_alias,
        "joined_members": listed.joined_members,
        "joined_local_members": listed.joined_local_members,
        "version": listed.version,
        "creator": room.creator,
        "encryption": room.encryption,
        "federatable": room.is_federated,
        "public": listed.is_public,
        "join_rules": room.join_rule,
        "guest_access": room.guest_access,
        "history_visibility": room.history_visibility,
        "state_events": room.state_events,
        "room_type": room.room_type,
        # Of this server's own:
        "complexity": room.complexity,
        "events": listed.events,
        "size_bytes": listed.size_bytes,
        "is_partial": listed.is_partial,
    }


def _token(text: str | None) -> PaginationToken | None:
    token = read_token(text)
    if isinstance(token, SyncToken):
        raise InvalidParameter("Here go tokens of a room's history, and not those of a sync")
    return token
