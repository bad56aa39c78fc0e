"""Administration: other servers as Synapse tells of them, and the rooms shared with them.

What this server itself tells of others, more than that, is in federation.py.
"""

from dataclasses import dataclass
from typing import Final, Literal, NotRequired, TypedDict

import msgspec

from homeserver.core.identifiers import ServerName
from homeserver.http.endpoint import EMPTY, NoBody, Nothing, PlainRequest, Reply, Request, admin_endpoint
from homeserver.services.federation.destination_listing import (
    DestinationListing,
    ListedDestination,
    ListPage,
)

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/usage/administration/admin_api/federation.html"


class SharedRoomsQuery(msgspec.Struct, frozen=True, rename={"skipped": "from", "direction": "dir"}):
    """Which part of the list of rooms, in which direction."""

    skipped: int = 0
    limit: int = 100
    direction: Literal["f", "b"] = "f"

    @property
    def page(self) -> ListPage:
        """The same for those who make lists."""
        return ListPage(self.skipped, self.limit, descends=self.direction == "b")


class DestinationListQuery(SharedRoomsQuery, frozen=True):
    """Which servers, in which order: those in whose names `destination` is."""

    destination: str = ""
    order_by: str = "destination"


class DestinationAnswer(TypedDict):
    """When a server failed to answer last, and for how long it is left alone; what is not known is null."""

    destination: str
    retry_last_ts: int | None
    retry_interval: int | None
    failure_ts: int | None
    last_successful_stream_ordering: int | None


class DestinationListAnswer(TypedDict):
    """Some servers, how many there are, and where the page after them begins."""

    destinations: list[DestinationAnswer]
    total: int
    next_token: NotRequired[str]


class SharedRoomAnswer(TypedDict):
    """A room, and where in the log the last event stands that was delivered there."""

    room_id: str
    stream_ordering: int | None


class SharedRoomsAnswer(TypedDict):
    """Some rooms, how many there are, and where the page after them begins."""

    rooms: list[SharedRoomAnswer]
    total: int
    next_token: NotRequired[str]


@dataclass(frozen=True)
class DestinationAdminEndpoints:
    """Other servers, in lists."""

    listing: DestinationListing

    @admin_endpoint("GET", "/_synapse/admin/v1/federation/destinations", query=DestinationListQuery, spec=SYNAPSE)
    async def all(self, request: Request[DestinationListQuery, NoBody]) -> Reply[DestinationListAnswer]:
        """Some of the servers to which something was to be sent, and where the page after them begins."""
        query = request.query
        found, total = await self.listing.page(query.destination, query.order_by, query.page)
        answer: DestinationListAnswer = {"destinations": [_shown(listed) for listed in found], "total": total}
        if query.page.goes_on(len(found), total):
            answer["next_token"] = str(query.skipped + len(found))
        return Reply(answer)

    @admin_endpoint("GET", "/_synapse/admin/v1/federation/destinations/{serverName}", spec=SYNAPSE)
    async def one(self, request: PlainRequest) -> Reply[DestinationAnswer]:
        """Whether a server answers, and when it is asked again."""
        return Reply(_shown(await self.listing.one(ServerName(request.path["serverName"]))))

    @admin_endpoint(
        "GET",
        "/_columba/admin/v1/federation/destinations/{serverName}/rooms",
        also=("/_synapse/admin/v1/federation/destinations/{serverName}/rooms",),
        query=SharedRoomsQuery,
        spec=SYNAPSE,
    )
    async def rooms(self, request: Request[SharedRoomsQuery, NoBody]) -> Reply[SharedRoomsAnswer]:
        """Some of the rooms in which both servers are, and where the page after them begins."""
        query = request.query
        found, total = await self.listing.rooms(ServerName(request.path["serverName"]), query.page)
        rooms: list[SharedRoomAnswer] = [
            {"room_id": room.room_id, "stream_ordering": room.delivered_position} for room in found
        ]
        answer: SharedRoomsAnswer = {"rooms": rooms, "total": total}
        if query.page.goes_on(len(found), total):
            answer["next_token"] = str(query.skipped + len(found))
        return Reply(answer)

    @admin_endpoint("POST", "/_synapse/admin/v1/federation/destinations/{serverName}/reset_connection", spec=SYNAPSE)
    async def reset(self, request: PlainRequest) -> Reply[Nothing]:
        """Ask a server now that did not answer."""
        await self.listing.reset(ServerName(request.path["serverName"]))
        return EMPTY


def _shown(listed: ListedDestination) -> DestinationAnswer:
    return {
        "destination": listed.destination,
        "retry_last_ts": listed.last_attempt_ms,
        "retry_interval": listed.interval_ms,
        "failure_ts": listed.failing_since_ms,
        "last_successful_stream_ordering": listed.delivered_position,
    }
